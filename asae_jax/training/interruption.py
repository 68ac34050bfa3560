"""Ending a run on request, at the end of a step: Ctrl-C, or a signal that a cluster takes its machine back.

That is SIGTERM, or SIGUSR1 where a job asks for a warning ahead of it (SLURM: `--signal=USR1@120`).

A signal that is ignored when the run starts stays ignored. So is SIGINT in a job that a script puts into the
background (`nohup python main.py ... &`): a Ctrl-C is meant for what runs in front of it, and whoever puts a
run there wants it to go on. `kill` (SIGTERM) still ends it with a checkpoint.
"""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class Interruption:
    """Whether a signal asked the run to end, and which."""

    signal_number: int | None = None

    @property
    def requested(self) -> bool:
        """True from the first signal on."""
        return self.signal_number is not None

    @property
    def exit_status(self) -> int:
        """128 + the signal's number, as a shell would say; 0 when nothing was asked."""
        return 128 + self.signal_number if self.signal_number is not None else 0


_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)
)  # Windows has no SIGUSR1


@contextlib.contextmanager
def watch() -> Iterator[Interruption]:
    """Within the block the first of these signals is noted, not obeyed; a second one acts as usual.

    One that is ignored is left so.
    """
    interruption = Interruption()
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    previous = {number: handler for number, handler in handlers.items() if handler != signal.SIG_IGN}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        interruption.signal_number = number
        restore()

    for number in previous:
        signal.signal(number, note)
    try:
        yield interruption
    finally:
        restore()
