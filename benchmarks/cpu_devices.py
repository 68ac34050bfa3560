"""One CPU device with threads against one device per core, on a machine that is more or less busy.

    python -m benchmarks.cpu_devices [--loads 0 2 4] [--seconds=10] [--model=resnet18]

The same training step, for one device and for as many as there are cores, runs in turn in one process, while
so many other processes count. Printed are the medians of the steps' seconds and of the ratio of
neighbours (10 to 90 %), and the load average at the end. `--nice=-10` (as root) sets aside what else runs.
"""

import argparse
import contextlib
import functools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
import optax

from asae_jax import keys
from asae_jax.config import base_config, copy_with
from asae_jax.input.workers import default_workers
from asae_jax.run import build, parallel, steps
from asae_jax.run.state import create_state

CLASSES = 8


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_options(arguments)
    cores = default_workers()
    jax.config.update("jax_num_cpu_devices", cores)
    one, several = (compiled(options, devices) for devices in (1, cores))
    print(f"{options.model}, width {options.width}, {options.size} px, batch {options.batch_size}")
    many = f"{cores} devices s"
    print(f"{'busy processes':>14} {'1 device s':>11} {many:>12} {'ratio (10 to 90 %)':>22} {'load':>6}")
    for load in options.loads:
        with busy(load, options.nice), priority(options.nice):
            seconds = np.array(list(timed(one, several, options.seconds)))
        ratios = np.percentile(seconds[:, 1] / seconds[:, 0], [10, 50, 90])
        ratio = f"{ratios[1]:.2f} ({ratios[0]:.2f} to {ratios[2]:.2f})"
        first, second = np.median(seconds, axis=0)
        now = os.getloadavg()[0]
        print(f"{load:14} {first:11.3f} {second:12.3f} {ratio:>22} {now:6.1f}", flush=True)


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--loads", type=int, nargs="+", default=[0, 2, 4], help="busy processes beside this")
    parser.add_argument("--seconds", type=float, default=10, help="of timing at each load")
    parser.add_argument(
        "--nice", type=int, default=0, help="priority of the timed steps and the busy processes"
    )
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--branching", default="asae")
    parser.add_argument("--width", type=int, default=32, help="channels of the first stage")
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--batch_size", type=int, default=32)
    return parser.parse_args(arguments)


def compiled(options: argparse.Namespace, devices: int, classes: int = CLASSES) -> Callable[[], None]:
    """One step on the first so many devices, which has run twice."""
    config = copy_with(
        base_config(),
        {"model.name": options.model, "model.stem": "no_pool", "model.width": options.width,
         "asae.area": 0.18, "model.branching": options.branching, "augment.size": options.size},
    )  # fmt: skip
    network, optimizer = build.create_network(config, classes, axis_name=parallel.AXIS), optax.sgd(0.001)
    function = functools.partial(
        steps.train_step, network=network, optimizer=optimizer, loss=build.create_loss(config, classes),
        augment=build.create_augment(config), seed=0, axis_name=parallel.AXIS,
    )  # fmt: skip
    update = jax.pmap(
        function, axis_name=parallel.AXIS, in_axes=(None, 0), out_axes=None, devices=jax.devices()[:devices]
    )
    state = create_state(network, optimizer, keys.stream_key(0, "init"), image_size=options.size)
    side = options.size * 8 // 7
    shape = (devices, options.batch_size // devices, side, side, 3)
    batch = {
        "image": np.random.default_rng(0).integers(0, 256, shape, np.uint8),
        "label": (np.arange(options.batch_size, dtype=np.int32) % classes).reshape(devices, -1),
    }

    def step() -> None:
        nonlocal state
        state, _ = update(state, batch)
        jax.block_until_ready(state.params)

    step()
    step()  # whose state comes from a step, and is compiled for
    return step


def timed(one: Callable, several: Callable, seconds: float) -> Iterator[tuple[float, float]]:
    """Seconds of both steps, in turn."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.perf_counter()
        one()
        middle = time.perf_counter()
        several()
        yield middle - begin, time.perf_counter() - middle


@contextlib.contextmanager
def busy(count: int, nice: int) -> Iterator[None]:
    """That many processes that only count."""
    processes = [
        multiprocessing.get_context("spawn").Process(target=spin, args=(nice,)) for _ in range(count)
    ]
    for process in processes:
        process.start()
    try:
        time.sleep(1.0 if count else 0.0)  # they have begun
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def spin(nice: int) -> None:
    with priority(nice):
        while True:
            pass


@contextlib.contextmanager
def priority(nice: int) -> Iterator[None]:
    """All threads of this process at that priority."""
    set_priority(nice)
    yield
    set_priority(0)


def set_priority(nice: int) -> None:
    if nice:
        for thread in os.listdir("/proc/self/task"):
            os.setpriority(os.PRIO_PROCESS, int(thread), nice)


if __name__ == "__main__":
    main()
