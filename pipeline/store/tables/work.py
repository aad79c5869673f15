"""The tables of work that is spread over workers: the shards of a run, and what was said of it.

The broker only says "look at shard 7 of run 12". What that is, and whether it was done, stands here, so that a broker
that loses or repeats a message changes nothing.
"""

from __future__ import annotations

import enum
import uuid
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.store.tables.core import Base, Json, enum_column


class ShardState(enum.StrEnum):
    """Where a part of a run's work stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    #: set aside with its error, so that the rest of the run goes on
    PARKED = "parked"


class Shard(Base):
    """A part of a run's work, done by one worker at a time: texts whose id lies in a range, or what `args` says."""

    __tablename__ = "shard"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), primary_key=True)
    #: from 0; the work that puts the shards' results together is no shard
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    #: ids from here on
    lower: Mapped[uuid.UUID | None]
    #: and below this; None: to the end
    upper: Mapped[uuid.UUID | None]
    args: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    state: Mapped[ShardState] = mapped_column(enum_column(ShardState, "shard_state"), server_default="waiting")
    #: how often it was begun; counted before the work, so that one that kills its worker is found out
    attempts: Mapped[int] = mapped_column(server_default="0")
    #: how often it was handed to the broker, and when last
    sends: Mapped[int] = mapped_column(server_default="0")
    sent_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    #: host and process that had it last
    worker: Mapped[str | None]
    #: why it was parked, or what went wrong the last time
    error: Mapped[str | None]
    #: what came of it, to be added up
    counts: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))

    __table_args__ = (Index(None, "run_id", "state"),)


class RunLog(Base):
    """A line that was logged while a run was at work, wherever that was."""

    __tablename__ = "run_log"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"))
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    level: Mapped[str]
    shard: Mapped[int | None]
    worker: Mapped[str]
    message: Mapped[str]

    __table_args__ = (Index(None, "run_id", "id"),)


class FilterScore(Base):
    """What a run of a filter measured of one label of one text, until the run has decided; then it is removed.

    No foreign keys are checked: there is a row for each of millions of texts, and none outlives its run.
    """

    __tablename__ = "filter_score"

    run_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    label: Mapped[str] = mapped_column(primary_key=True)
    text_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    score: Mapped[float]
