"""An exploration as one page: self-contained, blurred until the reader points at a text. It holds masked texts only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.explore.explore import LENGTHS, Exploration
from pipeline.judgement import Tier
from pipeline.pages.render import put_page, render
from pipeline.taxonomy import Taxonomy
from pipeline.vectors.plane import to_pixels

PAGE = "explore.html"
_WIDTH, _HEIGHT, _MARGIN = 960, 560, 24
#: characters of a text that the map shows
_SHOWN = 400
#: languages with a column of their own
_LANGUAGES = 6
_UNLABELLED = "#8a8f96"


def write_page(exploration: Exploration, taxonomy: Taxonomy, folder: Path) -> Path:
    """Write `explore.html`, in place of an older one; its path.

    Args:
        exploration: the numbers and texts to show.
        taxonomy: names and colours of the labels.
        folder: made if need be.

    Raises:
        UsageError: the folder can't be made or written to.
    """
    values = {
        "exploration": exploration,
        "labels": list(taxonomy),
        "harmful": taxonomy.has_harmful,
        "tiers": [str(tier) for tier in (Tier.GOLD, Tier.SILVER, Tier.PSEUDO)],
        "languages": list(exploration.languages)[:_LANGUAGES],
        "lengths": _lengths(),
        "shown": [label for label in taxonomy if exploration.labels[label.key].yes],
        "most_together": max(
            (count for key, row in exploration.together.items() for other, count in row.items() if key != other),
            default=0,
        ),
        "points": _points(exploration, taxonomy),
        "size": {"width": _WIDTH, "height": _HEIGHT},
        "unlabelled": _UNLABELLED,
    }
    return put_page(folder, PAGE, render("pipeline.explore", "explore.html.j2", values))


def _lengths() -> list[str]:
    lows = (1, *LENGTHS)
    return [*(f"{low} to {high - 1}" for low, high in zip(lows, LENGTHS, strict=False)), f"{LENGTHS[-1]} and more"]


def _points(exploration: Exploration, taxonomy: Taxonomy) -> Sequence[dict[str, Any]]:
    """Data of the dots for the page's script."""
    if not exploration.dots:
        return []
    pixels = to_pixels(exploration.placed, _WIDTH, _HEIGHT, _MARGIN).round(1).tolist()
    return [
        {
            "x": x,
            "y": y,
            "label": dot.label or "",
            "colour": taxonomy[dot.label].colour if dot.label is not None else _UNLABELLED,
            "labels": ", ".join(taxonomy[key].name.en for key in dot.labels) or "no label",
            "text": dot.masked if len(dot.masked) <= _SHOWN else dot.masked[:_SHOWN] + "…",
            "harsh": dot.harsh,
        }
        for dot, (x, y) in zip(exploration.dots, pixels, strict=True)
    ]
