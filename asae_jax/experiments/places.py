"""Where cells run side by side: each on its own accelerator, or on its own share of the cores."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Mapping

from asae_jax.errors import UserError
from asae_jax.input.workers import default_workers

_PROBE = "import jax; print(jax.default_backend(), jax.local_device_count())"
_CUDA = "CUDA_VISIBLE_DEVICES"


@dataclasses.dataclass(frozen=True)
class Place:
    """What one cell may use.

    Attributes:
      cores: numbers of the processors; empty for all.
      environment: variables of its process.
    """

    cores: frozenset[int] = frozenset()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def pin(self, pid: int) -> None:
        """Keeps the process `pid` on the cores, where the system can do that."""
        if self.cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(pid, self.cores)


def choose_places(jobs: int) -> list[Place]:
    """The places of this machine.

    JAX is asked in a process of its own: once it has started here, it would hold the accelerators' memory.

    Args:
      jobs: how many; 0 for one per GPU, and one in all on a CPU or a TPU.

    Raises:
      UserError: JAX cannot start, or there are more jobs than cores on a CPU.
    """
    backend, count = _devices()
    if backend == "gpu":
        return _on_gpus(jobs or count, count)
    if jobs <= 1 or backend != "cpu":
        return [Place()] * max(jobs, 1)
    return _on_cores(jobs)


def _on_gpus(jobs: int, count: int) -> list[Place]:
    visible = [name for name in os.environ.get(_CUDA, "").split(",") if name] or [
        str(n) for n in range(count)
    ]
    shared = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} if jobs > count else {}
    return [Place(environment={_CUDA: visible[job % count]} | shared) for job in range(jobs)]


def _on_cores(jobs: int) -> list[Place]:
    if not hasattr(os, "sched_getaffinity"):
        return [Place()] * jobs
    cores = sorted(os.sched_getaffinity(0))
    if jobs > len(cores):
        raise UserError(
            f"config.reproduce.jobs={jobs} cannot be used: this machine has {default_workers()} cores for it."
        )
    share = len(cores) // jobs
    return [Place(frozenset(cores[job * share : (job + 1) * share])) for job in range(jobs)]


def _devices() -> tuple[str, int]:
    """JAX's backend and its number of devices."""
    probe = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, check=False)
    if probe.returncode:
        reason = (probe.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"JAX cannot start on this machine: {reason}")
    backend, count = probe.stdout.split()[-2:]
    return backend, int(count)
