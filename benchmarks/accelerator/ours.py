"""Our side: rates of the chip, copies, training steps, and a step that is fed from the cache."""

import contextlib
import functools
import gc
import itertools
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from asae_jax import models
from asae_jax.input.cache import prepare_examples
from asae_jax.input.feed import HostBatches
from asae_jax.input.index import DataIndex
from asae_jax.input.preparation import Preparation
from asae_jax.models import convolution
from asae_jax.models.backbones import resnet
from asae_jax.run import parallel
from asae_jax.run.data import Data
from benchmarks.accelerator.parts import PARTS
from benchmarks.accelerator.worker import SHALLOW, Side
from benchmarks.rival import CLASSES, Ours, Work

VARIANTS = ("nhwc", "1x1 by convolution")
"""Other ways that XLA may compute a step: every convolution in channels-last memory (a flag of XLA for GPUs:
without it float32 takes channels-first); 1 x 1 convolutions by cuDNN instead of as matrix products."""

REPEATS = 5
PRECISIONS = {"bfloat16": (jnp.bfloat16, None), "float32": (jnp.float32, None)}
PRECISIONS["float32 highest"] = (jnp.float32, "highest")


class Here(Side):
    """JAX on this machine."""

    def about(self) -> dict[str, Any]:
        """What computes, with how much memory."""
        device = jax.local_devices()[0]
        limit = (device.memory_stats() or {}).get("bytes_limit")
        return {
            "platform": device.platform,
            "device": device.device_kind,
            "devices": jax.device_count(),
            "jax": jax.__version__,
            "memory_gib": limit and limit / 2**30,
        }

    def rate(self, kind: str, length: int) -> dict[str, Any]:
        """TFLOP/s of one chip in products of square matrices of normal random numbers."""
        dtype, precision = PRECISIONS[kind]
        first, second = (
            jax.random.normal(jax.random.key(seed), (length, length), jnp.float32).astype(dtype)
            for seed in (0, 1)
        )
        product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=precision))
        seconds = _timed(lambda: product(first, second))
        return {"tflops": [2 * length**3 / each / 1e12 for each in seconds]}

    def copy(self, mib: int) -> dict[str, Any]:
        """GB/s from the host's memory to the device, and within the device (bytes read and written)."""
        host = np.random.default_rng(0).integers(0, 256, mib * 2**20, np.uint8)
        here = jax.device_put(host)
        add = jax.jit(lambda x: x + np.uint8(1))
        return {
            "to_device": [
                host.nbytes / s / 1e9 for s in _timed(lambda: jax.block_until_ready(jax.device_put(host)))
            ],
            "within": [2 * host.nbytes / s / 1e9 for s in _timed(lambda: add(here))],
        }

    def part(self, name: str, work: list, stored: int) -> dict[str, Any]:
        """Milliseconds of a part of the step, and the bytes that XLA counts in it."""
        function, arguments = PARTS[name](Work(*work), stored)
        compiled = jax.jit(function).lower(*arguments).compile()
        seconds = _timed(lambda: compiled(*arguments))
        return {"ms": [1e3 * each for each in seconds],
                "bytes": _told(compiled.cost_analysis).get("bytes accessed")}  # fmt: skip

    def feed(self, key: str, stored: int, examples: int, seconds: float, rounds: int) -> dict[str, Any]:
        """The step `key` fed from the cache of prepared images, and with its batch on the device, in turn.

        As in training: batches are read ahead by threads, copied to the device by the call of the step, and
        metrics are fetched every `train.log_every` steps, one step later.
        """
        step = self._steps[key]
        assert isinstance(step, Step)
        steps = max(2, min(100, round(seconds / self._seconds[key])))
        with tempfile.TemporaryDirectory() as folder:
            data = _prepared(examples, stored, Path(folder))
            config = step.config.copy_and_resolve_references()
            config.data.driver, config.data.sampler = "threads", "shuffled"
            config.train.batch_size = step.work.batch_size
            with contextlib.closing(data.training_batches(config)) as batches:
                _block(step, _split(batches), 3)  # fills what reads ahead
                fed, resident, waited = [], [], []
                for _ in range(rounds):
                    resident.append(1e3 * _block(step, itertools.repeat(step.batch), steps)[0])
                    whole, waiting = _block(step, _split(batches), steps)
                    fed.append(1e3 * whole)
                    waited.append(1e3 * waiting)
                began = time.perf_counter()
                for _ in range(steps):
                    next(batches)
                alone = steps * step.work.batch_size / (time.perf_counter() - began)
        return {
            "fed_ms": fed, "resident_ms": resident, "in_next_ms": waited, "input_images_per_s": alone
        }  # fmt: skip

    def _make(self, work: Work, **contender: Any) -> "Step":
        return Step(work, **contender)

    def _make_shallow(self) -> None:
        shallow = functools.partial(resnet.ResNet, block=resnet.BasicBlock, stage_sizes=SHALLOW)
        models.MODELS["resnet18"] = shallow

    def _free(self) -> None:
        gc.collect()


class Step(Ours):
    """A training step whose batch stays on the device; `facts` tells what XLA says of it."""

    _initial: ClassVar[dict[Any, Any]] = {}
    """On the host, of each network: layer and batch have no weights, and making them has to be compiled."""

    def __init__(self, work: Work, *, augmented: bool, stored: int, variant: str):
        weights = work._replace(batch_size=0, layer="", dtype="")
        initial = self._initial.get(weights)
        super().__init__(work, augmented=augmented, stored=stored, initial=initial)
        if initial is None:
            self._initial[weights] = jax.device_get(self.state)
        flops = operations(jax.make_jaxpr(self.update)(self.state, self.batch).jaxpr)
        began = time.perf_counter()
        with as_convolutions() if variant == VARIANTS[1] else contextlib.nullcontext():
            lowered = self.update.lower(self.state, self.batch)
        options = {"xla_gpu_force_conv_nhwc": True} if variant == VARIANTS[0] else None
        # Called by its own name the step would be compiled again for a batch that is on the device.
        self.update = compiled = lowered.compile(compiler_options=options)
        self.facts = {"compile_s": time.perf_counter() - began, **_memory(compiled)}
        self.facts["flops"] = flops
        self.batch = jax.device_put(self.batch, _split_over_devices())
        self._before = _peak()

    def peak_memory(self) -> int | None:
        """Of the process; None unless it rose with this step."""
        return peak if (peak := _peak()) and peak > (self._before or 0) else None


def _memory(compiled: Any) -> dict[str, Any]:
    """Planned memory of a step on one device, by XLA's own account."""
    memory = _told(compiled.memory_analysis)
    planned = memory and (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes
        - memory.alias_size_in_bytes
    )
    return {"planned_bytes": planned or None, "donated_bytes": memory.alias_size_in_bytes if memory else None}


def operations(jaxpr: Any) -> float:
    """Multiplications and additions of a program's convolutions and matrix products, on one device.

    Those with the padding of a convolution count, those with zeros between the values of a map, which its
    gradient has at stride 2, do not; those of images in blocks do, half a percent of a ResNet-50. (XLA itself
    counts nothing on GPUs.)
    """
    found = 0.0
    for equation in jaxpr.eqns:
        shapes = [getattr(variable.aval, "shape", ()) for variable in equation.invars]
        out = math.prod(getattr(equation.outvars[0].aval, "shape", ())) if equation.outvars else 0
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            found += 2.0 * out * math.prod(shapes[0][axis] for axis in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            features = shapes[1][equation.params["dimension_numbers"].rhs_spec[0]]
            between = math.prod(equation.params["lhs_dilation"])
            found += 2.0 * out * math.prod(shapes[1]) / features / between
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program):
            if _is_program(inner):
                found += operations(getattr(inner, "jaxpr", inner))
    return found


def _is_program(value: Any) -> bool:
    return hasattr(value, "eqns") or hasattr(value, "jaxpr")


def _told(analysis: Callable[[], Any]) -> Any:
    """What XLA says; nothing where it cannot say it for this kind of device."""
    try:
        return analysis() or {}
    except (NotImplementedError, jax.errors.JaxRuntimeError):
        return {}


def _peak() -> int | None:
    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


@contextlib.contextmanager
def as_convolutions() -> Iterator[None]:
    """Inside, 1 x 1 convolutions are traced as convolutions, as they are not on accelerators by default."""

    def convolved(x: jax.Array, matrix: jax.Array) -> jax.Array:
        images = x.reshape(-1, *x.shape[-3:])
        y = convolution._plain(images, matrix[None, None], 1, ((0, 0), (0, 0)))
        return y.reshape(*x.shape[:-1], matrix.shape[1])

    usual = convolution._plain_product
    convolution._plain_product = convolved
    try:
        yield
    finally:
        convolution._plain_product = usual


def _split_over_devices() -> jax.sharding.Sharding:
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (parallel.AXIS,))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(parallel.AXIS))


def _timed(call: Callable[[], Any], seconds: float = 0.1) -> list[float]:
    """Seconds of one call: `REPEATS` blocks of about `seconds`, after two calls that are not timed."""
    for _ in range(2):
        began = time.perf_counter()
        jax.block_until_ready(call())
        once = time.perf_counter() - began
    calls = max(1, min(100, round(seconds / once)))
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        for _ in range(calls):
            result = call()
        jax.block_until_ready(result)
        taken.append((time.perf_counter() - began) / calls)
    return taken


def _prepared(examples: int, stored: int, folder: Path) -> Data:
    """Random images in a cache of prepared ones, all for training."""
    index = DataIndex(
        source="benchmark",
        class_names=tuple(f"class {number}" for number in range(CLASSES)),
        names=np.array([f"{row:06d}" for row in range(examples)]),
        labels=np.arange(examples, dtype=np.int32) % CLASSES,
        read=lambda row: np.random.default_rng(row).integers(0, 256, (stored, stored, 3), np.uint8),
        settings=f"{stored} px",
    )
    prepared = prepare_examples(index, Preparation(stored, hue="none"), cache_dir=folder, progress=False)
    return Data(index, prepared, np.full(examples, "train"))


def _split(batches: HostBatches) -> Iterator[dict[str, np.ndarray]]:
    """As `training.loop` hands batches to the step."""
    return (parallel.split(batch) for batch in batches)


def _block(step: Step, batches: Iterator[Any], steps: int) -> tuple[float, float]:
    """Seconds of one of `steps` steps, and of these in waiting for a batch on the host."""
    began, waited, waiting = time.perf_counter(), 0.0, []
    for number in range(1, steps + 1):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        step.state, metrics = step.update(step.state, batch)
        if number > 1 and (number - 1) % step.config.train.log_every == 0:  # those before, as in training
            jax.device_get(waiting)
            waiting.clear()
        waiting.append(metrics)
    jax.block_until_ready(step.state.params)
    return (time.perf_counter() - began) / steps, waited / steps
