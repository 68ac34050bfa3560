"""The training step from kept features (`init.views`) against those that run the frozen stages or train all.

    python -m benchmarks.frozen [--model=resnet18] [--width=32] [--size=112] [--freeze=layer3] [--steps=20]

The steps take turns in one process; the machine's noise moves all, so read the ratios, and the arithmetic,
floating-point operations as XLA counts them. Features are read from the cache as in training, and images too.
Weights are random: they do not matter for the time.
"""

import pathlib
import tempfile
import time

import jax
import numpy as np
from absl import app, flags

from asae_jax import keys
from asae_jax.config import base_config, copy_with
from asae_jax.run import build, frozen_features, parallel
from asae_jax.run.data import load_data
from asae_jax.run.state import create_state
from asae_jax.training.optimizer import create_optimizer, create_schedule

_MODEL = flags.DEFINE_string("model", "resnet18", "Backbone.")
_WIDTH = flags.DEFINE_integer("width", 32, "Channels of the first stage.")
_SIZE = flags.DEFINE_integer("size", 112, "Pixels.")
_FREEZE = flags.DEFINE_string("freeze", "layer3", "Last frozen stage.")
_BRANCHING = flags.DEFINE_string("branching", "asae", "Layer behind it: asae or none.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 28, "Images of a step.")
_IMAGES = flags.DEFINE_integer("images", 280, "Synthetic cells.")
_VIEWS = flags.DEFINE_integer("views", 2, "Views of each image.")
_STEPS = flags.DEFINE_integer("steps", 20, "Timed steps of each kind.")


def _config(folder: str, freeze: str, views: int):
    return copy_with(
        base_config(),
        {
            "data.num_examples": _IMAGES.value,
            "data.stored_size": _SIZE.value * 8 // 7,
            "data.cache_dir": folder,
            "augment.size": _SIZE.value,
            "model.name": _MODEL.value,
            "model.width": _WIDTH.value,
            "model.branching": _BRANCHING.value,
            "model.insert_after": _FREEZE.value,
            "asae.area": 0.18,
            "init.pretrained": "random",
            "init.freeze": freeze,
            "init.views": views,
            "train.batch_size": _BATCH_SIZE.value,
        },
    )


class _Training:
    """The step of some settings with a state and batches of its own."""

    def __init__(self, folder: str, freeze: str, views: int = 0):
        config = _config(folder, freeze, views)
        data = load_data(config, pathlib.Path(folder) / "run")
        classes = data.index.num_classes
        network = build.create_network(config, classes)
        schedule = create_schedule(config.optimizer, steps_per_epoch=1, epochs=1)
        optimizer = create_optimizer(config.optimizer, schedule, frozen=network.frozen_stages)
        key = keys.stream_key(0, "init")
        self.state = parallel.place(create_state(network, optimizer, key, image_size=_SIZE.value))
        update = build.compiled_train_step(config, classes, optimizer)
        self.seconds: list[float] = []
        if views:
            start = time.perf_counter()
            features = frozen_features.front_features(
                config, data, self.state.variables(), pathlib.Path(folder)
            )
            count = len(data.indices("train")) * views
            print(f"computed at {count / (time.perf_counter() - start):.0f} views/s, compilation included; "
                  f"{features.stores[0].record_bytes:,} bytes a view")  # fmt: skip
            self.batches = features.training_batches(data, config)
        else:
            self.batches = data.training_batches(config)
        self.update = update.lower(self.state, parallel.split(next(self.batches))).compile()
        self.flops = self.update.cost_analysis()["flops"]
        self.run()
        self.seconds.clear()

    def run(self) -> None:
        """One step, timed."""
        start = time.perf_counter()
        self.state, _ = self.update(self.state, parallel.split(next(self.batches)))
        jax.block_until_ready(self.state.params)
        self.seconds.append(time.perf_counter() - start)


def main(_) -> None:
    parallel.use_all_cores(_BATCH_SIZE.value)
    with tempfile.TemporaryDirectory() as folder:
        trainings = {
            "all stages trained": _Training(folder, ""),
            "frozen stages": _Training(folder, _FREEZE.value),
            "kept features": _Training(folder, _FREEZE.value, _VIEWS.value),
        }
        for _ in range(_STEPS.value):
            for training in trainings.values():
                training.run()
        for training in trainings.values():
            training.batches.close()
    print(f"{_MODEL.value}, width {_WIDTH.value}, {_SIZE.value} px, freeze {_FREEZE.value}, "
          f"{_BRANCHING.value}, batch {_BATCH_SIZE.value}, "
          f"{jax.device_count()} x {jax.devices()[0].device_kind}")  # fmt: skip
    last = trainings["kept features"]
    for name, training in trainings.items():
        median = float(np.median(training.seconds))
        low, middle, high = np.percentile(np.array(training.seconds) / last.seconds, [10, 50, 90])
        print(f"{name:20}{median:8.3f} s a step{_BATCH_SIZE.value / median:10.1f} images/s   "
              f"{middle:.2f} times the last (10 to 90 %: {low:.2f} to {high:.2f}), "
              f"arithmetic {training.flops / last.flops:.2f} times")  # fmt: skip


if __name__ == "__main__":
    app.run(main)
