"""The tables of the volunteers' own pages: who they are, their links, the tasks on their phones, their answers, and the
texts of the week that they talk about.
"""

from __future__ import annotations

import enum
import uuid
from datetime import date, datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.store.tables.core import Base, enum_column


class AnswerKind(enum.StrEnum):
    """The sort of an answer that a volunteer gave."""

    #: at least one label fits
    LABELS = "labels"
    #: no label fits
    NONE = "none"
    UNDECIDED = "undecided"
    SKIPPED = "skipped"


class AnswerState(enum.StrEnum):
    """The state of an answer on its way to Label Studio."""

    #: kept here; Label Studio may have it or not
    WAITING = "waiting"
    #: Label Studio has it
    SENT = "sent"
    #: Label Studio cannot take it; `PhoneAnswer.why` says why
    REFUSED = "refused"


class Volunteer(Base):
    """An account's dealings as a volunteer: consent, the token of its user in Label Studio, and wishes."""

    __tablename__ = "volunteer"

    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), primary_key=True)
    #: token of the person's user in Label Studio, encrypted; None: there is none yet
    token: Mapped[bytes | None]
    #: when Label Studio last refused the token; None: it did not
    token_refused_at: Mapped[datetime | None]
    #: version of the words that the person agreed to; empty: they were invited, and have agreed to nothing yet
    consent: Mapped[str]
    #: when they agreed, or were invited
    consented_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: when the person took the consent back; None: it holds
    withdrawn_at: Mapped[datetime | None]
    #: when a maintainer let the person in; None: nobody has yet
    approved_at: Mapped[datetime | None]
    #: when the person first passed the practice; None: they have not
    practised_at: Mapped[datetime | None]
    #: labels that the person would rather not see
    avoid: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    #: most answers a day; None: no limit
    daily_cap: Mapped[int | None]
    #: minutes after which a break is offered
    break_minutes: Mapped[int] = mapped_column(server_default="20")

    __table_args__ = (CheckConstraint("daily_cap > 0", name="daily_cap"),)


class PersonalLink(Base):
    """A link that signs its volunteer in, as often as it is opened, until a new one replaces it."""

    __tablename__ = "personal_link"

    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), primary_key=True)
    #: SHA-256 of the token
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    used_at: Mapped[datetime | None]


class PracticeAnswer(Base):
    """An answer to a text of the practice, whose right answer is known."""

    __tablename__ = "practice_answer"

    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), primary_key=True)
    #: rounds and places in a round count from 1
    round: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    #: the label that it was about
    label: Mapped[str]
    right: Mapped[bool]
    answered_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PhoneTask(Base):
    """A task of Label Studio that is kept for a volunteer: on their phone, or set aside for them."""

    __tablename__ = "phone_task"

    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    #: Label Studio's id of the task
    task_id: Mapped[int] = mapped_column(primary_key=True)
    #: Label Studio's id of the draft that keeps the task out of the volunteer's queue there; None: not known yet
    draft_id: Mapped[int | None]
    #: Label Studio's id of the prediction that the volunteer sees; None: there are no ticks
    prediction_id: Mapped[int | None]
    harsh: Mapped[bool] = mapped_column(server_default=text("false"))
    #: True: it has a label that the volunteer would rather not see, or is one harsh text too many for today
    aside: Mapped[bool] = mapped_column(server_default=text("false"))
    taken_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PhoneAnswer(Base):
    """An answer that a volunteer gave on the pages of Saring, and what became of it in Label Studio."""

    __tablename__ = "phone_answer"

    #: made by the browser; also the annotation's unique id in Label Studio, which takes it once
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    #: the order in which answers came in
    number: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    #: Label Studio's id of the task
    task_id: Mapped[int]
    kind: Mapped[AnswerKind] = mapped_column(enum_column(AnswerKind, "answer_kind"))
    labels: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    #: the answer that this one corrects
    replaces: Mapped[uuid.UUID | None]
    #: seconds that the text was before the person
    seconds: Mapped[float]
    harsh: Mapped[bool] = mapped_column(server_default=text("false"))
    state: Mapped[AnswerState] = mapped_column(enum_column(AnswerState, "answer_state"), server_default="waiting")
    #: why Label Studio cannot take it
    why: Mapped[str | None]
    #: Label Studio's id of the annotation
    annotation_id: Mapped[int | None]
    #: the browser's clock
    answered_at: Mapped[datetime]
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    sent_at: Mapped[datetime | None]

    __table_args__ = (
        Index(None, "account_id", "answered_at"),
        Index("ix_phone_answer_waiting", "account_id", "number", postgresql_where=text("state = 'waiting'")),
    )


class NormingWeek(Base):
    """A week of norming, by its Monday."""

    __tablename__ = "norming_week"

    week: Mapped[date] = mapped_column(primary_key=True)
    #: when texts were last looked for
    looked_at: Mapped[datetime]


class NormingText(Base):
    """A text that divided people, chosen for a week. It stays chosen, and is chosen once."""

    __tablename__ = "norming_text"

    week: Mapped[date] = mapped_column(ForeignKey("norming_week.week"), primary_key=True)
    #: from 1: the text that divided people most
    place: Mapped[int] = mapped_column(primary_key=True)
    text_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("text.id"), unique=True)
    #: labels on which people were divided, most divided first
    labels: Mapped[list[str]]
    #: the share of the smaller side on the first of them, as far as it is certain
    division: Mapped[float]
    chosen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: a maintainer's words on what the answer changes in the guidelines; None: there are none
    note: Mapped[str | None]
    noted_at: Mapped[datetime | None]


class NormingVote(Base):
    """A volunteer's blind answer to a text of the week, with their reason. It is no judgement."""

    __tablename__ = "norming_vote"

    #: tells nobody whose it is
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    text_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("norming_text.text_id"))
    kind: Mapped[AnswerKind] = mapped_column(enum_column(AnswerKind, "answer_kind"))
    labels: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    #: in own words, masked; empty: none was given, or it was taken back
    reason: Mapped[str] = mapped_column(server_default="")
    harsh: Mapped[bool] = mapped_column(server_default=text("false"))
    voted_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (UniqueConstraint("account_id", "text_id"), Index(None, "text_id"))
