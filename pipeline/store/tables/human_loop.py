"""The tables of the human loop: what was queued, shown and said in Label Studio.

Label Studio gives the ids of removed projects, tasks and annotations to new ones, so here a project has an id of our
own, and an annotation is known by its id together with the moment of its making.
"""

from __future__ import annotations

import enum
import uuid
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.store.tables.core import Base, Json, enum_column

#: the queue's strategy that looks at nothing in a text, so that its draws speak for the stream
RANDOM = "random"


class ProjectState(enum.StrEnum):
    """Whether a project is still there."""

    OPEN = "open"
    GONE = "gone"


class QueueState(enum.StrEnum):
    """Where a queued text stands."""

    QUEUED = "queued"
    PUSHED = "pushed"
    #: no longer wanted: judged meanwhile, or the queue was drawn anew
    DROPPED = "dropped"
    #: a reviewer took it out: it is never drawn again
    REFUSED = "refused"


class TaskState(enum.StrEnum):
    """Where a task stands."""

    #: being sent: Label Studio may have it or not
    PUSHING = "pushing"
    OPEN = "open"
    DONE = "done"
    #: no longer in Label Studio
    GONE = "gone"


class AnnotationState(enum.StrEnum):
    """What an annotation amounts to."""

    SUBMITTED = "submitted"
    SKIPPED = "skipped"
    #: the rater chose "can't decide"
    UNDECIDED = "undecided"
    #: nothing was chosen
    EMPTY = "empty"
    #: it cannot be read as a verdict
    INVALID = "invalid"
    #: no longer in Label Studio
    DELETED = "deleted"


class Change(enum.StrEnum):
    """What a rater did with the labels that were ticked for them."""

    KEPT = "kept"
    CHANGED = "changed"
    #: nothing was ticked for them
    SCRATCH = "scratch"


class Project(Base):
    """A Label Studio project that Saring looks after."""

    __tablename__ = "project"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    #: base address of the server, without a slash at the end
    url: Mapped[str]
    label_studio_id: Mapped[int]
    #: Label Studio's clock; tells it from a later project with the same id
    label_studio_created_at: Mapped[datetime]
    title: Mapped[str]
    state: Mapped[ProjectState] = mapped_column(enum_column(ProjectState, "project_state"), server_default="open")
    #: Label Studio user id, in a project that is for one volunteer; None: for everyone
    volunteer: Mapped[str | None]
    #: labels whose texts are never pushed there
    opt_out: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    #: harsh tasks that may be met there a day
    harsh_cap: Mapped[int]
    #: version of the predictions that are shown; None: none are
    model_version: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (UniqueConstraint("url", "label_studio_id", "label_studio_created_at"),)


class ProjectConfig(Base):
    """The labels that a project showed from a moment on: what a rater left unticked is denied only if it was shown."""

    __tablename__ = "project_config"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    #: Label Studio's clock
    since: Mapped[datetime] = mapped_column(primary_key=True)
    taxonomy_version: Mapped[str]
    labels: Mapped[list[str]]


class QueueItem(Base):
    """A text that is worth a person's time, why, and with what probability it was drawn."""

    __tablename__ = "queue_item"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    text_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("text.id"))
    #: name of the strategy that drew it
    strategy: Mapped[str]
    #: the label that it was drawn for, where the strategy has one in mind
    label: Mapped[str | None]
    #: in words, for people
    reason: Mapped[str]
    inclusion_probability: Mapped[float]
    #: 0 to 1; the greatest is served first
    priority: Mapped[float]
    #: shown without ticks, to measure how much they sway people
    blind: Mapped[bool] = mapped_column(server_default=text("false"))
    #: expected to show a label that is not benign
    harsh: Mapped[bool] = mapped_column(server_default=text("false"))
    #: labels expected of the text, for those who opted out of some
    expected: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    #: its answer is known: planted to measure raters
    gold: Mapped[bool] = mapped_column(server_default=text("false"))
    state: Mapped[QueueState] = mapped_column(enum_column(QueueState, "queue_state"), server_default="queued")
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        # a text waits once
        Index("uq_queue_item_queued", "text_id", unique=True, postgresql_where=text("state = 'queued'")),
        CheckConstraint("inclusion_probability > 0 AND inclusion_probability <= 1", name="probability"),
        CheckConstraint("priority >= 0 AND priority <= 1", name="priority"),
    )


class Task(Base):
    """One text in one Label Studio project. The key keeps a text from being pushed twice to one project."""

    __tablename__ = "task"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    text_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("text.id"), primary_key=True)
    #: None while it is being sent, and for good if it never arrived
    label_studio_id: Mapped[int | None]
    #: None for a task that somebody made in Label Studio
    queue_item_id: Mapped[int | None] = mapped_column(ForeignKey("queue_item.id"))
    strategy: Mapped[str]
    reason: Mapped[str]
    inclusion_probability: Mapped[float]
    priority: Mapped[float] = mapped_column(server_default="0")
    blind: Mapped[bool] = mapped_column(server_default=text("false"))
    harsh: Mapped[bool] = mapped_column(server_default=text("false"))
    gold: Mapped[bool] = mapped_column(server_default=text("false"))
    #: asked of two raters by a coin, so that their agreement speaks for all texts
    paired: Mapped[bool] = mapped_column(server_default=text("false"))
    #: raters that it asks for; raised when they disagree
    overlap: Mapped[int] = mapped_column(server_default="1")
    state: Mapped[TaskState] = mapped_column(enum_column(TaskState, "task_state"))
    #: the call that sent it, also written into the task's data
    batch: Mapped[str] = mapped_column(server_default="")
    pushed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        UniqueConstraint("project_id", "label_studio_id"),
        Index(None, "text_id"),
        CheckConstraint("inclusion_probability > 0 AND inclusion_probability <= 1", name="probability"),
    )


class PredictionBatch(Base):
    """One version of the predictions of one project: written ahead in bulk, then shown by one change."""

    __tablename__ = "prediction_batch"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    #: `writing`, `shown`, `retired` (replaced, still in Label Studio), `removed`, `failed`
    state: Mapped[str]
    #: version of the model whose scores went in; None: there was no champion
    champion: Mapped[str | None]
    #: the policy that combined them: its parameters, and what it was fitted on
    policy: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    sent: Mapped[int] = mapped_column(server_default="0")
    #: as the server counted
    created: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    shown_at: Mapped[datetime | None]


class Prediction(Base):
    """What was ticked for raters on one task in one version; of a blind task, what would have been."""

    __tablename__ = "prediction"

    project_id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    text_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    labels: Mapped[list[str]]
    #: probability of each label
    scores: Mapped[Json]
    #: where each ticked label comes from, in words
    why: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))


class Annotation(Base):
    """An annotation as Label Studio last showed it: the mirror that a reconciliation compares, not the ledger."""

    __tablename__ = "annotation"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    label_studio_id: Mapped[int] = mapped_column(primary_key=True)
    #: Label Studio's clock
    created_at: Mapped[datetime] = mapped_column(primary_key=True)
    updated_at: Mapped[datetime]
    task_id: Mapped[int]
    text_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("text.id"))
    rater_id: Mapped[int] = mapped_column(ForeignKey("rater.id"))
    state: Mapped[AnnotationState] = mapped_column(enum_column(AnnotationState, "annotation_state"))
    chosen: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    #: labels in it that the taxonomy does not know
    unknown: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    #: what was ticked beforehand, and by which version; None: nothing was shown
    predicted: Mapped[list[str] | None]
    prediction_version: Mapped[str | None]
    change: Mapped[Change] = mapped_column(enum_column(Change, "change"))
    #: seconds that the rater had it open, as their browser measured
    lead_time: Mapped[float | None]
    blind: Mapped[bool] = mapped_column(server_default=text("false"))
    comment: Mapped[str | None]
    first_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "text_id"), Index(None, "project_id", "task_id"))


class SyncCursor(Base):
    """How far one Label Studio project has been pulled: all changes up to the watermark are in the ledger."""

    __tablename__ = "sync_cursor"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    #: Label Studio's clock
    watermark: Mapped[datetime]
    #: Label Studio's clock when everything up to the watermark had been read
    looked_at: Mapped[datetime | None]
    reconciled_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Event(Base):
    """What Label Studio told us by a webhook, as it came but for secrets. A hint to look, never a source of truth."""

    __tablename__ = "event"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    action: Mapped[str]
    #: Label Studio's id of the project
    label_studio_project: Mapped[int | None]
    body: Mapped[Json] = mapped_column(JSONB())
    handled_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_event_unhandled", "id", postgresql_where=text("handled_at IS NULL")),)
