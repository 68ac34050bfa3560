"""What a command shows while it works: a bar on a terminal, a line now and then in a log, and the time left.

The time left is one estimate for the whole command. A command of several parts names them by `plan`, with
what a unit of each costs beside the others before it has been measured; every `Bar` inside measures its part.
Compiling is kept apart: it happens once, and would spoil the pace of what comes after.
"""

import contextlib
import contextvars
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import NamedTuple, TypeVar

from tqdm import tqdm

COMPILING = "compiling"
"""The part of a plan that counts compilations."""

_MEMORY_SECONDS = 300.0  # the pace is a mean over about so long
_SAMPLE_SECONDS = 1.0  # results that come in bursts are timed from burst to burst
_LINE_SECONDS = 60.0  # between two lines in a log
_PAINT_SECONDS = 0.1  # between two states of a bar
_BAR = "{{desc}}: {{percentage:3.0f}}%|{{bar}}| {{n:{0}}} of {{total:{0}}} {{unit}}s{{postfix}}"
_MINUTE, _HOUR, _DAY = 60, 3600, 24 * 3600

Item = TypeVar("Item")


class Part(NamedTuple):
    """Work of one kind.

    Attributes:
      total: its units, such as steps or images.
      like: the part whose pace it has, times `ratio`, until its own is measured.
      ratio: seconds of a unit for each second of a unit of `like`; without `like` the seconds themselves.
        NaN: not known, and neither is the time left.
    """

    total: float
    like: str = ""
    ratio: float = math.nan


class Forecast:
    """The time left for work of several parts, from the pace of what has been done of each.

    The pace is a mean that forgets, over about five minutes: steady, and yet it follows a machine that
    becomes slower.
    """

    def __init__(self, parts: Mapping[str, Part]):
        self._parts = dict(parts)
        self._left = {name: float(part.total) for name, part in parts.items()}
        self._seconds, self._units = dict.fromkeys(parts, 0.0), dict.fromkeys(parts, 0.0)

    def __contains__(self, name: str) -> bool:
        return name in self._parts

    def measured(self, name: str, units: float, seconds: float) -> None:
        """Takes the time that `units` of a part took."""
        fading = math.exp(-seconds / _MEMORY_SECONDS)
        self._seconds[name] = self._seconds[name] * fading + seconds
        self._units[name] = self._units[name] * fading + units

    def done(self, name: str, units: float) -> None:
        """Takes off what was done of a part."""
        self._left[name] = max(0.0, self._left[name] - units)

    def seconds_left(self) -> float | None:
        """For all parts together; None while the pace of one with work left is not known."""
        seconds = sum(self._pace(name) * left for name, left in self._left.items() if left)
        return None if math.isnan(seconds) else seconds

    def _pace(self, name: str) -> float:
        """Seconds of a unit; NaN where nothing tells it."""
        if self._units[name]:
            return self._seconds[name] / self._units[name]
        part = self._parts[name]
        return part.ratio * (self._pace(part.like) if part.like else 1.0)


_plan: contextvars.ContextVar[Forecast | None] = contextvars.ContextVar("plan", default=None)


@contextlib.contextmanager
def plan(forecast: Forecast) -> Iterator[None]:
    """Inside, bars and `timed` blocks of its parts share one estimate of the time left."""
    token = _plan.set(forecast)
    try:
        yield
    finally:
        _plan.reset(token)


@contextlib.contextmanager
def timed(name: str, units: float = 1.0) -> Iterator[None]:
    """Measures the block as `units` of a part of the plan, where the plan has that part."""
    started = time.monotonic()
    yield
    forecast = _plan.get()
    if forecast is not None and name in forecast:
        forecast.measured(name, units, time.monotonic() - started)
        forecast.done(name, units)


class Bar:
    """One part of a command at work, on standard error: a bar on a terminal, in a log a line a minute."""

    def __init__(
        self,
        title: str,
        total: float,
        unit: str,
        *,
        done: float = 0,
        part: str = "",
        compiles: float = 0.0,
        bursts: bool = True,
        timed: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Shows nothing where `title` is empty or there is nothing to do; it measures all the same.

        Args:
          title: what is being done.
          total: units in all.
          unit: what is counted, in the singular.
          done: units that were done before; a float where parts of a unit count.
          part: of the plan that is measured; one that the plan lacks, or "": this bar by itself.
          compiles: units of the part `COMPILING` that the first result waits for, which is said; 0: none.
          bursts: whether updates come in bursts, as from batches; else each is as long as its units.
          timed: whether the time left is shown.
          clock: seconds.
        """
        self._title, self._total, self._unit = title, total, unit
        current = _plan.get()
        self._part = part or title
        own = current is None or self._part not in current
        self._forecast = Forecast({self._part: Part(total - done)}) if current is None or own else current
        self._clock, self._spacing = clock, _SAMPLE_SECONDS if bursts else 0.0
        self._done, self._note, self._compiles, self._timed = done, "", compiles, timed
        self._started = self._line = clock()
        self._sampled: tuple[float, float] | None = None if compiles else (self._started, done)
        self._is_shown = bool(title) and total > done
        self._tqdm = self._terminal_bar() if self._is_shown and _is_terminal() else None
        if compiles >= 1 and self._is_shown and self._tqdm is None:  # in a log nothing of what is quick
            _log(f"{title}: {COMPILING} for this machine first")

    def _terminal_bar(self) -> tqdm:
        bar = tqdm(
            total=self._total, initial=self._done, desc=self._title, unit=self._unit, dynamic_ncols=True,
            bar_format=_BAR.format(",.1f" if isinstance(self._done, float) else ","),
        )  # fmt: skip
        if self._compiles:
            bar.set_postfix_str(f"{COMPILING} for this machine first")
        return bar

    def __enter__(self) -> "Bar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def update(self, units: float = 1, note: str | None = None) -> None:
        """Counts `units` more; `note` is shown behind the numbers until there is another."""
        now = self._clock()
        self._done = min(self._done + units, self._total)  # tqdm can show no more than all
        self._forecast.done(self._part, units)
        self._note = self._note if note is None else note
        if self._sampled is None:
            if COMPILING in self._forecast:
                self._forecast.measured(COMPILING, self._compiles, now - self._started)
                self._forecast.done(COMPILING, self._compiles)
            self._sampled = now, self._done
        elif now - self._sampled[0] >= self._spacing:
            self._sample(now)
        self._show(now)

    def note(self, text: str) -> None:
        """Shows `text` behind the numbers until there is another."""
        self._note = text
        self._paint()

    def _sample(self, now: float) -> None:
        since, before = self._sampled or (now, self._done)
        if self._done > before:
            self._forecast.measured(self._part, self._done - before, now - since)
            self._sampled = now, self._done

    def _show(self, now: float) -> None:
        if self._tqdm is not None and now - self._line >= _PAINT_SECONDS:
            self._line = now
            self._paint()
        elif self._tqdm is None and self._is_shown and now - self._line >= _LINE_SECONDS:
            self._line = now
            counted = f"{_number(self._done)} of {_number(self._total)} {self._unit}s"
            _log(f"{self._title}: " + ", ".join(filter(None, (counted, self._note, self.time_left()))))

    def _paint(self) -> None:
        if self._tqdm is not None:
            self._tqdm.n = self._done
            self._tqdm.set_postfix_str(", ".join(filter(None, (self._note, self.time_left()))))

    def time_left(self) -> str:
        """ "about 12 min left", for the whole command where it has a plan; empty while that is not known."""
        seconds = self._forecast.seconds_left() if self._timed else None
        if not seconds:
            return ""
        return "less than a minute left" if seconds < _MINUTE else f"about {duration(seconds)} left"

    def restart(self) -> None:
        """Starts the clock anew, after something that is not of this part."""
        if self._sampled is not None:
            self._sampled = self._clock(), self._done

    def say(self, line: str) -> None:
        """Prints a line, above the bar where there is one."""
        if self._tqdm is not None:
            self._tqdm.write(line)
        else:
            print(line, flush=True)
            self._line = self._clock()

    def close(self) -> None:
        """Ends the bar, and measures what it has not yet."""
        if self._sampled is not None and self._spacing:
            self._sample(self._clock())
        if self._tqdm is not None:
            self._tqdm.n = self._done
            self._tqdm.set_postfix_str(self._note)
            self._tqdm.close()
            self._tqdm = None


def track(
    items: Iterable[Item], title: str, total: int, unit: str, *, part: str = "", compiles: float = 0.0
) -> Iterator[Item]:
    """Yields `items` and shows how many of `total` have come.

    Args:
      items: any number of them.
      title: what is being done; empty: nothing is shown.
      total: items in all.
      unit: what is counted, in the singular.
      part: of the plan that is measured, see `Bar`.
      compiles: units of the part `COMPILING` that the first item waits for; 0: none.
    """
    with Bar(title, total, unit, part=part, compiles=compiles) as bar:
        for item in items:
            bar.update()
            yield item


def duration(seconds: float) -> str:
    """ "3 min", "2.5 h", "3.1 days"; what is shorter than a minute is "1 min"."""
    if seconds < _HOUR:
        return f"{max(1, round(seconds / _MINUTE))} min"
    return f"{seconds / _HOUR:.1f} h" if seconds < 2 * _DAY else f"{seconds / _DAY:.1f} days"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def _is_terminal() -> bool:
    return sys.stderr.isatty()


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
