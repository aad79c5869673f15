"""A picture of ratios as an SVG file of its own: bars to both sides of 1, on a scale by tens."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

_WIDTH, _ROW, _TOP = 760, 18, 30
#: where names end, and where the scale does
_NAMES, _RIGHT = 270, 700
#: a bar that would be longer ends here
_MOST = 1000.0
_LEAST = 0.01
_STYLE = Markup(
    "text{font:12px sans-serif;fill:#333}line{stroke:#ccc}.one{stroke:#333}.ahead{fill:#1a7f64}.behind{fill:#b3541e}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}line{stroke:#555}.one{stroke:#ddd}"
    ".ahead{fill:#4fc3a1}.behind{fill:#e0915c}}"
)


def ratio_chart(title: str, description: str, ratios: Sequence[tuple[str, float]]) -> Markup:
    """Bars of ratios, the largest first.

    Args:
        title: what it shows.
        description: what it says, for people who do not see it.
        ratios: pairs of a name and how many times as good ours is.
    """
    ordered = sorted(ratios, key=lambda one: -one[1])
    bottom = _TOP + _ROW * len(ordered)
    parts = []
    for power in range(round(math.log10(_LEAST)), round(math.log10(_MOST)) + 1):
        at = _at(10.0**power)
        is_one = Markup(' class="one"') if power == 0 else Markup("")
        parts.append(
            Markup('<line x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"{3}/>').format(at, _TOP - 6, bottom, is_one)
        )
        parts.append(
            Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(at, _TOP - 12, _mark(10.0**power))
        )
    for number, (name, value) in enumerate(ordered):
        y = _TOP + _ROW * number
        low, high = sorted((_at(1.0), _at(value)))
        kind = "behind" if value < 1 else "ahead"
        parts.append(Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(_NAMES - 8, y + _ROW - 6, name))
        parts.append(
            Markup('<rect class="{}" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(
                kind, low, y + 2, max(1.0, high - low), _ROW - 5
            )
        )
        parts.append(Markup('<text x="{:.1f}" y="{}">{}</text>').format(high + 4, y + _ROW - 6, _mark(value)))
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" role="img"><title>{}</title><desc>{}</desc>'
        "<style>{}</style>{}</svg>\n"
    ).format(_WIDTH, bottom + 8, title, description, _STYLE, Markup("").join(parts))


def _at(value: float) -> float:
    """The place of a ratio on the scale."""
    low, high = math.log10(_LEAST), math.log10(_MOST)
    share = (math.log10(min(_MOST, max(_LEAST, value))) - low) / (high - low)
    return _NAMES + share * (_RIGHT - _NAMES)


def _mark(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"
