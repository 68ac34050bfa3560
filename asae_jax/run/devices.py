"""The devices that JAX computes on here: names, number, why there are none, and what exceeds their memory."""

import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import Iterator

import jax

from asae_jax.errors import UserError
from asae_jax.run import hosts

_PROBE = "import jax; print(jax.default_backend(), jax.local_device_count())"


def machine() -> str:
    """What computes, in words: "2 processor cores", "one NVIDIA H100"."""
    count, kind = jax.device_count(), jax.devices()[0].device_kind
    where = f" of {hosts.count()} hosts" if hosts.count() > 1 else ""
    if jax.default_backend() == "cpu":
        return "one processor core" if count == 1 else f"{count} processor cores{where}"
    return f"one {kind}" if count == 1 else f"{count} x {kind}{where}"


def count_is_given() -> bool:
    """Whether XLA_FLAGS say how many devices a CPU is; else a run makes as many as share its batch."""
    return "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")


@functools.cache
def probe() -> tuple[str, int]:
    """JAX's backend, and the number of devices that are there whatever the batch size of a run is.

    JAX is asked in a process of its own, once: started here, it would hold the accelerators' memory. A CPU
    is one device, unless XLA_FLAGS say otherwise.

    Raises:
      UserError: JAX cannot start.
    """
    asked = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, check=False)
    if asked.returncode:
        reason = (asked.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"JAX cannot start on this machine: {reason}")
    backend, count = asked.stdout.split()[-2:]
    return backend, 1 if backend == "cpu" and not count_is_given() else int(count)


def device_fault() -> str | None:
    """Why JAX has no device, in a line; None where it has one. Starts JAX."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # jaxlib without CUDA fails an assertion
        asked = os.environ.get("JAX_PLATFORMS")
        reason = (str(error).strip().splitlines() or ["no such device"])[0]
        return (
            f"JAX cannot start{f' with JAX_PLATFORMS={asked}' if asked else ''} ({reason}): unset "
            "JAX_PLATFORMS to use what is here, or install the driver and the jaxlib of that device"
        )
    return None


TRAINING, SCORING = "the training step", "a batch that is scored"
STATISTICS, ADAPTING = "a batch whose statistics are estimated", "training all layers on the labels"
"""What may not fit into memory."""

_LESS_MEMORY = {
    TRAINING: "add --config.model.remat=True, then --config.train.accumulate=2, or a smaller "
    "--config.train.batch_size (docs/performance.md)",
    SCORING: "give a smaller --config.eval.batch_size",
    STATISTICS: "give --config.eval.batch_statistics=running, to `adapt` --statistics=keep",
    ADAPTING: "give --layers=last",
}


@contextlib.contextmanager
def within_memory(what: str) -> Iterator[None]:
    """Turns JAX's report that `what` does not fit into memory into a UserError with the remedy.

    Args:
      what: one of the four above, which decides the remedy.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise UserError(
            f"{what} does not fit into the memory of {machine()}: {_LESS_MEMORY[what]}."
        ) from error
