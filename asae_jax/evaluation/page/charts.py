"""Line charts as SVG inside a page: sharp at any size, coloured by the page's style sheet, with no request.

A chart is `WIDTH` units wide and scales with its place. Lines differ by colour and by dashes, for readers
who do not tell the colours apart.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup, escape

WIDTH, HEIGHT = 420, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 12, 12, 40
_SPIKE = 5.0
"""A value this many times the median of its neighbours does not stretch the axis."""
_NEIGHBOURS = 7


@dataclass(frozen=True)
class Axis:
    """One axis of a chart.

    Attributes:
      label: what it shows, with the unit.
      low: value at its beginning; above 0 where `log`.
      high: value at its end, above `low`.
      log: whether equal steps are equal factors.
      percent: whether ticks are written as percent of 1.
    """

    label: str
    low: float
    high: float
    log: bool = False
    percent: bool = False

    def place(self, value: float) -> float:
        """Where `value` lies, 0..1; what is outside lies at the nearer end."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        clipped = min(max(value, self.low), self.high)
        return (self._scaled(clipped) - low) / (high - low)

    def ticks(self) -> list[tuple[float, str]]:
        """Three to seven values and their texts."""
        values = _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high)
        return [(value, f"{100 * value:.6g}" if self.percent else f"{value:.6g}") for value in values]

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else value


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
      name: for the legend.
      x: values `[n]`, rising.
      y: values `[n]`.
      style: 1, 2 or 3, a colour and dashes of the style sheet.
      dots: whether each value has a dot.
      ranges: `[n]` of (low, high), drawn as whiskers; or empty.
      line: whether the values are joined.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: int
    dots: bool = False
    ranges: Sequence[Sequence[float]] = ()
    line: bool = True


@dataclass(frozen=True)
class Marks:
    """What is marked in a chart besides its lines.

    Attributes:
      upright: (x, text) of an upright line.
      level: (y, text) of a level line.
      diagonal: whether the line y = x is drawn.
      spots: (x, y, style) of large spots.
    """

    upright: tuple[float, str] | None = None
    level: tuple[float, str] | None = None
    diagonal: bool = False
    spots: Sequence[tuple[float, float, int]] = field(default_factory=tuple)


def draw(x: Axis, y: Axis, series: Sequence[Series], marks: Marks | None = None, *, said: str) -> Markup:
    """A chart with its legend, as HTML.

    Args:
      x: the lower axis.
      y: the left axis.
      series: lines, at least one value in all.
      marks: besides them.
      said: what the chart shows in a sentence, for those who cannot see it.
    """
    marks = marks or Marks()
    parts = [
        *_frame(x, y),
        *_marked(x, y, marks),
        *(part for one in series for part in _drawn(x, y, one)),
        *(
            f'<circle class="spot s{s}" cx="{_x(x, at)}" cy="{_y(y, of)}" r="6"/>'
            for at, of, s in marks.spots
        ),
    ]
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(said)}">{"".join(parts)}</svg>'
    return Markup(svg + _legend(series))


def loss_axis(label: str, values: Sequence[float]) -> Axis:
    """A logarithmic axis of losses that a few spikes do not stretch; linear where a value is not above 0."""
    finite = np.array([value for value in values if math.isfinite(value)] or [0.0, 1.0], np.float64)
    high, low = _without_spikes(finite), float(finite.min())
    if low > 0:
        return Axis(label, low / 1.15, max(high, low) * 1.15, log=True)
    room = 0.05 * (high - low) or 1.0
    return Axis(label, low - room, high + room)


def above(axis: Axis, series: Series) -> list[tuple[float, float]]:
    """(x, y) of the values that lie above the axis."""
    return [(x, y) for x, y in zip(series.x, series.y, strict=True) if y > axis.high]


def _without_spikes(values: np.ndarray) -> float:
    """The largest value that is not `_SPIKE` times the median of those around it."""
    reach = _NEIGHBOURS // 2
    around = [np.median(values[max(0, i - reach) : i + reach + 1]) for i in range(len(values))]
    usual = values[values <= _SPIKE * np.maximum(around, 1e-12)]
    return float((usual if len(usual) else values).max())


def _ticks(low: float, high: float) -> list[float]:
    """Round values at equal distances, about five."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        values = [factor * 10.0**power for power in decades for factor in factors]
        inside = [value for value in values if low <= value <= high]
        if len(inside) >= 3:
            every = math.ceil(len(inside) / 7)
            return inside[::every]
    return _ticks(low, high)


def _x(axis: Axis, value: float) -> str:
    return f"{_LEFT + (WIDTH - _LEFT - _RIGHT) * axis.place(value):.1f}"


def _y(axis: Axis, value: float) -> str:
    return f"{HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * axis.place(value):.1f}"


def _frame(x: Axis, y: Axis) -> Iterator[str]:
    """Grid, numbers and names of both axes."""
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    for value, text in y.ticks():
        at = _y(y, value)
        yield f'<path class="grid" d="M{_LEFT} {at}H{right}"/>'
        yield f'<text class="end" x="{_LEFT - 6}" y="{at}" dy="4">{escape(text)}</text>'
    for value, text in x.ticks():
        at = _x(x, value)
        yield f'<path class="grid" d="M{at} {_TOP}V{bottom}"/>'
        yield f'<text class="middle" x="{at}" y="{bottom + 15}">{escape(text)}</text>'
    yield f'<text class="middle" x="{(_LEFT + right) / 2:.0f}" y="{HEIGHT - 6}">{escape(x.label)}</text>'
    yield (
        f'<text class="middle" transform="translate(12 {(_TOP + bottom) / 2:.0f}) rotate(-90)">'
        f"{escape(y.label)}</text>"
    )


def _marked(x: Axis, y: Axis, marks: Marks) -> Iterator[str]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    if marks.diagonal:
        yield f'<path class="rule" d="M{_LEFT} {bottom}L{right} {_TOP}"/>'
    if marks.level:
        level, text = marks.level
        height = _y(y, level)
        yield f'<path class="rule" d="M{_LEFT} {height}H{right}"/>'
        yield f'<text x="{_LEFT + 5}" y="{height}" dy="-4">{escape(text)}</text>'
    if marks.upright:
        place, text = marks.upright
        at, late = _x(x, place), x.place(place) > 0.5
        yield f'<path class="rule" d="M{at} {_TOP}V{bottom}"/>'
        yield (
            f'<text class="{"end" if late else "start"}" x="{at}" dx="{-5 if late else 5}" y="{_TOP + 11}">'
            f"{escape(text)}</text>"
        )


def _drawn(x: Axis, y: Axis, series: Series) -> Iterator[str]:
    """Whiskers, line and dots of a series; a triangle at the upper end stands for what lies above."""
    points = [(_x(x, at), _y(y, of)) for at, of in zip(series.x, series.y, strict=True)]
    for (at, _), (low, high) in zip(points, series.ranges, strict=bool(series.ranges)):
        yield f'<path class="whisker s{series.style}" d="M{at} {_y(y, low)}V{_y(y, high)}"/>'
    if series.line and len(points) > 1:
        yield f'<polyline class="line s{series.style}" points="{" ".join(map(",".join, points))}"/>'
    if series.dots or len(points) == 1:
        for at, of in points:
            yield f'<circle class="dot s{series.style}" cx="{at}" cy="{of}" r="3"/>'
    for beyond, _ in above(y, series):
        yield f'<path class="dot s{series.style}" d="M{_x(x, beyond)} {_TOP - 4}l5 9h-10z"/>'


def _legend(series: Sequence[Series]) -> str:
    items = (
        f'<li><svg viewBox="0 0 28 8" aria-hidden="true"><path class="line s{one.style}" d="M0 4H28"/></svg>'
        f"{escape(one.name)}</li>"
        for one in series
    )
    return f'<ul class="legend">{"".join(items)}</ul>'
