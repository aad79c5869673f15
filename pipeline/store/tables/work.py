"""The tables of work that is spread over workers: what was asked for, the shards of a run, and its log.

A message in the broker only names a shard and its run. The work itself, and its state, are stored here, so that a
broker that loses or repeats a message changes nothing.
"""

from __future__ import annotations

import enum
import uuid
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.store.tables.core import Base, Json, enum_column


class ShardState(enum.StrEnum):
    """State of a shard."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    #: left out with its error, so that the rest of the run continues
    PARKED = "parked"


class Shard(Base):
    """A part of a run's work, done by one worker at a time: texts with ids in a range, or the work in `args`."""

    __tablename__ = "shard"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), primary_key=True)
    #: from 0; the step that combines the shards' results has no number
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    #: first id (inclusive); None: from the first text
    lower: Mapped[uuid.UUID | None]
    #: last id (exclusive); None: to the last text
    upper: Mapped[uuid.UUID | None]
    args: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    state: Mapped[ShardState] = mapped_column(enum_column(ShardState, "shard_state"), server_default="waiting")
    #: number of attempts; counted before the work, so that a shard that kills its worker is noticed
    attempts: Mapped[int] = mapped_column(server_default="0")
    #: number of messages sent to the broker for it, and the time of the last one
    sends: Mapped[int] = mapped_column(server_default="0")
    sent_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    #: host and process of the last attempt
    worker: Mapped[str | None]
    #: the reason why it was parked, or the error of the last attempt
    error: Mapped[str | None]
    #: counts of its results, to be added up
    counts: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))

    __table_args__ = (
        Index(None, "run_id", "state"),
        # Few shards are parked, and whoever looks after the platform asks for them.
        Index("ix_shard_parked", "run_id", postgresql_where=text("state = 'parked'")),
    )


class RunLog(Base):
    """A line that a worker logged while it worked on a run."""

    __tablename__ = "run_log"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"))
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    level: Mapped[str]
    shard: Mapped[int | None]
    worker: Mapped[str]
    message: Mapped[str]

    __table_args__ = (Index(None, "run_id", "id"),)


class RunRequest(Base):
    """A run that somebody asked for, until a worker has begun it.

    To cut the work of a stage may take long at a million texts, so whoever asks does not wait for it: a worker does it.
    """

    __tablename__ = "run_request"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    #: name of the stage, and the values of its form
    stage: Mapped[str]
    form: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    #: name of the account that asked; empty: nobody's, such as a program's
    asked_by: Mapped[str] = mapped_column(server_default="")
    asked_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: time at which its message was last sent
    sent_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: time from which there is nothing more to do; None: no worker has begun it
    settled_at: Mapped[datetime | None]
    #: the runs that were begun: several where a stage has one for each label
    runs: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default=text("'{}'"))
    #: the reason why no run, or not every run, could begin
    error: Mapped[str | None]

    __table_args__ = (
        Index("ix_run_request_waiting", "id", postgresql_where=text("settled_at IS NULL")),
        # A run is looked for by whoever shows it: who asked for it?
        Index("ix_run_request_runs", "runs", postgresql_using="gin"),
    )


class FilterScore(Base):
    """Score that a run of a filter gave one label of one text. It is removed when the run has decided.

    There are no foreign keys: millions of texts have a row, and no row outlives its run.
    """

    __tablename__ = "filter_score"

    run_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    label: Mapped[str] = mapped_column(primary_key=True)
    text_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    score: Mapped[float]
