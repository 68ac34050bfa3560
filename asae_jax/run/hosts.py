"""Several hosts that train one run: which of them this is, what they tell each other, how they end together.

Every host is a process with devices of its own; the first one owns the run folder. It decides (is the run
new, which checkpoint, which split) and tells the others, so that no two can differ, and training needs the
folder there alone. Small messages go through the coordination service that `jax.distributed` starts on the
first host; arrays travel between devices (`parallel.shared`).

A thread of each host watches the others. Whatever ends one of them ends all: an error is told, and shown by
each host in one line; a host that was killed or cut off is missed within half a minute. No wait is endless.

On one host, and before `start`, all of this does nothing.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

from asae_jax.errors import UserError, one_line

VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
"""Environment variables that say who the hosts are, where no cluster does."""

LAUNCHERS = ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", VARIABLES[1])
"""Environment variables by which a launcher says how many processes it has started."""

_TO_COME = 300  # seconds in which all hosts must have been started
_MISSED_AFTER = 25.0  # seconds without a sign of life
_JAX_MISSES_AFTER = 55  # JAX then ends the process itself, with many lines: ours come first
_BEAT = 1.0  # seconds between two signs of life
_PATIENCE = 6 * 3600.0  # seconds that a host waits for another that is alive: own caches take hours to fill
_LAST_WORDS = 10.0  # seconds in which the others hear from a first host that ends
_LAST_WORDS_OF_JAX = b"JAX distributed service detected fatal errors"
_DIED = 1
_PREFIX = "asae"

T = TypeVar("T")
Explain = Callable[[BaseException], tuple[str, int] | None]
"""An error -> the line that says it, and the exit status; None for a fault of the program."""


class _Group:
    """This process among the hosts."""

    def __init__(self, client: Any, index: int, count: int):
        self.client, self.index, self.count = client, index, count
        self.messages = 0
        self.leads = False
        self.stderr = sys.stderr
        self.ending = threading.Event()
        self.last_words = threading.Lock()


_group: _Group | None = None


def count() -> int:
    """How many hosts there are."""
    return 1 if _group is None else _group.count


def index() -> int:
    """Which of them this is, 0..count-1."""
    return 0 if _group is None else _group.index


def is_first() -> bool:
    """Whether this host owns the run folder."""
    return index() == 0


def launched() -> int:
    """How many processes of this program a launcher has started, as far as its variables tell."""
    found = [os.environ.get(name, "") for name in LAUNCHERS]
    return max((int(text) for text in found if text.isdecimal()), default=1)


def start() -> None:
    """Joins the other hosts. To be called before anything else uses JAX.

    TPU pods, SLURM and Open MPI say who they are; elsewhere `VARIABLES` do. Only the first host prints from
    then on.

    Raises:
      UserError: it is not known who the hosts are, or they have not all come.
    """
    global _group
    import jax
    from jax._src import distributed  # there is no public name for the client; Orbax takes it from there, too

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    given = _given()
    timer = threading.Timer(_TO_COME, _give_up)  # JAX would abort the process, with a page of lines
    timer.daemon = True
    timer.start()
    try:
        jax.distributed.initialize(
            **given,
            initialization_timeout=2 * _TO_COME,
            heartbeat_timeout_seconds=_JAX_MISSES_AFTER,
        )
    except (RuntimeError, ValueError) as error:
        raise UserError(
            _not_joined((str(error).strip().splitlines() or [type(error).__name__])[0])
        ) from error
    finally:
        timer.cancel()
    # JAX has taken SIGTERM for itself, and would let the process live on.
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM) or signal.SIG_DFL)
    state = distributed.global_state
    if state.num_processes > 1:
        _group = _Group(state.client, state.process_id, state.num_processes)
        _show_only_the_first(_group)
        threading.Thread(target=_watch, args=(_group,), daemon=True).start()


def _give_up() -> None:
    print(f"error: {_not_joined('some are missing')}", file=sys.stderr, flush=True)
    os._exit(_DIED)


def _not_joined(reason: str) -> str:
    return (
        f"config.train.distributed=auto: cannot join the other hosts ({reason}): all of them must be started "
        f"within {_TO_COME // 60} minutes, by SLURM, Open MPI or on a TPU pod, or else with "
        f"{', '.join(VARIABLES)} set."
    )


def _given() -> dict[str, Any]:
    """What `VARIABLES` say, as arguments of `jax.distributed.initialize`."""
    values = [os.environ.get(name) for name in VARIABLES]
    if not any(values[1:]):
        return {}
    if missing := [name for name, value in zip(VARIABLES, values, strict=True) if not value]:
        raise UserError(f"config.train.distributed=auto: {', '.join(missing)} must be set, too.")
    address, number, this = values
    try:
        given = {"coordinator_address": address, "num_processes": int(number), "process_id": int(this)}  # type: ignore[arg-type]
    except ValueError:
        raise UserError(f"{VARIABLES[1]}={number} and {VARIABLES[2]}={this} must be whole numbers.") from None
    return given | {"cluster_detection_method": "deactivate"}


def _show_only_the_first(group: _Group) -> None:
    """The other hosts print nothing but errors, not even what libraries say."""
    if group.index:
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  it stays open
        os.dup2(sys.stdout.fileno(), 1)
        _replace_last_words_of_jax(group)


def _replace_last_words_of_jax(group: _Group) -> None:
    """One line where JAX says in many that the first host is gone: it ends the process at that moment.

    What libraries write to the standard error goes through a pipe, the rest of it as it is.
    """
    outside, (read, write) = os.dup(2), os.pipe()
    group.stderr = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace")
    os.dup2(write, 2)

    def pass_on() -> None:
        while data := os.read(read, 65536):
            if _LAST_WORDS_OF_JAX in data:
                _lost(group, 0)
            os.write(outside, data)

    threading.Thread(target=pass_on, daemon=True).start()


def first(function: Callable[[], T]) -> T:
    """What `function` gives on the first host, on all hosts; the others do not call it.

    Args:
      function: what it gives can be written as JSON.
    """
    group = _group
    if group is None or group.leads:
        return function()
    value: Any = function() if group.index == 0 else None
    return gather(value, only_first=True)[0]


def gather(value: T, *, only_first: bool = False) -> list[T]:
    """The `value` of every host, in their order, when all have come to the same call.

    Args:
      value: can be written as JSON.
      only_first: only the first host's value is told, and nobody waits for another's.
    """
    group = _group
    if group is None or group.leads:
        return [value]
    group.messages += 1
    name = f"{_PREFIX}/{group.messages}"
    if group.index == 0 or not only_first:
        data = zlib.compress(json.dumps(value).encode())
        group.client.key_value_set_bytes(f"{name}/{group.index}", data)
    hosts = range(1 if only_first else group.count)
    return [json.loads(zlib.decompress(_waited_for(group, f"{name}/{host}"))) for host in hosts]


def _waited_for(group: _Group, key: str) -> bytes:
    """What stands under `key`, as soon as it does."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return group.client.blocking_key_value_get_bytes(key, 30_000)
        except Exception as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise
        if time.monotonic() > until:
            raise UserError(
                f"another host has not come to the same point within {_PATIENCE / 3600:g} hours: start the "
                "same command again, which goes on from the last checkpoint."
            )


def check_same(what: str, values: Mapping[str, Any]) -> None:
    """Raises a UserError on all hosts when one of them has other `values` than the first.

    Args:
      what: the values are, in words: "settings".
      values: name -> what can be written as JSON; the same names everywhere.
    """
    ours, *others = gather(dict(values))
    for host, theirs in enumerate(others, 1):
        if differing := [name for name, value in ours.items() if theirs.get(name) != value]:
            shown = ", ".join(f"{name} is {theirs.get(name)!r}, not {ours[name]!r}" for name in differing[:3])
            raise UserError(
                f"host {host} has other {what} than host 0 ({shown}): start the same command on all hosts, "
                "with the same data."
            )


def leading() -> bool:
    """Whether this is the first host inside `led`."""
    return _group is not None and _group.leads


@contextlib.contextmanager
def lead() -> Iterator[None]:
    """Inside, the first host works alone: what it does not `tell` the others do not take part in."""
    group = _group
    if group is None:
        yield
        return
    group.leads = True
    yield
    group.leads = False
    first(lambda: None)


def tell(task: Mapping[str, Any]) -> None:
    """Gives the other hosts something to do: what `next_task` returns there."""
    if _group is not None:
        _group.leads = False
        first(lambda: task)
        _group.leads = True


def next_task() -> Any:
    """What the first host tells next; None when it has ended to `lead`."""
    return first(lambda: None)


def run(work: Callable[[], int], explain: Explain) -> int:
    """Does `work` on a host and returns its exit status when all hosts have done theirs.

    An error ends all hosts, whatever they are at: each prints it in one line. Does not return then.
    """
    group = _group
    if group is None:
        return work()
    try:
        status = work()
        gather(None)
    except BaseException as error:
        said = explain(error)
        if said is None and isinstance(error, RuntimeError):
            # A collective that fails because another host is gone: which one, the watching thread will say.
            time.sleep(_MISSED_AFTER + 5 * _BEAT)
        if said is None:
            traceback.print_exception(error, file=group.stderr)
            said = f"error: {type(error).__name__}: {str(error).partition(chr(10))[0]}", _DIED
        _end(group, *said)
    group.ending.set()
    import jax

    jax.distributed.shutdown()
    return status


def _end(group: _Group, line: str, status: int, *, lost: int = 0) -> NoReturn:
    """Ends this process, and tells the others why."""
    _say_last(group, line)
    with contextlib.suppress(Exception):  # another host was faster
        reason = line.removeprefix("error: ")
        told = json.dumps([f"error: host {group.index} of {group.count}: {reason}", status])
        group.client.key_value_set(f"{_PREFIX}/end/line", told)
    _leave(group, status, lost=lost)


def _say_last(group: _Group, line: str) -> None:
    """Only one of this process's threads comes out of here, so that there is one line."""
    group.ending.set()
    if not group.last_words.acquire(blocking=False):
        time.sleep(_PATIENCE)
    sys.stdout.flush()
    print(one_line(line), file=group.stderr, flush=True)


def _leave(group: _Group, status: int, *, lost: int = 0) -> NoReturn:
    """Ends this process; the first host, which passes on what is told, after those not lost have heard it."""
    with contextlib.suppress(Exception):
        group.client.key_value_set(f"{_PREFIX}/left/{group.index}", "")
        until = time.monotonic() + _LAST_WORDS
        while group.index == 0 and time.monotonic() < until:
            if len(group.client.key_value_dir_get(f"{_PREFIX}/left/")) >= group.count - lost:
                break
            time.sleep(_BEAT / 4)
    sys.stdout.flush()
    os._exit(status)


def _watch(group: _Group) -> None:
    """Ends this process when another host has ended or does not answer any more."""
    beats, seen = 0, dict.fromkeys(range(group.count), ("", time.monotonic()))
    while not group.ending.wait(_BEAT):
        now = time.monotonic()
        try:
            beats += 1
            group.client.key_value_set(f"{_PREFIX}/alive/{group.index}", str(beats), allow_overwrite=True)
            alive = dict(group.client.key_value_dir_get(f"{_PREFIX}/alive/"))
            told = dict(group.client.key_value_dir_get(f"{_PREFIX}/end/"))
        except Exception:
            if not group.ending.is_set():
                _lost(group, 0)
            return
        if told:
            line, status = json.loads(next(iter(told.values())))
            _say_last(group, line)
            _leave(group, status)
        for host in range(group.count):
            if (beat := alive.get(f"{_PREFIX}/alive/{host}", "")) != seen[host][0]:
                seen[host] = beat, now
            if now - seen[host][1] > _MISSED_AFTER:
                _lost(group, host)


def _lost(group: _Group, host: int) -> NoReturn:
    line = (
        f"error: host {host} of {group.count} has ended or does not answer any more: start the same command "
        "on all hosts again, which goes on from the last checkpoint."
    )
    if host == 0:  # nobody is left who could pass it on
        _say_last(group, line)
        os._exit(_DIED)
    _end(group, line, _DIED, lost=1)
