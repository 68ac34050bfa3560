"""Tries inputs in a process of their own, which is ended when it hangs, and counts what becomes of them."""

import collections
import importlib
import multiprocessing
import os
import pathlib
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from asae_jax.errors import UserError, one_line

OUTCOMES = ("used", "refused", "traceback", "hang", "memory", "crash", "wrote", "executed")


MARKER = "EXECUTED"
"""Name of the file that code in an input would make beside the input's folder."""


class Fault(NamedTuple):
    """An input that was not handled, and how to make it again."""

    kind: str
    number: int
    outcome: str
    detail: str


class Refused(Exception):
    """What an `attempt` raises for an error of the program that the user sees: the message."""


def refusing(function: Callable, *arguments: Any) -> None:
    """Calls `function`; an error that a user would see is raised as `Refused`."""
    try:
        function(*arguments)
    except UserError as error:
        raise Refused(str(error)) from None


# Within the process that tries.


_seen: list[tuple[str, str]] = []
_allowed: list[str] = []

_STARTS = {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "pty.spawn",
           "socket.connect", "socket.bind", "webbrowser.open", "pickle.find_class"}  # fmt: skip
_CHANGES = {"os.mkdir": 1, "os.remove": 1, "os.rmdir": 1, "os.truncate": 1, "os.chmod": 1, "os.rename": 2,
            "os.link": 2, "os.symlink": 2, "shutil.rmtree": 1, "shutil.copyfile": 2}  # fmt: skip


def _audit(event: str, arguments: tuple) -> None:
    if not _allowed:
        return
    if event == "subprocess.Popen" and arguments[0] == "uname":  # Python's own `platform.processor`
        return
    if event in _STARTS:
        _seen.append(("executed", f"{event} {arguments!r}"[:300]))
    elif event in _CHANGES:
        for path in arguments[: _CHANGES[event]][-1:]:
            _note_write(event, path)
    elif event == "open":
        path, mode, how = arguments
        writes = how & (os.O_WRONLY | os.O_RDWR) if isinstance(how, int) else set(mode or "") & set("wax+")
        if writes:
            _note_write(event, path)


def _note_write(event: str, path: Any) -> None:
    if not isinstance(path, str | bytes | os.PathLike):
        return
    place = os.path.realpath(os.fsdecode(path))
    if place != "/dev/null" and not any(place == top or place.startswith(f"{top}/") for top in _allowed):
        _seen.append(("wrote", f"{event} {place}"[:300]))


def _memory(name: str) -> float:
    """Megabytes that the kernel counts for this process: VmRSS now, VmHWM at most."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) / 1024


def _reset_peak() -> None:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def _is_one_line(message: str) -> bool:
    return one_line(message) == message and len(message) < 5000


def try_one(
    use: Callable[[], object], folder: pathlib.Path, megabytes_allowed: float
) -> tuple[str, str, float, float]:
    """Outcome, detail, seconds and megabytes of one input."""
    canary = folder.parent / MARKER
    _reset_peak()
    before, start = _memory("VmRSS"), time.process_time()
    del _seen[:]
    _allowed[:] = [os.path.realpath(folder)]
    try:
        use()
        outcome, detail = "used", ""
    except Refused as error:
        outcome, detail = ("refused" if _is_one_line(str(error)) else "traceback"), str(error)
    except BaseException:
        outcome, detail = "traceback", traceback.format_exc()[-3000:]
    finally:
        _allowed.clear()
    megabytes = max(0.0, _memory("VmHWM") - before)
    if _seen or canary.exists():
        outcome, detail = _seen[0] if _seen else ("executed", "the marker file is there")
    elif outcome != "traceback" and megabytes > megabytes_allowed:
        outcome, detail = "memory", f"{megabytes:.0f} MB; {detail}"
    return outcome, detail, time.process_time() - start, megabytes


def _work(kind: str, seed: int, numbers: range, folder: str, megabytes: float, pipe: Connection) -> None:
    module = importlib.import_module(f"benchmarks.hostile.{kind}")
    place = pathlib.Path(folder)
    module.prepare(place)
    sys.addaudithook(_audit)
    pipe.send(("ready",))
    for number in numbers:
        pipe.send(("start", number))
        own = place / f"{number}"
        own.mkdir(exist_ok=True)
        use = module.attempt(number, seed, own)
        pipe.send(("made", number))
        pipe.send(("end", number, *try_one(use, own, megabytes)))
        shutil.rmtree(own, ignore_errors=True)
    pipe.send(("done",))


# The process that counts.


class Tally:
    """What became of the inputs of one kind."""

    def __init__(self, kind: str):
        self.kind = kind
        self.counts: collections.Counter[str] = collections.Counter()
        self.slowest: tuple[float, int] = (0.0, -1)
        self.largest: tuple[float, int] = (0.0, -1)
        self.faults: list[Fault] = []
        self.messages: list[tuple[int, str]] = []

    def add(self, number: int, outcome: str, detail: str, seconds: float = 0, megabytes: float = 0) -> None:
        """Counts one input."""
        self.counts[outcome] += 1
        self.slowest = max(self.slowest, (seconds, number))
        self.largest = max(self.largest, (megabytes, number))
        if outcome not in ("used", "refused"):
            self.faults.append(Fault(self.kind, number, outcome, detail))
            print(f"{self.kind} {number}: {outcome}: {detail[-400:]}", file=sys.stderr, flush=True)
        elif outcome == "refused":
            self.messages.append((number, detail))

    def line(self) -> str:
        """The counts, in one line."""
        total = sum(self.counts.values())
        said = ", ".join(f"{self.counts[name]:,} {name}" for name in OUTCOMES)
        return (
            f"{self.kind}: {total:,} inputs: {said}; slowest {self.slowest[0]:.1f} s "
            f"(number {self.slowest[1]}), most memory {self.largest[0]:.0f} MB (number {self.largest[1]})"
        )


def run_kind(
    kind: str, seed: int, numbers: range, folder: pathlib.Path, seconds: float, megabytes: float
) -> Tally:
    """Tries the inputs of one kind, one after another, in processes that are replaced when they die."""
    tally, context = Tally(kind), multiprocessing.get_context("spawn")
    left = numbers
    while left:
        here, there = context.Pipe()
        process = context.Process(
            target=_work, args=(kind, seed, left, str(folder), megabytes, there), daemon=True
        )
        process.start()
        there.close()
        current = _listen(here, process.pid, tally, seconds)
        process.kill()
        process.join()
        left = range(current + 1, numbers.stop) if current is not None else range(0)
    return tally


def _answers(pipe: Connection, pid: int, seconds: float) -> bool:
    """Whether a message comes within so many seconds of the process's own work, or thirty times as long."""
    end, before = time.monotonic() + 30 * seconds, _worked(pid)
    while not pipe.poll(1.0):
        if _worked(pid) - before > seconds or time.monotonic() > end:
            return False
    return True


def _worked(pid: int) -> float:
    """Processor seconds of a process; 0 where it has ended."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _listen(pipe: Connection, pid: int, tally: Tally, seconds: float) -> int | None:
    """The input at which the process was lost; None where it came to the end."""
    current, patience = None, 300.0  # it loads libraries first
    while True:
        try:
            if not _answers(pipe, pid, patience):
                tally.add(current if current is not None else -1, "hang", "no answer", patience)
                return current
            message = pipe.recv()
        except EOFError:
            if current is None:
                raise SystemExit(f"the process for {tally.kind} does not start") from None
            tally.add(current, "crash", "the process died")
            return current
        if message[0] == "done":
            return None
        if message[0] in ("start", "made"):
            current, patience = message[1], seconds if message[0] == "made" else 300.0
        elif message[0] == "end":
            tally.add(*message[1:])
