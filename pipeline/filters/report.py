"""The page of the centroid filter: self-contained, with the texts blurred until the reader points at them.

The page shows masked texts only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.filters.centroid import STAGE, FilterReport, LabelFilter
from pipeline.pages.render import put_page, render
from pipeline.store.session import open_session
from pipeline.taxonomy import Label, Taxonomy
from pipeline.vectors.encoders.protocol import Vectors
from pipeline.vectors.plane import Points, principal, to_pixels
from pipeline.vectors.table import read_vectors

PAGE = "centroid.html"
#: texts shown on each side of a cut
_EXAMPLES = 10
#: points of a label on the map, at most
_POINTS = 250
_BINS = 48
_WIDTH, _HEIGHT = 640, 150
_MAP_WIDTH, _MAP_HEIGHT = 960, 560
_MARGIN = 12
#: least height in pixels of a bin that is not empty
_VISIBLE = 1.5


@dataclass(frozen=True, slots=True)
class Bar:
    """One bin of a histogram, in pixels; rejected texts stand on kept ones."""

    x: float
    width: float
    kept_y: float
    kept_height: float
    dropped_y: float
    dropped_height: float
    #: content of the bin, in words
    title: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """A label's similarities."""

    bars: tuple[Bar, ...]
    #: position of the cut, in pixels
    cut_x: float
    #: position in pixels, and label
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A text near the cut."""

    masked: str
    score: float


@dataclass(frozen=True, slots=True)
class Dot:
    """One text with one label on the map."""

    #: place of the label in the page's list
    label: int
    x: float
    y: float
    kept: bool
    title: str


def write_report(
    engine: Engine,
    report: FilterReport,
    taxonomy: Taxonomy,
    out_dir: Path,
    *,
    encoder: str,
    rng: np.random.Generator,
) -> Path:
    """Write the page of a filter's run to `out_dir` and return its path; an older page there is replaced.

    Args:
        engine: the store that was filtered.
        report: what the filter returned.
        taxonomy: names and colours of the labels.
        out_dir: a folder, made if need be.
        encoder: the space of the map.
        rng: draws the texts of the map.

    Raises:
        UsageError: the folder can't be made or written to.
    """
    shown = [(taxonomy[result.label], result) for result in report.labels]
    with open_session(engine) as session:
        sections = [_section(session, number, label, result) for number, (label, result) in enumerate(shown)]
        dots = _map(session, encoder, shown, rng)
        started = session.execute(select(store.Run.started_at).where(store.Run.id == report.run_id)).scalar_one()
    values = {
        "report": report,
        "harmful": taxonomy.has_harmful,
        "sections": sections,
        "dots": dots,
        "started": started,
        "size": {"width": _WIDTH, "height": _HEIGHT, "map_width": _MAP_WIDTH, "map_height": _MAP_HEIGHT},
    }
    html = render("pipeline.filters", "report.html.j2", values)
    return put_page(out_dir, PAGE, html)


def _section(session: Session, number: int, label: Label, result: LabelFilter) -> Mapping[str, Any]:
    if result.cut is None:
        return {"number": number, "label": label, "result": result, "histogram": None, "above": [], "below": []}
    d = store.FilterDecision
    rows = session.execute(select(d.score, d.kept).where(d.stage == STAGE, d.label == label.key)).all()
    scores, kept = np.array([row.score for row in rows]), np.array([row.kept for row in rows], dtype=bool)
    return {
        "number": number,
        "label": label,
        "result": result,
        "histogram": make_histogram(scores, kept, result.cut),
        "above": _examples(session, label.key, kept=True),
        "below": _examples(session, label.key, kept=False),
    }


def make_histogram(scores: Points, kept: NDArray[np.bool_], cut: float) -> Histogram:
    """Bars of equal width, one edge of them on the cut.

    Args:
        scores: similarities, [n], at least one.
        kept: true for each on or above the cut, [n].
        cut: the similarity of the cut.
    """
    low, high = min(float(scores.min()), cut), max(float(scores.max()), cut)
    step = max((high - low) / _BINS, 1e-6)
    below = int(np.ceil((cut - low) / step))
    edges = cut + step * (np.arange(below + int((high - cut) / step) + 2) - below)
    of_kept, _ = np.histogram(scores[kept], edges)
    of_dropped, _ = np.histogram(scores[~kept], edges)
    tallest = max(1, int((of_kept + of_dropped).max()))
    pixels = (_HEIGHT - _MARGIN) / tallest
    width = _WIDTH / (len(edges) - 1)
    bars = []
    for i, (k, d) in enumerate(zip(of_kept.tolist(), of_dropped.tolist(), strict=True)):
        if k or d:
            title = f"{edges[i]:.3f} to {edges[i + 1]:.3f}: {k} kept, {d} rejected"
            kept_height, dropped_height = (max(_VISIBLE, n * pixels) if n else 0.0 for n in (k, d))
            kept_y = _HEIGHT - kept_height
            bars.append(Bar(i * width, width, kept_y, kept_height, kept_y - dropped_height, dropped_height, title))
    ticks = tuple(
        (_WIDTH * i / 4, f"{value:.3f}") for i, value in enumerate(np.linspace(edges[0], edges[-1], 5).tolist())
    )
    return Histogram(tuple(bars), below * width, ticks)


def _examples(session: Session, key: str, *, kept: bool) -> list[Example]:
    """The texts nearest to the cut on one side of it, nearest first."""
    d, t = store.FilterDecision, store.Text
    rows = session.execute(
        select(t.masked, d.score)
        .join(t, t.id == d.text_id)
        .where(d.stage == STAGE, d.label == key, d.kept == kept)
        .order_by(d.score.asc() if kept else d.score.desc(), d.text_id)
        .limit(_EXAMPLES)
    )
    return [Example(masked, float(score)) for masked, score in rows if score is not None]


def _map(
    session: Session, encoder: str, shown: Sequence[tuple[Label, LabelFilter]], rng: np.random.Generator
) -> list[Dot]:
    """A sample of every label's texts in two dimensions."""
    d, v = store.FilterDecision, store.Vector
    seed = int(rng.integers(2**31))
    drawn: list[tuple[int, bool, float]] = []
    vectors: list[Vectors] = []
    for number, (label, _) in enumerate(shown):
        rows = session.execute(
            select(func.halfvec_send(v.embedding), d.kept, d.score)
            .join(v, v.text_id == d.text_id)
            .where(d.stage == STAGE, d.label == label.key, v.encoder == encoder)
            .order_by(func.hashtextextended(func.concat(d.text_id), seed))
            .limit(_POINTS)
        )
        for sent, kept, score in rows:
            drawn.append((number, kept, score))
            vectors.append(read_vectors(bytes(sent)))
    if not vectors:
        return []
    dots = [
        Dot(number, float(x), float(y), kept, f"{shown[number][0].name.en}: {score:.3f}")
        for (number, kept, score), (x, y) in zip(
            drawn, to_pixels(principal(np.concatenate(vectors)), _MAP_WIDTH, _MAP_HEIGHT, 2 * _MARGIN), strict=True
        )
    ]
    # Rejected texts are rarer, so they are drawn on top.
    return sorted(dots, key=lambda dot: not dot.kept)
