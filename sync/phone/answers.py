"""Answers of volunteers on their way to Label Studio: kept here first, then written there, each exactly once.

An answer's id is made by the browser, and is the annotation's unique id in Label Studio, whose database takes it once.
So an answer whose fate is not known is simply written again.
"""

from __future__ import annotations

import logging
import math
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import (
    LabelStudioConflict,
    LabelStudioError,
    LabelStudioMissing,
    LabelStudioRefused,
    LabelStudioUnavailable,
    UncertainOutcome,
    first_line,
)
from pipeline.store.locks import lock_key, tried, waited_for
from pipeline.store.session import open_session
from pipeline.store.tables.volunteers import AnswerKind, AnswerState
from pipeline.taxonomy import Taxonomy
from sync.api.client import LabelStudio
from sync.phone.held import forget
from sync.phone.page import Page, is_answer, own_annotation, ticks_of

log = logging.getLogger(__name__)

#: seconds of one text that are believed
_LONGEST = 3600.0
#: age of an answer that is believed: a phone may have been in a drawer
_OLDEST = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class NewAnswer:
    """An answer as a browser sends it."""

    id: uuid.UUID
    #: our own id of the project
    project: int
    #: Label Studio's id of the task
    task: int
    kind: AnswerKind
    labels: tuple[str, ...] = ()
    seconds: float = 0.0
    answered_at: datetime | None = None
    #: the answer that it corrects
    replaces: uuid.UUID | None = None


def keep(engine: Engine, account: int, answers: Sequence[NewAnswer], *, now: datetime) -> dict[uuid.UUID, str]:
    """Keep answers in the store, so that the browser need keep them no longer. To send one again changes nothing.

    Args:
        engine: the store.
        account: whose they are.
        answers: in the order in which they were given.
        now: for answers whose own moment cannot be.

    Returns:
        What each answer is: `kept`, or `not held` where the task is not this volunteer's.
    """
    kept = {}
    with open_session(engine) as session, session.begin():
        for answer in answers:
            held = _held(session, account, answer)
            if held is None:
                kept[answer.id] = "not held"
                continue
            row = {
                "id": answer.id,
                "account_id": account,
                "project_id": answer.project,
                "task_id": answer.task,
                "kind": answer.kind,
                "labels": list(answer.labels),
                "replaces": answer.replaces,
                "seconds": _seconds(answer.seconds),
                "harsh": held,
                "answered_at": _moment(answer.answered_at, now),
            }
            session.execute(insert(store.PhoneAnswer).values(row).on_conflict_do_nothing())
            kept[answer.id] = "kept"
    return kept


def _held(session: Session, account: int, answer: NewAnswer) -> bool | None:
    """True where the task of an answer is harsh; None: the volunteer was not given it."""
    a = store.PhoneAnswer
    known = session.get(a, answer.id)
    if known is not None:
        same = (known.account_id, known.project_id, known.task_id) == (account, answer.project, answer.task)
        return known.harsh if same else None
    if answer.replaces is not None:
        before = session.get(a, answer.replaces)
        same = before is not None and (before.account_id, before.project_id, before.task_id) == (
            account,
            answer.project,
            answer.task,
        )
        return before.harsh if before is not None and same else None
    row = session.get(store.PhoneTask, (account, answer.project, answer.task))
    return None if row is None else row.harsh


@dataclass(slots=True)
class Delivered:
    """Counts of the answers that waited, by what became of them."""

    sent: int = 0
    refused: int = 0
    #: still waiting, because Label Studio is away or refuses the token
    waiting: int = 0
    #: True: Label Studio does not take the volunteer's token
    token_refused: bool = False


def deliver(
    engine: Engine,
    client: LabelStudio,
    account: int,
    user: str,
    *,
    taxonomy: Taxonomy,
    now: datetime,
    wait: bool = True,
) -> Delivered:
    """Write the waiting answers of a volunteer to Label Studio, in the order in which they came in.

    Args:
        engine: the store.
        client: the server, in the volunteer's name.
        account: whose they are.
        user: the volunteer's Label Studio user id.
        taxonomy: the labels in force.
        now: for the record.
        wait: wait for another process that does the same; False: leave the answers to it.
    """
    outcome = Delivered()
    if wait:
        with waited_for(engine, lock_key("phone", str(account))):
            _deliver_all(_Writer(engine, client, account, user, taxonomy, now), outcome)
    else:
        with tried(engine, lock_key("phone", str(account))) as free:
            if free:
                _deliver_all(_Writer(engine, client, account, user, taxonomy, now), outcome)
    return outcome


def accounts_with_waiting(session: Session) -> Sequence[int]:
    """The accounts whose answers wait."""
    a = store.PhoneAnswer
    return session.scalars(select(a.account_id).where(a.state == AnswerState.WAITING).distinct()).all()


def _deliver_all(writer: _Writer, outcome: Delivered) -> None:
    waiting = writer.waiting()
    counts: Counter[AnswerState] = Counter()
    for place, answer in enumerate(waiting):
        try:
            counts[writer.write(answer)] += 1
        except LabelStudioRefused as error:
            log.warning("Label Studio refuses the token of account %s: %s", writer.account, error)
            outcome.token_refused = True
        except (LabelStudioUnavailable, UncertainOutcome) as error:
            log.warning("answers of account %s wait: %s", writer.account, error)
        else:
            continue
        outcome.waiting = len(waiting) - place
        break
    outcome.sent, outcome.refused = counts[AnswerState.SENT], counts[AnswerState.REFUSED]


@dataclass(frozen=True, slots=True)
class _Writer:
    engine: Engine
    client: LabelStudio
    account: int
    user: str
    taxonomy: Taxonomy
    now: datetime

    def waiting(self) -> Sequence[store.PhoneAnswer]:
        a = store.PhoneAnswer
        with open_session(self.engine) as session:
            query = select(a).where(a.account_id == self.account, a.state == AnswerState.WAITING).order_by(a.number)
            return session.scalars(query).all()

    def write(self, answer: store.PhoneAnswer) -> AnswerState:
        """Write one answer.

        Raises:
            LabelStudioError: it is to be written again later.
        """
        try:
            annotation = self._write(answer)
        except (LabelStudioRefused, LabelStudioUnavailable, UncertainOutcome):
            raise
        except LabelStudioMissing:
            return self._end(answer, why="the task is no longer in Label Studio")
        except LabelStudioError as error:
            return self._end(answer, why=first_line(error))
        except _Elsewhere:
            return self._end(answer, why="answered in Label Studio before")
        except _NotTaken:
            return self._end(answer, why="the project no longer has what was chosen")
        return self._end(answer, annotation=annotation)

    def _write(self, answer: store.PhoneAnswer) -> int:
        with open_session(self.engine) as session:
            project = session.get_one(store.Project, answer.project_id)
            before = session.get(store.PhoneAnswer, answer.replaces) if answer.replaces is not None else None
            held = session.get(store.PhoneTask, (self.account, answer.project_id, answer.task_id))
        there = self.client.project(project.label_studio_id)
        page = Page.of(there.label_config or "", self.taxonomy)
        if page is None or not page.allows(answer.kind, answer.labels):
            raise _NotTaken
        task = next(iter(self.client.shown_tasks(project.label_studio_id, [answer.task_id])), None)
        if task is None:
            raise LabelStudioMissing
        # what was before the person when they answered, if the versions have not changed since
        prediction, ticked = ticks_of(task, there.model_version, page, self.taxonomy)
        if held is None or held.prediction_id != prediction:
            prediction, ticked = (held.prediction_id if held is not None else None), ()
        fields: dict[str, Any] = {
            "result": page.result(answer.id, answer.kind, answer.labels, ticked),
            "was_cancelled": answer.kind is AnswerKind.SKIPPED,
            # A time that nobody measured is not 0 seconds.
            "lead_time": answer.seconds or None,
        }
        own = own_annotation(task, self.user)
        if before is not None and before.annotation_id is not None and own is not None:
            if own["id"] != before.annotation_id:
                raise _Elsewhere
            self.client.change_annotation(before.annotation_id, **fields)
            return before.annotation_id
        if own is not None:
            if is_answer(own, answer.id, answer.kind):
                return int(own["id"])
            raise _Elsewhere
        if prediction in [row.get("id") for row in task.get("predictions") or () if isinstance(row, dict)]:
            fields["parent_prediction"] = prediction
        try:
            return self._annotate(answer, held.draft_id if held is not None else None, fields)
        except LabelStudioConflict:
            # it arrived while we looked
            again = next(iter(self.client.shown_tasks(project.label_studio_id, [answer.task_id])), {})
            arrived = own_annotation(again, self.user)
            if arrived is None:
                raise UncertainOutcome(f"the answer {answer.id} is said to be there, and is not") from None
            return int(arrived["id"])

    def _annotate(self, answer: store.PhoneAnswer, draft: int | None, fields: dict[str, Any]) -> int:
        if draft is not None:
            try:
                return self.client.annotate(answer.task_id, answer.id, draft_id=draft, **fields)
            except LabelStudioRefused:
                log.info("the draft %s is another account's by now", draft)
        return self.client.annotate(answer.task_id, answer.id, **fields)

    def _end(self, answer: store.PhoneAnswer, *, annotation: int | None = None, why: str | None = None) -> AnswerState:
        a = store.PhoneAnswer
        state = AnswerState.REFUSED if why is not None else AnswerState.SENT
        values = {"state": state, "why": why, "annotation_id": annotation, "sent_at": self.now}
        with open_session(self.engine) as session, session.begin():
            session.execute(update(a).where(a.id == answer.id).values(values))
        if why is not None:
            log.warning("an answer of account %s was not taken: %s", self.account, why)
        forget(self.engine, self.account, answer.project_id, answer.task_id)
        return state


class _Elsewhere(Exception):
    """The volunteer has answered the task in Label Studio itself."""


class _NotTaken(Exception):
    """The project's page cannot take the answer any more."""


def _seconds(value: float) -> float:
    return min(value, _LONGEST) if math.isfinite(value) and value > 0 else 0.0


def _moment(value: datetime | None, now: datetime) -> datetime:
    if value is None:
        return now
    return value.astimezone(UTC) if now - _OLDEST <= value <= now else now
