"""Memory of one training step with and without gradient accumulation and rematerialisation.

    python -m benchmarks.step_memory [--model=resnet50] [--size=224] [--batch_size=84] [--accumulate 1 2 4]

Nothing is run: each step is compiled, on one device, and XLA tells what it reserves beside weights and batch,
and how many operations there are. About half a minute for each line of a ResNet-50.
"""

import argparse
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from asae_jax.config import base_config, copy_with
from asae_jax.run import build
from asae_jax.run.state import abstract_state
from asae_jax.training.optimizer import create_optimizer, create_schedule

CLASSES = 14
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Less time for machine code, which comes after memory has been dealt out."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_options(arguments)
    print(f"{options.model}, {options.size} px, batch {options.batch_size}, branching {options.branching}, "
          f"{options.dtype}, compiled for one {jax.devices()[0].device_kind}")  # fmt: skip
    print(f"{'accumulate':>10} {'remat':>6} {'memory MiB':>11} {'ratio':>6} {'operations':>11}")
    whole = None
    for accumulate in options.accumulate:
        for remat in (False, True):
            memory, operations = cost(options, accumulate, remat)
            whole = whole or (memory, operations)
            print(f"{accumulate:10} {'yes' if remat else 'no':>6} {memory / 2**20:11.0f} "
                  f"{memory / whole[0]:6.2f} {operations / whole[1]:11.2f}", flush=True)  # fmt: skip


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--stem", default="imagenet")
    parser.add_argument("--width", type=int, default=64, help="channels of the first stage")
    parser.add_argument("--branching", default="asae")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--size", type=int, default=224, help="pixels")
    parser.add_argument("--batch_size", type=int, default=84)
    parser.add_argument("--accumulate", type=int, nargs="+", default=[1, 2, 4])
    return parser.parse_args(arguments)


def cost(options: argparse.Namespace, accumulate: int, remat: bool) -> tuple[int, float]:
    """Bytes that XLA reserves for the step beside its arguments, and operations as it counts them."""
    config = copy_with(
        base_config(),
        {
            "model.name": options.model,
            "model.stem": options.stem,
            "model.width": options.width,
            "model.dtype": options.dtype,
            "model.branching": options.branching,
            "model.remat": remat,
            "augment.size": options.size,
            "asae.area": 0.18,
            "train.accumulate": accumulate,
        },
    )
    schedule = create_schedule(config.optimizer, steps_per_epoch=1, epochs=1)
    optimizer = create_optimizer(config.optimizer, schedule)
    network = build.create_network(config, CLASSES)
    state = abstract_state(network, optimizer, image_size=options.size)
    stored = options.size * 8 // 7
    batch = {
        "image": jax.ShapeDtypeStruct((1, options.batch_size, stored, stored, 3), jnp.uint8),
        "label": jax.ShapeDtypeStruct((1, options.batch_size), jnp.int32),
    }
    lowered = build.compiled_train_step(config, CLASSES, optimizer).lower(state, batch)
    compiled = lowered.compile(compiler_options=QUICK if jax.default_backend() == "cpu" else None)
    memory, counted = compiled.memory_analysis(), compiled.cost_analysis()
    assert memory is not None
    return memory.temp_size_in_bytes, counted["flops"]


if __name__ == "__main__":
    main()
