"""How the machine is divided among runs that go on side by side: cores or an accelerator for each."""

import dataclasses
import os
from collections.abc import Mapping

from asae_jax.errors import UserError
from asae_jax.input.workers import default_workers
from asae_jax.run import devices

_CUDA = "CUDA_VISIBLE_DEVICES"


@dataclasses.dataclass(frozen=True)
class Slot:
    """The part of the machine that one run may use.

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


def choose_slots(jobs: int) -> list[Slot]:
    """Divides this machine.

    Args:
      jobs: number of slots; 0 for one per GPU, and a single one on a CPU or a TPU.

    Raises:
      UserError: JAX cannot start, or there are more jobs than cores on a CPU.
    """
    backend, count = devices.probe()
    if backend == "gpu":
        return _on_gpus(jobs or count, count)
    if jobs <= 1 or backend != "cpu":
        return [Slot()] * max(jobs, 1)
    return _on_cores(jobs)


def devices_of_a_slot() -> int:
    """How many devices a run has in a slot whatever its batch size is, see `batch_size.choose`.

    Raises:
      UserError: JAX cannot start.
    """
    backend, count = devices.probe()
    return 1 if backend == "gpu" else count  # each slot has one GPU


def _on_gpus(jobs: int, count: int) -> list[Slot]:
    visible = [name for name in os.environ.get(_CUDA, "").split(",") if name] or [
        str(n) for n in range(count)
    ]
    shared = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} if jobs > count else {}
    return [Slot(environment={_CUDA: visible[job % count]} | shared) for job in range(jobs)]


def _on_cores(jobs: int) -> list[Slot]:
    if not hasattr(os, "sched_getaffinity"):
        return [Slot()] * jobs
    cores = sorted(os.sched_getaffinity(0))
    if jobs > len(cores):
        raise UserError(f"--jobs={jobs} cannot be used: this machine has {default_workers()} cores for it.")
    share = len(cores) // jobs
    return [Slot(frozenset(cores[job * share : (job + 1) * share])) for job in range(jobs)]
