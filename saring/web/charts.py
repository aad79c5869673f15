"""Charts as SVG, made on the server. Each has a title, a description, and a table with its numbers beside it.

A chart is escaped markup. Colours are classes of `static/saring.css`, so that it follows the theme.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

#: size of a chart in units of its own; browsers scale it to the page's width
WIDTH, HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 12, 12, 34
#: width of a letter of the marks on a phone, where they are larger beside the chart
_LETTER = 12
_LEGEND_ITEM = Markup(
    '<li><svg viewBox="0 0 12 12" aria-hidden="true"><rect class="fill c{}" width="12" height="12"/></svg>{}</li>'
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart, with an interval around it where there is one."""

    name: str
    #: pairs (x, y) in order of x
    points: Sequence[tuple[float, float]]
    #: triples (x, low, high) in order of x
    band: Sequence[tuple[float, float, float]] = ()
    #: number of its colour, from 1 to 6
    colour: int = 1
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis: its name, its ends, and the marks on it."""

    name: str
    low: float = 0.0
    high: float = 1.0
    #: pairs of a place and its words; empty: marks at round numbers are made
    ticks: Sequence[tuple[float, str]] = field(default=())

    def marks(self) -> Sequence[tuple[float, str]]:
        """The marks on the axis."""
        if self.ticks:
            return self.ticks
        step = _step(self.high - self.low)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [(step * i, _mark(step * i)) for i in range(first, last + 1)]

    def at(self, value: float) -> float:
        """Place of a value between the ends, from 0 to 1."""
        span = self.high - self.low or 1.0
        return min(1.0, max(0.0, (value - self.low) / span))


def lines(title: str, description: str, x: Axis, y: Axis, drawn: Sequence[Line]) -> Markup:
    """A chart of lines: curves, or values over time.

    Args:
        title: what it shows, in a few words.
        description: what it says, in a sentence, for people who do not see it.
        x: the horizontal axis.
        y: the vertical axis.
        drawn: the lines; each is named at its end in the legend.
    """
    parts = [_frame(x, y)]
    for line in drawn:
        if line.band:
            upper = [f"{_px(x, a):.1f},{_py(y, high):.1f}" for a, _, high in line.band]
            lower = [f"{_px(x, a):.1f},{_py(y, low):.1f}" for a, low, _ in reversed(line.band)]
            parts.append(Markup('<polygon class="band c{}" points="{}"/>').format(line.colour, " ".join(upper + lower)))
        points = " ".join(f"{_px(x, a):.1f},{_py(y, b):.1f}" for a, b in line.points)
        dashed = Markup(' stroke-dasharray="5 4"') if line.dashed else Markup("")
        parts.append(
            Markup('<polyline class="line c{}" fill="none"{} points="{}"/>').format(line.colour, dashed, points)
        )
        if len(line.points) == 1:
            a, b = line.points[0]
            parts.append(
                Markup('<circle class="dot c{}" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(
                    line.colour, _px(x, a), _py(y, b)
                )
            )
    return _svg(title, description, parts) + _legend(drawn)


def bars(
    title: str, description: str, values: Sequence[tuple[str, float]], *, y_name: str = "", colour: int = 1
) -> Markup:
    """A chart of bars, one for each name."""
    top = max([value for _, value in values] or [1.0]) or 1.0
    width = 1 / max(1, len(values))
    ticks = [((i + 0.5) * width, name) for i, (name, _) in enumerate(values)]
    longest = max((len(name) for name, _ in values), default=1)
    most = max(1, int((WIDTH - _LEFT - _RIGHT) / (_LETTER * longest + 10)))
    x = Axis("", 0, 1, ticks[:: max(1, math.ceil(len(ticks) / most))])
    y = _counts(y_name, top) if all(float(value).is_integer() for _, value in values) else Axis(y_name, 0, top)
    parts = [_frame(x, y)]
    for i, (name, value) in enumerate(values):
        left, right = _px(x, (i + 0.1) * width), _px(x, (i + 0.9) * width)
        parts.append(_bar(left, right, _py(y, value), _py(y, 0), colour, f"{name}: {_short(value)}"))
    return _svg(title, description, parts)


def histogram(
    title: str,
    description: str,
    edges: Sequence[float],
    counts: Sequence[float],
    *,
    cut: float | None = None,
    x_name: str = "",
    y_name: str = "",
) -> Markup:
    """A histogram, with a line at a cut: bars below it have another colour.

    Args:
        title: what it shows.
        description: what it says, in a sentence.
        edges: edges of the bins, ascending, one more than bins.
        counts: number in each bin.
        cut: where the line is; None: there is none.
        x_name: name of the horizontal axis.
        y_name: name of the vertical axis.
    """
    x, y = Axis(x_name, edges[0], edges[-1]), _counts(y_name, max([*counts, 1.0]))
    parts = [_frame(x, y)]
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        colour = 2 if cut is not None and (low + high) / 2 < cut else 1
        words = f"{_short(low)} – {_short(high)}: {_short(count)}"
        parts.append(_bar(_px(x, low) + 0.5, _px(x, high) - 0.5, _py(y, count), _py(y, 0), colour, words))
    if cut is not None:
        at = _px(x, cut)
        parts.append(
            Markup('<line class="cut" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(at, _TOP, HEIGHT - _BOTTOM)
        )
    return _svg(title, description, parts)


def share_bar(title: str, shares: Sequence[tuple[str, float]]) -> Markup:
    """One bar that is divided into named shares."""
    total = sum(share for _, share in shares) or 1.0
    parts, left = [], 0.0
    for i, (name, share) in enumerate(shares):
        width = WIDTH * share / total
        parts.append(
            Markup(
                '<rect class="fill c{}" x="{:.1f}" y="0" width="{:.1f}" height="18"><title>{}: {:.0%}</title></rect>'
            ).format(i % 6 + 1, left, max(0.0, width - 1), name, share / total)
        )
        left += width
    drawn = [Line(f"{name} {share / total:.0%}", (), colour=i % 6 + 1) for i, (name, share) in enumerate(shares)]
    body = Markup("").join(parts)
    return Markup(
        '<svg class="share" viewBox="0 0 {} 18" role="img" preserveAspectRatio="none"><title>{}</title>{}</svg>'
    ).format(WIDTH, title, body) + _legend(drawn)


def _svg(title: str, description: str, parts: Sequence[Markup]) -> Markup:
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img"><title>{}</title><desc>{}</desc>{}</svg>').format(
        WIDTH, HEIGHT, title, description, Markup("").join(parts)
    )


def _frame(x: Axis, y: Axis) -> Markup:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = []
    for value, words in y.marks():
        at = _py(y, value)
        parts.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(_LEFT, right, at, at)
        )
        parts.append(Markup('<text x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(_LEFT - 6, at + 4, words))
    for value, words in x.marks():
        at = _px(x, value)
        # what is near the right edge would reach beyond it
        anchor = "middle" if at + len(words) * _LETTER / 2 <= WIDTH else "end"
        at = at if anchor == "middle" else WIDTH
        parts.append(
            Markup('<text x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(at, bottom + 16, anchor, words)
        )
    if x.name:
        middle = (_LEFT + right) / 2
        parts.append(Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(middle, HEIGHT - 3, x.name))
    if y.name:
        parts.append(Markup('<text x="{}" y="{}">{}</text>').format(_LEFT + 4, _TOP + 10, y.name))
    return Markup("").join(parts)


def _bar(left: float, right: float, top: float, bottom: float, colour: int, words: str) -> Markup:
    return Markup(
        '<rect class="fill c{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
    ).format(colour, left, top, max(0.0, right - left), max(0.0, bottom - top), words)


def _legend(drawn: Sequence[Line]) -> Markup:
    if not drawn:
        return Markup("")
    items = Markup("").join(_LEGEND_ITEM.format(line.colour, escape(line.name)) for line in drawn)
    return Markup('<ul class="legend">{}</ul>').format(items)


def _counts(name: str, top: float) -> Axis:
    """An axis of whole numbers: its marks are at whole numbers."""
    step = max(1, math.ceil(_step(top)))
    return Axis(name, 0, top, [(value, _mark(value)) for value in range(0, int(top) + 1, step)])


def _step(span: float) -> float:
    """A round distance between marks: 1, 2 or 5 times a power of ten, so that there are three to eight."""
    if span <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(span))
    return next(power * share for share in (0.2, 0.5, 1.0, 2.0) if span / (power * share) <= 7)


def _px(x: Axis, value: float) -> float:
    return _LEFT + x.at(value) * (WIDTH - _LEFT - _RIGHT)


def _py(y: Axis, value: float) -> float:
    return HEIGHT - _BOTTOM - y.at(value) * (HEIGHT - _TOP - _BOTTOM)


def _mark(value: float) -> str:
    """A number as an axis has it, of at most five letters or so."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if abs(value) >= max(size, 10_000):
            return f"{value / size:.3g}{letter}"
    return _short(value)


def _short(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
