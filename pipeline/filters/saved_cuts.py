"""The cuts that people set for labels. They are only added; the newest of a label is in force.

A run of a filter takes the cuts in force when it begins, and writes them into its parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from textwrap import shorten
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import UsageError
from pipeline.filters.histogram import stored
from pipeline.filters.names import CENTROID, RANGES, By, scale_of
from pipeline.settings import Settings
from pipeline.storable import storable
from pipeline.store.session import open_session
from pipeline.vectors.spaces import space_in_use

#: characters of a reason that are stored, and those that are repeated on every decision
_LONGEST, _REPEATED = 1_000, 100


@dataclass(frozen=True, slots=True)
class SavedCut:
    """A cut that a person set for a label."""

    id: int
    stage: str
    label: str
    #: in single precision, as scores are stored; None: the filter computes the cut again
    cut: float | None
    reason: str
    #: name of the person's account
    who: str
    at: datetime
    #: the space that it was chosen in; None: it belongs to none
    encoder: str | None = None

    def fits(self, encoder: str | None) -> bool:
        """True if it can be compared with scores of a space."""
        return self.encoder in (None, encoder)

    @property
    def as_reason(self) -> str:
        """The reason of the decisions by this cut, in a few words."""
        return f"set by hand: {shorten(self.reason, _REPEATED, placeholder=' ...')}"


def save_cut(
    session: Session,
    stage: str,
    label: str,
    cut: float | None,
    *,
    reason: str,
    who: str,
    encoder: str | None = None,
) -> SavedCut:
    """Set a label's cut for later runs, or take it back.

    Args:
        session: an open session; the caller commits.
        stage: the filter, as its decisions name it.
        label: key of the label.
        cut: labels with a lower score are rejected; None: the filter computes the cut again.
        reason: for the record.
        who: name of the person's account.
        encoder: the space of the scores that it was chosen from; None: scores of no space.

    Raises:
        UsageError: the cut is outside the filter's scores, no reason is given, or there is no cut to take back.
    """
    low, high = RANGES[stage]
    if cut is not None and not (math.isfinite(cut) and low <= cut <= high):
        raise UsageError(f"the cut {cut:g} of {label!r} is out of range: give a number from {low:g} to {high:g}")
    why = storable(" ".join(reason.split()), _LONGEST)
    if not why:
        raise UsageError(f"a cut of {label!r} is not set without a reason: say why")
    if cut is None and label not in in_force(session, stage):
        raise UsageError(f"label {label!r} has no cut that was set by hand, so there is nothing to take back")
    row = store.FilterCut(
        stage=stage,
        label=label,
        cut=None if cut is None else stored(cut),
        encoder=encoder,
        reason=why,
        who=storable(who, 200),
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    return _read(row)


def in_force(session: Session, stage: str) -> dict[str, SavedCut]:
    """The cut in force of each label that has one, of whichever space; labels whose cut is computed are left out."""
    c = store.FilterCut
    newest = select(func.max(c.id)).where(c.stage == stage).group_by(c.label)
    rows = session.scalars(select(c).where(c.id.in_(newest), c.cut.is_not(None)).order_by(c.label))
    return {row.label: _read(row) for row in rows}


def history(session: Session, stage: str | None = None, label: str | None = None, limit: int = 50) -> list[SavedCut]:
    """The cuts that people set and took back, newest first: of all filters and labels, or of one."""
    c = store.FilterCut
    query = select(c).order_by(c.id.desc()).limit(limit)
    if stage is not None:
        query = query.where(c.stage == stage)
    if label is not None:
        query = query.where(c.label == label)
    return [_read(row) for row in session.scalars(query)]


def as_params(cuts: Sequence[SavedCut]) -> dict[str, dict[str, Any]]:
    """The values of cuts that a run's parameters hold, by label."""
    return {cut.label: {"id": cut.id, "cut": cut.cut, "reason": cut.as_reason} for cut in cuts}


def _read(row: store.FilterCut) -> SavedCut:
    cut = None if row.cut is None else stored(row.cut)
    return SavedCut(row.id, row.stage, row.label, cut, row.reason, row.who, row.created_at, row.encoder)


def score_in_use(engine: Engine, settings: Settings) -> By:
    """The score of the centroid filter: that of the settings, else by neighbours.

    Where people set cuts by hand on similarities, and none on the other score, it stays similarity, so that what they
    decided stays in force.
    """
    if settings.filter_by is not None:
        return settings.filter_by
    encoder = space_in_use(engine, settings)
    with open_session(engine) as session:
        scales = {cut.encoder for cut in in_force(session, CENTROID).values()}
    by_similarity, by_neighbours = (scale_of(encoder, by) in scales for by in ("similarity", "neighbours"))
    return "similarity" if by_similarity and not by_neighbours else "neighbours"
