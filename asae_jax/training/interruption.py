"""Ending a run on request, at the end of a step: SIGTERM (a cluster takes the machine back) or Ctrl-C.

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


@contextlib.contextmanager
def watch() -> Iterator[Interruption]:
    """Within the block the first SIGTERM or SIGINT is noted, not obeyed; a second one acts as usual.

    One that is ignored is left so.
    """
    interruption = Interruption()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
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
