"""The tables of the filters' cuts: those that people set, and how each label was decided in the last run."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, func
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.store.tables.core import Base


class FilterCut(Base):
    """A cut that a person set for a label, or took back. Rows are only added; a label's newest row is in force.

    The database refuses to change or remove a row (see the migration).
    """

    __tablename__ = "filter_cut"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    #: the filter, as its decisions name it
    stage: Mapped[str]
    label: Mapped[str]
    #: labels with a lower score are rejected; None: the filter computes the cut again
    cut: Mapped[float | None]
    #: the space of the scores that it was chosen from: in another one it means nothing; None: scores of no space
    encoder: Mapped[str | None]
    reason: Mapped[str]
    #: name of the person's account, or of the user of the machine
    who: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "stage", "label", "id"), CheckConstraint("reason <> ''", name="reason"))


class FilterSummary(Base):
    """Result of the last run of a filter for a label: its cut, its counts, and the histogram of the scores.

    The row is computed from `filter_decision`, and can be computed again at any time.
    """

    __tablename__ = "filter_summary"

    stage: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True)
    #: the cut of the decisions; None: they have none
    cut: Mapped[float | None]
    kept: Mapped[int] = mapped_column(BigInteger)
    dropped: Mapped[int] = mapped_column(BigInteger)
    #: the number of the histogram's first edge: the edges are multiples of the step
    first: Mapped[int]
    step: Mapped[float] = mapped_column(DOUBLE_PRECISION)
    #: number of texts between each edge and the next
    counts: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    #: the newest run that decided on the label
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"))
