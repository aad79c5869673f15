"""The cuts of the filters: how each label was decided, what another cut would change, and cuts that a person sets."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from pipeline import store
from pipeline.filters import near_cut as near
from pipeline.filters import saved_cuts
from pipeline.filters.histogram import stored
from pipeline.filters.names import CENTROID, FILTERS, By, name_of, scale_of, stage_of
from pipeline.filters.saved_cuts import SavedCut, score_in_use
from pipeline.filters.summary import Summary, dropped_at, summaries, summarise, summary_of, unsummarised
from pipeline.store.session import open_session
from pipeline.vectors.spaces import space_in_use
from saring.actions.labels import require_label
from saring.context import Context


@dataclass(frozen=True, slots=True)
class FilteredLabel:
    """Result of a filter for a label, and the cut that a person set for it."""

    #: `centroid` or `sentiment`
    filter: str
    label: str
    #: None: the filter has not decided on the label
    summary: Summary | None
    #: None: the cut is computed
    saved: SavedCut | None

    #: the scale of the scores of the next run, for the filter that works in a space
    encoder: str | None = None
    #: what the last run scored by
    by: By = "similarity"

    @property
    def waits(self) -> bool:
        """True if the next run of the filter will use another cut than the last one did, by a person's word."""
        return self.fits and (self.summary is None or self.saved is None or self.summary.cut != self.saved.cut)

    @property
    def fits(self) -> bool:
        """True if a person's cut is in force in the space in use."""
        return self.saved is not None and self.saved.fits(self.encoder)


@dataclass(frozen=True, slots=True)
class AtCut:
    """The counts of a label at a cut, and the texts next to it."""

    cut: float
    kept: int
    dropped: int
    above: near.Beside
    below: near.Beside


def filtered_labels(home: Context, name: str | None = None) -> list[FilteredLabel]:
    """Each label that a filter has decided on or that has a cut of its own, in the taxonomy's order.

    Args:
        home: the home with the store.
        name: `centroid` or `sentiment`; None: both.

    Raises:
        UsageError: there is no such filter.
    """
    stages = [stage_of(name)] if name is not None else list(FILTERS.values())
    _complete(home)
    filtered = []
    with open_session(home.engine) as session:
        for stage in stages:
            encoder = _scale(home, stage)
            by_label = {summary.label: summary for summary in summaries(session, stage)}
            saved = saved_cuts.in_force(session, stage)
            filtered += [
                FilteredLabel(name_of(stage), key, by_label.get(key), saved.get(key), encoder)
                for key in home.taxonomy.keys
                if key in by_label or key in saved
            ]
    return filtered


def filtered_label(home: Context, label: str, name: str = "centroid") -> FilteredLabel:
    """The result of a filter for one label.

    Raises:
        UsageError: there is no such label or filter.
    """
    key, stage = require_label(home, label), stage_of(name)
    _complete(home)
    with open_session(home.engine) as session:
        summary, saved = summary_of(session, stage, key), saved_cuts.in_force(session, stage).get(key)
        by = _by(session, summary) if summary is not None else None
    by = by or score_in_use(home.engine, home.settings)
    return FilteredLabel(name_of(stage), key, summary, saved, _scale(home, stage), by)


def at_cut(home: Context, label: str, cut: float, name: str = "centroid", *, limit: int = 10) -> AtCut:
    """Count the texts that a cut would keep and reject of a label, and show those next to it. Nothing is changed.

    Args:
        home: the home with the store.
        label: key or name of the label.
        cut: any number.
        name: `centroid` or `sentiment`.
        limit: largest number of texts on each side.

    Raises:
        UsageError: there is no such label or filter.
    """
    label, stage = require_label(home, label), stage_of(name)
    _complete(home)
    with open_session(home.engine) as session:
        summary = summary_of(session, stage, label)
        if summary is None:
            dropped = total = 0
        else:
            total = summary.total
            known = summary.dropped if stored(cut) == summary.cut else summary.histogram.dropped_at(cut)
            dropped = dropped_at(session, stage, label, cut) if known is None else known
        above, below = (
            near.near_cut(session, stage, label, cut, above=side, harmful=home.taxonomy.harmful, limit=limit)
            for side in (True, False)
        )
    return AtCut(cut, total - dropped, dropped, above, below)


def beside_cut(
    home: Context,
    label: str,
    cut: float,
    name: str = "centroid",
    *,
    above: bool,
    behind: tuple[float, uuid.UUID],
    limit: int = 10,
) -> near.Beside:
    """More texts on one side of a cut, behind one that was shown.

    Raises:
        UsageError: there is no such label or filter.
    """
    key, stage = require_label(home, label), stage_of(name)
    with open_session(home.engine) as session:
        harmful = home.taxonomy.harmful
        return near.near_cut(session, stage, key, cut, above=above, harmful=harmful, limit=limit, behind=behind)


def set_cut(home: Context, label: str, cut: float | None, *, reason: str, who: str, name: str = "centroid") -> SavedCut:
    """Set a label's cut for later runs of a filter, or take it back. The decisions change with the next run.

    Args:
        home: the home with the store.
        label: key or name of the label.
        cut: labels with a lower score are rejected; None: the filter computes the cut again.
        reason: for the record.
        who: name of the person's account.
        name: `centroid` or `sentiment`.

    Raises:
        UsageError: there is no such label or filter, the cut is out of range, there is no reason, or none to take back.
    """
    key, stage = require_label(home, label), stage_of(name)
    with home.begin() as session:
        summary = summary_of(session, stage, key)
        # The person saw the scores of the last run.
        seen = _scale_of_run(session, summary) if summary is not None else None
        encoder = (seen or _scale(home, stage)) if stage == CENTROID else None
        return saved_cuts.save_cut(session, stage, key, cut, reason=reason, who=who, encoder=encoder)


def cut_history(
    home: Context, label: str | None = None, name: str | None = None, *, limit: int = 50
) -> Sequence[SavedCut]:
    """The cuts that people set and took back, newest first.

    Raises:
        UsageError: there is no such label or filter.
    """
    key = require_label(home, label) if label is not None else None
    stage = stage_of(name) if name is not None else None
    with open_session(home.engine) as session:
        return saved_cuts.history(session, stage, key, limit)


def _scale(home: Context, stage: str) -> str | None:
    """The scale of the scores of the next run, for the filter that works in a space."""
    if stage != CENTROID:
        return None
    return scale_of(space_in_use(home.engine, home.settings), score_in_use(home.engine, home.settings))


def _by(session: Session, summary: Summary) -> By:
    by: By = session.get_one(store.Run, summary.run_id).params.get("by", "similarity")
    return by


def _scale_of_run(session: Session, summary: Summary) -> str | None:
    encoder = session.get_one(store.Run, summary.run_id).params.get("encoder")
    return scale_of(encoder, _by(session, summary)) if encoder else None


def _complete(home: Context) -> None:
    """Count the scores of labels that were filtered before summaries were kept."""
    with open_session(home.engine) as session:
        missing = unsummarised(session)
    for stage, label in missing:
        with home.begin() as session:
            summarise(session, stage, [label])
