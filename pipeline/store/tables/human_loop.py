"""The tables of the human loop: the queue, and projects, tasks, predictions and annotations of Label Studio.

Label Studio gives the ids of removed projects, tasks and annotations to new ones. So a project has an id of its own
here, and an annotation is identified by its id and the time of its creation.
"""

from __future__ import annotations

import enum
import uuid
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.store.tables.core import Base, Json, enum_column

#: the queue's strategy that draws uniformly at random, so that its texts represent the stream
RANDOM = "random"
#: in place of a strategy, for texts that a person put into the queue
PICKED = "picked"


class ProjectState(enum.StrEnum):
    """State of a Label Studio project."""

    OPEN = "open"
    GONE = "gone"


class QueueState(enum.StrEnum):
    """State of a queued text."""

    QUEUED = "queued"
    PUSHED = "pushed"
    #: no longer needed: judged meanwhile, or the queue was built again
    DROPPED = "dropped"
    #: removed by a reviewer: it is never drawn again
    REFUSED = "refused"


class TaskState(enum.StrEnum):
    """State of a task."""

    #: being sent: Label Studio may have it or not
    PUSHING = "pushing"
    OPEN = "open"
    DONE = "done"
    #: no longer in Label Studio
    GONE = "gone"


class AnnotationState(enum.StrEnum):
    """State of an annotation."""

    SUBMITTED = "submitted"
    SKIPPED = "skipped"
    #: the rater chose "can't decide"
    UNDECIDED = "undecided"
    #: nothing was chosen
    EMPTY = "empty"
    #: it cannot be read as a verdict
    INVALID = "invalid"
    #: no longer in Label Studio, and not by its rater's hand: its judgement counts until a maintainer agrees
    HELD = "held"
    #: no longer in Label Studio
    DELETED = "deleted"


class InterventionKind(enum.StrEnum):
    """Kinds of changes that an account makes to another's annotation."""

    #: made it in the other's name, or changed it before it was first seen
    WRITTEN = "written"
    CHANGED = "changed"
    DELETED = "deleted"


class Decision(enum.StrEnum):
    """A maintainer's decision on a deletion."""

    #: the judgement is withdrawn
    AGREED = "agreed"
    #: the judgement goes on counting
    REFUSED = "refused"


class Change(enum.StrEnum):
    """Change that a rater made to the ticked labels."""

    KEPT = "kept"
    CHANGED = "changed"
    #: nothing was ticked for them
    SCRATCH = "scratch"


class Project(Base):
    """A Label Studio project that Saring manages."""

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
    #: largest number of harsh tasks a day
    harsh_cap: Mapped[int]
    #: version of the predictions that are shown; None: no predictions are shown
    model_version: Mapped[str | None]
    #: the language that comes first for volunteers: `en` or `ms`
    language: Mapped[str] = mapped_column(server_default="en")
    #: True: an answer without labels that comes over the API says that no label fits
    empty_is_none: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (UniqueConstraint("url", "label_studio_id", "label_studio_created_at"),)


class ProjectConfig(Base):
    """Labels that a project showed from a moment on: an unticked label is denied only if it was shown."""

    __tablename__ = "project_config"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    #: Label Studio's clock
    since: Mapped[datetime] = mapped_column(primary_key=True)
    taxonomy_version: Mapped[str]
    labels: Mapped[list[str]]
    #: True: an answer without labels said that no label fits
    empty_is_none: Mapped[bool] = mapped_column(server_default=text("false"))


class QueueItem(Base):
    """A text in the queue for people, with the reason and its inclusion probability."""

    __tablename__ = "queue_item"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    text_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("text.id"))
    #: name of the strategy that drew it
    strategy: Mapped[str]
    #: the label that it was drawn for; None where the strategy draws for no label
    label: Mapped[str | None]
    #: the reason, as a sentence for people
    reason: Mapped[str]
    #: None: unknown, because a person chose the text; no estimate may use such a text
    inclusion_probability: Mapped[float | None]
    #: 0 to 1; the greatest is served first
    priority: Mapped[float]
    #: True: shown without ticks, to measure how much ticks influence people
    blind: Mapped[bool] = mapped_column(server_default=text("false"))
    #: True: probably has a label that is not benign
    harsh: Mapped[bool] = mapped_column(server_default=text("false"))
    #: labels that the text probably has, for volunteers who opted out of some
    expected: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    #: True: its answer is known; it is in the queue to measure raters
    gold: Mapped[bool] = mapped_column(server_default=text("false"))
    state: Mapped[QueueState] = mapped_column(enum_column(QueueState, "queue_state"), server_default="queued")
    #: why a reviewer removed it, as they said
    refused_why: Mapped[str | None]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        # A text is in the queue once.
        Index("uq_queue_item_queued", "text_id", unique=True, postgresql_where=text("state = 'queued'")),
        CheckConstraint("inclusion_probability > 0 AND inclusion_probability <= 1", name="probability"),
        CheckConstraint("priority >= 0 AND priority <= 1", name="priority"),
    )


class Task(Base):
    """One text in one Label Studio project. The key keeps a text from being pushed twice to one project."""

    __tablename__ = "task"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    text_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("text.id"), primary_key=True)
    #: None while it is being sent, and for ever if it never arrived
    label_studio_id: Mapped[int | None]
    #: None for a task that somebody made in Label Studio
    queue_item_id: Mapped[int | None] = mapped_column(ForeignKey("queue_item.id"))
    strategy: Mapped[str]
    reason: Mapped[str]
    #: None: unknown, because a person chose the text
    inclusion_probability: Mapped[float | None]
    priority: Mapped[float] = mapped_column(server_default="0")
    blind: Mapped[bool] = mapped_column(server_default=text("false"))
    harsh: Mapped[bool] = mapped_column(server_default=text("false"))
    gold: Mapped[bool] = mapped_column(server_default=text("false"))
    #: True: given to two raters at random, so that their agreement represents all texts
    paired: Mapped[bool] = mapped_column(server_default=text("false"))
    #: number of raters that it needs; raised when they disagree
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
    """One version of the predictions of a project: written in bulk first, then shown by one change."""

    __tablename__ = "prediction_batch"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    #: `writing`, `shown`, `retired` (replaced, still in Label Studio), `removed`, `failed`
    state: Mapped[str]
    #: version of the model whose scores were used; None: there was no champion
    champion: Mapped[str | None]
    #: the policy that made the predictions: its parameters, and the data that it was fitted on
    policy: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    sent: Mapped[int] = mapped_column(server_default="0")
    #: as the server counted
    created: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    shown_at: Mapped[datetime | None]


class Prediction(Base):
    """Ticked labels of one task in one version; for a blind task, the labels that would have been ticked."""

    __tablename__ = "prediction"

    project_id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    text_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    labels: Mapped[list[str]]
    #: probability of each label
    scores: Mapped[Json]
    #: the origin of each ticked label, as a sentence
    why: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))


class Annotation(Base):
    """An annotation as Label Studio last showed it: a copy that a reconciliation compares, not the ledger."""

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
    #: labels that were ticked beforehand, and their version; None: no predictions were shown
    predicted: Mapped[list[str] | None]
    prediction_version: Mapped[str | None]
    change: Mapped[Change] = mapped_column(enum_column(Change, "change"))
    #: seconds that the rater had it open, as their browser measured
    lead_time: Mapped[float | None]
    blind: Mapped[bool] = mapped_column(server_default=text("false"))
    comment: Mapped[str | None]
    first_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "text_id"), Index(None, "project_id", "task_id"))


class Intervention(Base):
    """A change that an account made to another's annotation: it wrote, changed or deleted it."""

    __tablename__ = "intervention"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    #: the annotation: Label Studio's id and the moment of its making
    label_studio_id: Mapped[int]
    annotation_created_at: Mapped[datetime]
    kind: Mapped[InterventionKind] = mapped_column(enum_column(InterventionKind, "intervention_kind"))
    #: Label Studio user id of the annotation's rater
    rater: Mapped[str]
    #: Label Studio user id of the one who did it; None: the server does not tell
    actor: Mapped[str | None]
    noted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: of a deletion; None: not decided, and for everything else
    decision: Mapped[Decision | None] = mapped_column(enum_column(Decision, "decision"))
    decided_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "project_id", "label_studio_id"),)


class SyncCursor(Base):
    """Position of the pull of a Label Studio project: all changes up to the watermark are in the ledger."""

    __tablename__ = "sync_cursor"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    #: Label Studio's clock
    watermark: Mapped[datetime]
    #: Label Studio's clock when everything up to the watermark had been read
    looked_at: Mapped[datetime | None]
    reconciled_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Event(Base):
    """A message from a Label Studio webhook, without secrets. It starts a pull, and is never read as an annotation."""

    __tablename__ = "event"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    action: Mapped[str]
    #: Label Studio's id of the project
    label_studio_project: Mapped[int | None]
    body: Mapped[Json] = mapped_column(JSONB())
    handled_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_event_unhandled", "id", postgresql_where=text("handled_at IS NULL")),)
