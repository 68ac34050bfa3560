"""Time and memory of the ASAE training step against the plain backbone's, interleaved in one run.

    python -m benchmarks.step [--model=resnet50] [--size=224] [--batch_size=84] [--dtype=float32] [--steps=10]

The arithmetic limit is the ratio of the two steps' floating-point operations as XLA counts them: the
stages behind the layer run once per branch. Times are medians over the interleaved steps; the machine's
noise moves both, so read the ratio. Memory is what XLA reserves for one step beside its arguments.
"""

import time

import jax
import numpy as np
from absl import app, flags

from asae_jax import keys
from asae_jax.config import base_config, copy_with
from asae_jax.run import build, parallel
from asae_jax.run.state import create_state
from asae_jax.training.optimizer import create_optimizer, create_schedule

_MODEL = flags.DEFINE_string("model", "resnet50", "Backbone.")
_STEM = flags.DEFINE_string("stem", "imagenet", "Stem of the backbone.")
_WIDTH = flags.DEFINE_integer("width", 64, "Channels of the first stage.")
_SIZE = flags.DEFINE_integer("size", 224, "Pixels.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 84, "Images of a step.")
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "Type of the computation.")
_STEPS = flags.DEFINE_integer("steps", 10, "Timed steps of each kind.")

_CLASSES = 14


def _compiled(branching: str):
    """The compiled update with a state of its own: (executable, state, batch)."""
    config = copy_with(
        base_config(),
        {
            "model.name": _MODEL.value,
            "model.stem": _STEM.value,
            "model.width": _WIDTH.value,
            "model.dtype": _DTYPE.value,
            "model.branching": branching,
            "augment.size": _SIZE.value,
            "asae.area": 0.18,
        },
    )
    schedule = create_schedule(config.optimizer, steps_per_epoch=1, epochs=1)
    optimizer = create_optimizer(config.optimizer, schedule)
    network = build.create_network(config, _CLASSES)
    state = create_state(network, optimizer, keys.stream_key(0, "init"), image_size=_SIZE.value)
    update = build.compiled_train_step(config, _CLASSES, optimizer)
    stored = _SIZE.value * 8 // 7
    rng = np.random.default_rng(0)
    batch = parallel.split(
        {
            "image": rng.integers(0, 256, (_BATCH_SIZE.value, stored, stored, 3), np.uint8),
            "label": np.arange(_BATCH_SIZE.value, dtype=np.int32) % _CLASSES,
        }
    )
    state = parallel.place(state)
    return update.lower(state, batch).compile(), state, batch


def _run(executable, state, batch):
    start = time.perf_counter()
    state, _ = executable(state, batch)
    jax.block_until_ready(state.params)
    return state, time.perf_counter() - start


def main(_) -> None:
    names = ("none", "asae")
    parts = {name: _compiled(name) for name in names}
    states = {name: _run(*parts[name])[0] for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(_STEPS.value):
        for name in names:
            states[name], taken = _run(parts[name][0], states[name], parts[name][2])
            seconds[name].append(taken)
    flops = {name: parts[name][0].cost_analysis()["flops"] for name in names}
    memory = {name: parts[name][0].memory_analysis().temp_size_in_bytes / 2**20 for name in names}
    print(f"{_MODEL.value}, {_SIZE.value} px, batch {_BATCH_SIZE.value}, {_DTYPE.value}, "
          f"{jax.device_count()} x {jax.devices()[0].device_kind}")  # fmt: skip
    print(f"{'step':8}{'seconds':>10}{'images/s':>10}{'GFLOP':>10}{'memory MiB':>12}")
    for name, label in zip(names, ("plain", "ASAE"), strict=True):
        median = float(np.median(seconds[name]))
        print(f"{label:8}{median:10.3f}{_BATCH_SIZE.value / median:10.1f}"
              f"{flops[name] / 1e9:10.1f}{memory[name]:12.0f}")  # fmt: skip
    ratios = np.array(seconds["asae"]) / np.array(seconds["none"])
    low, middle, high = np.percentile(ratios, [10, 50, 90])
    arithmetic, more_memory = (x["asae"] / x["none"] for x in (flops, memory))
    print(f"ASAE / plain: time {middle:.3f} (10 to 90 %: {low:.3f} to {high:.3f}), "
          f"arithmetic {arithmetic:.3f}, memory {more_memory:.3f}")  # fmt: skip


if __name__ == "__main__":
    app.run(main)
