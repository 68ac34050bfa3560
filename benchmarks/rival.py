"""Our training step against the same work in PyTorch, in turn, on the same cores or the same GPU.

    python -m benchmarks.rival --model=resnet18 --stem=no_pool --size=64 --batch_size=66
    python -m benchmarks.rival --model=resnet50 --size=112 --batch_size=14 [--layer=none] [--steps=10]

Each side is a process of its own that waits while the other runs one step: no thread pool disturbs another.
Both take the same uint8 images, normalise them and do one update by SGD. Nothing is augmented, except by the
contender that `--augmented` adds: our step with its random views. PyTorch runs channels-last, eagerly and
through `torch.compile`; ratios are to the faster. On Linux our process has its memory in huge pages, as the
program gives itself (`asae_jax/huge_pages.py`); with `--huge_pages=all` PyTorch's too, with `none` neither.
Before each timed step comes one that is not: a virtual machine takes back memory that rests for seconds. On a
busy machine read the ratio of processor times: wall time includes waiting for a core. A ratio is the median
over pairs of steps, with the 10 % and 90 % quantiles.
"""

import contextlib
import multiprocessing
import os
import platform
import resource
import statistics
import time
from typing import NamedTuple

import numpy as np
from absl import app, flags

from asae_jax.huge_pages import VARIABLE, here

_MODEL = flags.DEFINE_enum(
    "model",
    "resnet18",
    ["resnet18", "resnet50", "efficientnet_lite0"],
    "Backbone; the last with --layer=none.",
)
_STEM = flags.DEFINE_enum("stem", "imagenet", ["imagenet", "no_pool"], "Stem of the backbone.")
_WIDTH = flags.DEFINE_integer("width", 64, "Channels of the first stage.")
_SIZE = flags.DEFINE_integer("size", 64, "Pixels.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 66, "Images of a step.")
_LAYER = flags.DEFINE_multi_enum("layer", ["none", "asae"], ["none", "asae"], "Plain, or ASAE with GMMCE.")
_DTYPE = flags.DEFINE_enum(
    "dtype", "float32", ["float32", "bfloat16"], "Of the computation; PyTorch: autocast."
)
_STEPS = flags.DEFINE_integer("steps", 10, "Timed steps of each contender.")
_COMPILE = flags.DEFINE_bool("compile", True, "Time `torch.compile` too.")
_HUGE_PAGES = flags.DEFINE_enum(
    "huge_pages", "ours", ["ours", "all", "none"], "Whose memory is in huge pages, where that can be."
)
_AUGMENTED = flags.DEFINE_bool("augmented", False, "Time our step with random views too.")

CLASSES = 14
SGD = {"learning_rate": 1e-3, "momentum": 0.9, "weight_decay": 1e-4}


class Work(NamedTuple):
    """What both sides compute."""

    model: str
    stem: str
    width: int
    size: int
    batch_size: int
    layer: str
    dtype: str


class Took(NamedTuple):
    """Seconds of one step."""

    wall: float
    cpu: float
    loss: float


def batch_of(work: Work, stored: int | None = None) -> dict[str, np.ndarray]:
    """Random uint8 images and labels; images of `stored` pixels, from which a step cuts its own."""
    side = stored or work.size
    shape = (work.batch_size, side, side, 3)
    labels = np.arange(work.batch_size, dtype=np.int32) % CLASSES
    return {"image": np.random.default_rng(0).integers(0, 256, shape, np.uint8), "label": labels}


def our_config(work: Work):
    """Our settings of the work."""
    from asae_jax.config import base_config, copy_with

    return copy_with(
        base_config(),
        {
            "model.name": work.model,
            "model.stem": work.stem,
            "model.width": work.width,
            "model.dtype": work.dtype,
            "model.branching": work.layer,
            "loss.name": "gmmce" if work.layer == "asae" else "ce",
            "asae.area": 0.18,
            "augment.size": work.size,
            "optimizer.learning_rate": SGD["learning_rate"],
            "optimizer.momentum": SGD["momentum"],
            "optimizer.weight_decay": SGD["weight_decay"],
        },
    )


class Ours:
    """Our training step of `work`, set up as `train` does.

    Attributes:
      state: weights and optimiser; a step donates it.
      update: `(state, batch) -> (state, metrics)`, compiled when it is first called.
      batch: uint8 images and labels, split over the devices.
      versions: of JAX, and what computes.

    Args:
      work: what is computed.
      augmented: random views, as in training; else views as at test.
      stored: pixels of the images that views are cut from; None: those of the views.
      initial: a state of the same weights and optimiser, on the host; None: a fresh one.
    """

    def __init__(self, work: Work, *, augmented=False, stored: int | None = None, initial=None):
        from asae_jax.run import build, parallel

        parallel.use_all_cores(work.batch_size)
        import jax

        from asae_jax import keys
        from asae_jax.run.state import create_state
        from asae_jax.training.optimizer import create_optimizer, create_schedule

        self.work, self.config = work, our_config(work)
        settings = self.config.optimizer
        optimizer = create_optimizer(settings, create_schedule(settings, steps_per_epoch=1, epochs=1))
        if initial is None:
            network = build.create_network(self.config, CLASSES)
            state = create_state(network, optimizer, keys.stream_key(0, "init"), image_size=work.size)
            self.state = parallel.place(state)
        else:
            self.state = parallel.copy_to_devices(initial)
        self.update = update_step(self.config, optimizer, augmented)
        rows = np.arange(work.batch_size, dtype=np.int32)
        self.batch = parallel.split(batch_of(work, stored) | {"index": rows})
        self.versions = f"JAX {jax.__version__}, {jax.device_count()} x {jax.devices()[0].device_kind}"

    def run(self, steps: int = 1) -> float:
        """Makes `steps` updates, which the device may queue, waits, and returns the last one's mean loss."""
        import jax

        for _ in range(steps):
            self.state, metrics = self.update(self.state, self.batch)
        jax.block_until_ready(self.state.params)
        return float(metrics.sums.loss) / self.work.batch_size


def ours(work: Work, augmented: bool = False):
    """(one step, versions) of ASAE-JAX."""
    contender = Ours(work, augmented=augmented)
    return contender.run, contender.versions


def update_step(config, optimizer, augmented: bool):
    """The compiled update, on views as at test unless `augmented`."""
    import functools

    from asae_jax.run import build, parallel, steps

    if augmented:
        return build.compiled_train_step(config, CLASSES, optimizer)
    preprocess = build.create_preprocess(config)
    return parallel.parallel_update(
        functools.partial(
            steps.train_step,
            network=build.create_network(config, CLASSES, axis_name=parallel.AXIS),
            optimizer=optimizer,
            loss=build.create_loss(config, CLASSES),
            augment=lambda key, images, first_example: preprocess(images),
            seed=config.seed,
            axis_name=parallel.AXIS,
        )
    )


class PyTorch:
    """The twin's training step of `work`, on a GPU where there is one.

    Attributes:
      versions: of PyTorch, and what computes.
    """

    def __init__(self, work: Work, compiled: bool):
        import torch

        from benchmarks import torch_twin

        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
        if work.model.startswith("efficientnet"):
            model = torch_twin.efficientnet_lite(work.model, CLASSES)
        else:
            model = torch_twin.Twin(
                work.model, CLASSES, stem=work.stem, width=work.width, asae=work.layer == "asae", area=0.18
            )
        self._training = torch_twin.Training(
            model.to(self._device), amp=work.dtype == "bfloat16", compiled=compiled, **SGD
        )
        batch = batch_of(work)
        self._images, self._labels = torch.from_numpy(batch["image"]), torch.from_numpy(batch["label"]).long()
        self.versions = f"PyTorch {torch.__version__}, {self._device}, {torch.get_num_threads()} threads"

    def keep_on_device(self) -> None:
        """Copies the batch once instead of in every step."""
        self._images, self._labels = self._images.to(self._device), self._labels.to(self._device)

    def run(self, steps: int = 1) -> float:
        """Makes `steps` updates, which the device may queue, waits, and returns the last one's loss."""
        import torch

        from benchmarks import torch_twin

        for _ in range(steps):
            shown = torch_twin.normalised(self._images.to(self._device))
            loss = self._training.step(shown, self._labels.to(self._device))
        if self._device == "cuda":
            torch.cuda.synchronize()
        return float(loss)


def pytorch(work: Work, compiled: bool):
    """(one step, versions) of the twin."""
    contender = PyTorch(work, compiled)
    return contender.run, contender.versions


CONTENDERS = {
    "ours": ours,
    "ours, augmented": lambda work: ours(work, augmented=True),
    "PyTorch": lambda work: pytorch(work, compiled=False),
    "torch.compile": lambda work: pytorch(work, compiled=True),
}


def _serve(name: str, work: Work, pipe) -> None:
    """A contender's process: one timed step for every message until None comes."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    began = _now()
    run, versions = CONTENDERS[name](work)
    run()
    pipe.send((versions, *(b - a for a, b in zip(began, _now(), strict=True))))
    run()
    while pipe.recv():
        run()
        start = _now()
        loss = run()
        pipe.send(Took(*(b - a for a, b in zip(start, _now(), strict=True)), loss))


def _now() -> tuple[float, float]:
    """Wall and processor time, seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), usage.ru_utime + usage.ru_stime


@contextlib.contextmanager
def _memory_of(name: str, huge_pages: str):
    """The C library's setting for a process that is started here: see `asae_jax.huge_pages`."""
    before = os.environ.get(VARIABLE)
    ours = name.startswith("ours")
    if huge_pages == "all" or (ours and huge_pages == "ours"):
        os.environ.update(here() or {})
    yield
    os.environ.pop(VARIABLE, None)
    if before is not None:
        os.environ[VARIABLE] = before


def race(work: Work, names: list[str], steps: int, huge_pages: str = "ours") -> dict[str, list[Took]]:
    """Steps of each contender in turn. One that cannot start is reported and left out."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name in names:
        pipe, other = context.Pipe()
        process = context.Process(target=_serve, args=(name, work, other), daemon=True)
        with _memory_of(name, huge_pages):
            process.start()
        other.close()
        try:
            versions, wall, cpu = pipe.recv()
        except EOFError:
            print(f"  {name}: does not work here")
            continue
        print(f"  {name}: {versions}; to the first step {wall:.1f} s, {cpu:.1f} s of processor time")
        pipes[name] = pipe
        processes.append(process)
    took: dict[str, list[Took]] = {name: [] for name in pipes}
    for number in range(steps):
        for name in list(pipes)[:: 1 if number % 2 else -1]:
            pipes[name].send(True)
            took[name].append(pipes[name].recv())
    for pipe in pipes.values():
        pipe.send(None)
    for process in processes:
        process.join()
    return took


def report(took: dict[str, list[Took]]) -> None:
    """Prints medians, and each contender's ratio to the faster one of PyTorch."""
    for name, steps in took.items():
        wall, cpu = (statistics.median(step[i] for step in steps) for i in (0, 1))
        print(f"  {name}: {1e3 * wall:.0f} ms a step, {1e3 * cpu:.0f} ms of processor time; "
              f"loss {steps[-1].loss:.3f}")  # fmt: skip
    rivals = [name for name in took if not name.startswith("ours")]
    for name in took.keys() - rivals if rivals else ():
        _print_ratios(took, name, rivals)


def _print_ratios(took: dict[str, list[Took]], name: str, rivals: list[str]) -> None:
    """A contender's ratio to the faster one of `rivals`."""
    for i, clock in enumerate(("wall", "processor")):
        fastest = min(rivals, key=lambda rival: statistics.median(step[i] for step in took[rival]))
        ratios = [a[i] / b[i] for a, b in zip(took[name], took[fastest], strict=True)]
        low, middle, high = np.quantile(ratios, [0.1, 0.5, 0.9])
        print(f"  {name} / {fastest}, {clock} time: {middle:.2f} ({low:.2f} to {high:.2f})")


def main(_) -> None:
    names = ["ours", "PyTorch"]
    names[1:1] = ["ours, augmented"] if _AUGMENTED.value else []
    names += ["torch.compile"] if _COMPILE.value else []
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, load {os.getloadavg()[0]:.1f}")
    for layer in dict.fromkeys(_LAYER.value):
        work = Work(
            _MODEL.value, _STEM.value, _WIDTH.value, _SIZE.value, _BATCH_SIZE.value, layer, _DTYPE.value
        )
        print(", ".join(f"{field} {value}" for field, value in work._asdict().items()))
        report(race(work, names, _STEPS.value, _HUGE_PAGES.value))
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    app.run(main)
