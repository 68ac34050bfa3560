"""How far training on several devices departs from training on one, in float32 and in float64.

    python -m benchmarks.devices [--steps=15] [--devices 2 4] [--branching none asae] [--smooth]

A ResNet of four blocks learns drawn cells on virtual CPU devices, with and without the ASAE layer; the only
random draws are flips and peaks, which are the same in any type. Printed is, after some of the steps, the
distance of the parameters from those on one device, as a share of how far these have moved: 1 is as good as
unrelated. If devices only round in another order, float64 is some 1e9 times nearer; if they computed
something else, it would be no nearer. Last, in float64 on one device, a start moved by float32's rounding.
"""

import argparse
import functools
from collections.abc import Iterator, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from asae_jax import keys
from asae_jax.config import base_config, copy_with
from asae_jax.input.sampler import BalancedSampler
from asae_jax.run import build, parallel, steps
from asae_jax.run.state import TrainState, create_state
from asae_jax.synthetic import dataset

CLASSES, EXAMPLES, BATCH_SIZE, SIDE = 14, 112, 28, 24
MOVED = 2.0**-24
"""A rounding of float32, relative."""
BLOCKS = (1, 1, 1, 1)
SHOWN = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 40, 60, 80, 120)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_options(arguments)
    if options.smooth:
        nn.relu = nn.silu
    jax.config.update("jax_num_cpu_devices", max(options.devices))
    images = np.stack([dataset.render(0, i, size=SIDE) for i in range(EXAMPLES)])
    labels = dataset.labels(EXAMPLES).astype(np.int32)
    print(f"{'layer':>6} {'type':>8} {'devices':>8}  " + " ".join(f"{n:>7}" for n in shown(options)))
    for branching in options.branching:
        for dtype in ("float32", "float64"):
            with jax.enable_x64(dtype == "float64"):
                start, one = trained(options, branching, dtype, 1, images, labels)
                others = [(str(devices), devices, 0.0) for devices in options.devices]
                if dtype == "float64":
                    others.append(("1, moved", 1, MOVED))
                for name, devices, moved in others:
                    _, several = trained(options, branching, dtype, devices, images, labels, moved)
                    distances = [np.linalg.norm(a - b) / np.linalg.norm(a - start)
                                 for a, b in zip(one, several, strict=True)]  # fmt: skip
                    figures = " ".join(f"{distance:7.0e}" for distance in distances)
                    print(f"{branching:>6} {dtype:>8} {name:>8}  {figures}", flush=True)


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--devices", type=int, nargs="+", default=[2, 4], help="divisors of 28")
    parser.add_argument("--branching", nargs="+", default=["none", "asae"])
    parser.add_argument("--rate", type=float, default=0.05, help="learning rate")
    parser.add_argument("--width", type=int, default=8, help="channels of the first stage")
    parser.add_argument("--smooth", action="store_true", help="SiLU, which has no kink, in the place of ReLU")
    return parser.parse_args(arguments)


def shown(options: argparse.Namespace) -> list[int]:
    return [number for number in SHOWN if number <= options.steps]


def trained(
    options: argparse.Namespace,
    branching: str,
    dtype: str,
    devices: int,
    images: np.ndarray,
    labels: np.ndarray,
    moved: float = 0.0,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """All parameters as one vector, before training and after each step that is shown.

    With `moved` the initial parameters are multiplied by 1 plus or minus that.
    """
    state, function = step_function(options, branching, dtype)
    signs = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: (x * (1 + moved * signs.choice([-1, 1], x.shape))).astype(x.dtype), state.params
    )
    state = state.replace(params=params)
    update = jax.pmap(
        function, axis_name=parallel.AXIS, in_axes=(None, 0), out_axes=None, devices=jax.devices()[:devices]
    )
    start, vectors = vector(state), []
    for number, batch in zip(range(1, options.steps + 1), batches(images, labels), strict=False):
        split = {name: x.reshape(devices, -1, *x.shape[1:]) for name, x in batch.items()}
        state, _ = update(state, split)
        if number in SHOWN:
            vectors.append(vector(state))
    return start, vectors


def step_function(options: argparse.Namespace, branching: str, dtype: str):
    config = copy_with(
        base_config(),
        {"model.name": "resnet18", "model.stem": "small", "model.width": options.width, "asae.area": 0.18,
         "model.branching": branching, "optimizer.learning_rate": options.rate, "augment.size": SIDE},
    )  # fmt: skip
    optimizer = optax.sgd(options.rate, momentum=0.9)
    network = build.create_network(config, CLASSES, axis_name=parallel.AXIS)
    network = network.clone(backbone=network.backbone.clone(dtype=jnp.dtype(dtype), stage_sizes=BLOCKS))
    with jax.enable_x64(False):  # the same initial weights
        state = create_state(
            network.clone(backbone=network.backbone.clone(dtype=jnp.float32)),
            optimizer,
            keys.stream_key(0, "init"),
            image_size=SIDE,
        )
    state = jax.tree.map(lambda x: np.asarray(x, dtype if x.dtype == jnp.float32 else x.dtype), state)
    function = functools.partial(
        steps.train_step,
        network=network,
        optimizer=optimizer,
        loss=build.create_loss(config, CLASSES),
        augment=functools.partial(flipped, dtype=dtype),
        seed=0,
        axis_name=parallel.AXIS,
    )
    return state, function


def flipped(key, images, *, first_example, dtype):
    """Half of the images mirrored, values within -0.5..0.5: draws that rounding cannot change."""
    bits = jax.vmap(jax.random.bits)(keys.example_keys(key, len(images), first_example)) % 2
    images = (images.astype(dtype) - 128) / 256
    return jnp.where(bits[:, None, None, None] == 1, images[:, :, ::-1], images)


def batches(images: np.ndarray, labels: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    sampler, step = BalancedSampler(labels, BATCH_SIZE, 0), 0
    while True:
        rows = sampler.batch(step)
        yield {"image": images[rows], "label": labels[rows]}
        step += 1


def vector(state: TrainState) -> np.ndarray:
    return np.concatenate([np.ravel(x).astype(np.float64) for x in jax.tree.leaves(state.params)])


if __name__ == "__main__":
    main()
