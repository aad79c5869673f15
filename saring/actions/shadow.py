"""A challenger in the shadow: it scores live traffic beside the champion, and differences are counted by label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from ml_backend.moderation.shadow import Challenger, LabelCounts, ShadowCounts
from pipeline.errors import UsageError
from pipeline.models.purposes import LABELS
from pipeline.store.tables.accounts import ShadowCount, ShadowModel
from pipeline.store.tables.core import Model, ModelState
from saring.context import Context


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """Counts of what two models say of the same live texts."""

    champion: str
    challenger: str
    #: texts that both scored, and texts that the challenger had no time for
    texts: int
    left_out: int
    labels: Mapping[str, LabelCounts]

    def to_dict(self) -> dict[str, object]:
        """All of it as plain values."""
        return {**asdict(self), "labels": {label: asdict(counts) for label, counts in self.labels.items()}}


def challenger(home: Context) -> Challenger | None:
    """The challenger that scores in the shadow.

    Raises:
        StoreError: the database cannot be reached.
    """
    with home.begin() as session:
        query = select(Model.version, Model.path).join(ShadowModel, ShadowModel.version == Model.version)
        row = session.execute(query.where(ShadowModel.purpose == LABELS)).one_or_none()
    return None if row is None else Challenger(row[0], Path(row[1]))


def shadow_since(home: Context) -> tuple[str, datetime] | None:
    """Version of the challenger in the shadow, and since when it is; None: there is none."""
    with home.begin() as session:
        row = session.get(ShadowModel, LABELS)
        return None if row is None else (row.version, row.since)


def set_shadow(home: Context, version: str | None) -> str | None:
    """Let a model score live traffic beside the champion; None: no model does any more. Counts are kept.

    Args:
        home: the home with the store.
        version: a version, or the beginning of one.

    Raises:
        UsageError: there is no such model, or it is the champion.
    """
    with home.begin() as session:
        session.execute(delete(ShadowModel).where(ShadowModel.purpose == LABELS))
        if version is None:
            return None
        query = select(Model).where(Model.purpose == LABELS, Model.version.startswith(version, autoescape=True))
        models = session.scalars(query.limit(2)).all()
        if len(models) != 1:
            several = "more than one model" if models else "no model"
            raise UsageError(f"{several} begins with {version!r}: `saring models list` shows all")
        [model] = models
        if model.state is ModelState.CHAMPION:
            raise UsageError(f"{model.version} is the champion, which answers: name another model")
        session.execute(insert(ShadowModel).values(purpose=LABELS, version=model.version))
        return model.version


def add_counts(home: Context, counts: ShadowCounts) -> None:
    """Add counts to those in the store.

    Raises:
        StoreError: the database cannot be reached.
    """
    rows = {**counts.labels, "": LabelCounts(both=counts.texts, neither=counts.left_out)}
    c = ShadowCount
    with home.begin() as session:
        for label, of_label in rows.items():
            row = insert(c).values(
                champion=counts.champion, challenger=counts.challenger, label=label, **asdict(of_label)
            )
            more = {name: getattr(c, name) + getattr(row.excluded, name) for name in asdict(of_label)}
            session.execute(row.on_conflict_do_update(index_elements=["champion", "challenger", "label"], set_=more))


def shadow_reports(home: Context, challenger_version: str | None = None) -> list[ShadowReport]:
    """The counts of each pair of models, or of the pairs of one challenger."""
    query = select(ShadowCount).order_by(ShadowCount.champion, ShadowCount.challenger, ShadowCount.label)
    if challenger_version is not None:
        query = query.where(ShadowCount.challenger == challenger_version)
    pairs: dict[tuple[str, str], dict[str, LabelCounts]] = {}
    with home.begin() as session:
        for row in session.scalars(query):
            counts = LabelCounts(row.both, row.champion_only, row.challenger_only, row.neither)
            pairs.setdefault((row.champion, row.challenger), {})[row.label] = counts
    reports = []
    for (champion, other), labels in pairs.items():
        total = labels.pop("", LabelCounts())
        reports.append(ShadowReport(champion, other, total.both, total.neither, labels))
    return reports
