"""One training process a run folder: two would overwrite each other's checkpoints and metrics."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

import filelock

from asae_jax.errors import UserError
from asae_jax.files import disk_errors
from asae_jax.run import hosts

FILE = ".lock"

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


@contextlib.contextmanager
def only_one(workdir: Path) -> Iterator[None]:
    """Within the block no other process can train in `workdir`; of several hosts the first holds the lock.

    The lock belongs to the process, not to the file: a crash leaves none behind. Some network drives have no
    locks, which is said.

    Raises:
      UserError: another process holds the lock, or the folder cannot be written.
    """
    if not hosts.is_first():
        yield
        return
    lock = filelock.FileLock(workdir / FILE)
    with disk_errors(f"write to {workdir}", remedy="choose another --workdir=DIR"):
        workdir.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            raise UserError(
                f"another process is training in {workdir}: wait for it, or choose another --workdir=DIR."
                f"{_if_launched_together()}"
            ) from None
        except (NotImplementedError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
                raise
            print(f"the drive of {workdir} has no locks: see to it that no other process trains there")
    try:
        yield
    finally:
        lock.release()


def _if_launched_together() -> str:
    """The remedy where a launcher has started several processes that do not know of each other."""
    processes = hosts.launched()
    if processes == 1 or hosts.count() > 1:
        return ""
    return (
        f" {processes} processes were started together: --config.train.distributed=auto makes them one run."
    )
