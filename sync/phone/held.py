"""The tasks that a volunteer holds on their phone. Label Studio gives them out, and locks them for the volunteer.

Label Studio gives an account one task, and the same one again until it is answered. To have the next ones as well, a
task that was given is put off there, as its own page does with the arrow to the next task: the lock stays, and the
answer ends the draft.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, and_, delete, func, select, union, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import LabelStudioError
from pipeline.judgement import RaterKind
from pipeline.store.locks import lock_key, waited_for
from pipeline.store.session import open_session
from pipeline.store.tables.volunteers import AnswerState
from pipeline.taxonomy import Taxonomy
from sync.api.client import LabelStudio
from sync.known import open_projects
from sync.phone.page import Page, own_annotation, ticks_of
from sync.project.days import start_of_day
from sync.pull.apply import RATER

log = logging.getLogger(__name__)

#: tasks that are set aside in one call, at most: each takes a moment
_MOST_ASIDE = 10


@dataclass(frozen=True, slots=True)
class Wishes:
    """The user of a volunteer, and the tasks that they would be given."""

    #: Label Studio user id
    user: str
    #: labels whose texts the person would rather not see
    avoid: Collection[str]
    #: tasks to hold
    want: int


@dataclass(frozen=True, slots=True)
class HeldTask:
    """A task as a phone shows it."""

    #: our own id of the project
    project: int
    #: Label Studio's id
    task: int
    #: masked
    text: str
    language: str | None
    #: keys of the labels that are ticked beforehand
    ticked: tuple[str, ...]
    #: why these are ticked, in words
    why: str
    #: True: hidden until the person asks for it
    hidden: bool
    #: keys of the labels that can be ticked
    labels: tuple[str, ...]
    #: True: the project takes "none of these"
    none: bool
    #: True: the project takes "can't decide"
    undecided: bool


def hold(
    engine: Engine,
    client: LabelStudio,
    owner: LabelStudio,
    account: int,
    wishes: Wishes,
    *,
    taxonomy: Taxonomy,
    now: datetime,
) -> list[HeldTask]:
    """See to it that a volunteer holds enough tasks, and return those that wait for an answer, oldest first.

    Args:
        engine: the store.
        client: the server, in the volunteer's name.
        owner: the server, in the owner's name.
        account: the volunteer's account.
        wishes: what they are given.
        taxonomy: the labels in force.
        now: harsh tasks are counted by the day.

    Raises:
        LabelStudioError: the server fails, or refuses the volunteer's token.
    """
    with waited_for(engine, lock_key("phone", str(account))):
        known = [p for p in open_projects(engine, client) if p.volunteer in (None, wishes.user)]
        projects = sorted(known, key=lambda project: project.volunteer is None)
        holder = _Holder(engine, client, owner, account, wishes, taxonomy)
        shown = [task for project in projects for task in holder.shown(project)]
        for project in projects:
            if len(shown) >= wishes.want:
                break
            room = project.harsh_cap - harsh_today(engine, account, wishes.user, now)
            if holder.take(project, wishes.want - len(shown), room):
                shown = [task for project in projects for task in holder.shown(project)]
        return shown[: wishes.want]


def release(engine: Engine, client: LabelStudio, owner: LabelStudio, account: int) -> int:
    """Give back all tasks that a volunteer holds and has not answered; how many there were."""
    t = store.PhoneTask
    with waited_for(engine, lock_key("phone", str(account))):
        with open_session(engine) as session:
            rows = session.scalars(select(t).where(t.account_id == account, ~_is_waiting())).all()
        for row in rows:
            if not row.aside:
                _unlock(client, owner, row.task_id)
            if row.draft_id is not None:
                _remove_draft(client, row.draft_id)
            forget(engine, account, row.project_id, row.task_id)
        return len(rows)


def forget(engine: Engine, account: int, project: int, task: int) -> None:
    """Hold a task no longer."""
    t = store.PhoneTask
    with open_session(engine) as session, session.begin():
        session.execute(delete(t).where(t.account_id == account, t.project_id == project, t.task_id == task))


def harsh_today(engine: Engine, account: int, user: str, now: datetime) -> int:
    """Number of harsh texts that a volunteer met today, here or in Label Studio, or holds; texts of the week too."""
    h, t = store.PhoneTask, store.Task
    held = (
        select(h.project_id, h.task_id)
        .outerjoin(t, and_(t.project_id == h.project_id, t.label_studio_id == h.task_id))
        .where(h.account_id == account, h.harsh | t.harsh, ~h.aside)
    )
    with open_session(engine) as session:
        return _harsh(session, account, user, now, held)


def harsh_met(session: Session, account: int, user: str, now: datetime) -> int:
    """Number of harsh texts that a volunteer met today, without those that they hold and have not answered yet."""
    return _harsh(session, account, user, now)


def harsh_answers(account: int, since: datetime) -> Select[int, int, float]:
    """The answers from `since` on that were about harsh texts: project, task, and seconds of each.

    A task can reach a phone before its push is written down, and nothing says then that it is harsh. The task's own row
    says so later, so both are asked: else the number would rise when answers are pulled.
    """
    a, t = store.PhoneAnswer, store.Task
    return (
        select(a.project_id, a.task_id, a.seconds)
        .outerjoin(t, and_(t.project_id == a.project_id, t.label_studio_id == a.task_id))
        .where(a.account_id == account, a.harsh | t.harsh, a.answered_at >= since)
    )


def _harsh(session: Session, account: int, user: str, now: datetime, *more: Select[int, int]) -> int:
    n, t, r, v = store.Annotation, store.Task, store.Rater, store.NormingVote
    since = start_of_day(now)
    answered = harsh_answers(account, since).subquery()
    there = (
        select(n.project_id, n.task_id)
        .join(t, and_(t.project_id == n.project_id, t.text_id == n.text_id))
        .join(r, r.id == n.rater_id)
        .where(r.kind == RaterKind.HUMAN, r.name == RATER, r.version == user, t.harsh, n.updated_at >= since)
    )
    rows = union(select(answered.c.project_id, answered.c.task_id), there, *more).subquery()
    votes = select(func.count()).where(v.account_id == account, v.harsh, v.voted_at >= since)
    tasks = session.execute(select(func.count()).select_from(rows)).scalar_one()
    return tasks + session.execute(votes).scalar_one()


@dataclass(frozen=True, slots=True)
class _Holder:
    engine: Engine
    client: LabelStudio
    owner: LabelStudio
    account: int
    wishes: Wishes
    taxonomy: Taxonomy

    def shown(self, project: store.Project) -> list[HeldTask]:
        """The tasks that are held and wait for an answer. Those that need none any more are forgotten."""
        t = store.PhoneTask
        with open_session(self.engine) as session:
            query = select(t).where(t.account_id == self.account, t.project_id == project.id, ~t.aside, ~_is_waiting())
            rows = session.scalars(query.order_by(t.taken_at, t.task_id)).all()
        if not rows:
            return []
        there = self.client.project(project.label_studio_id)
        page = Page.of(there.label_config or "", self.taxonomy)
        if page is None:
            log.warning("project %s has no control that takes labels", project.label_studio_id)
            return []
        ids = [row.task_id for row in rows]
        tasks = {task["id"]: task for task in self.client.shown_tasks(project.label_studio_id, ids)}
        shown = []
        for row in rows:
            task = tasks.get(row.task_id)
            if task is None or own_annotation(task, self.wishes.user) is not None or task.get("is_labeled"):
                self._give_back(row)
                continue
            prediction, ticked = ticks_of(task, there.model_version, page, self.taxonomy)
            self._note(row, prediction)
            shown.append(_view(project, row, task, page, ticked, self.taxonomy))
        return shown

    def take(self, project: store.Project, want: int, harsh_room: int) -> int:
        """Have Label Studio give out up to `want` tasks more; how many it gave."""
        taken = aside = 0
        while taken < want and aside < _MOST_ASIDE:
            # Over SQLite, Label Studio gives one task to two accounts that ask at the same moment.
            with waited_for(self.engine, lock_key("phone-next", str(project.id))):
                task = self.client.next_task(project.label_studio_id)
            if task is None or not self._is_new(project, task["id"]):
                # it comes back to what was put off: there is nothing else
                return taken
            harsh, expected = self._expected(project, task["id"])
            unwanted = bool(set(expected) & set(self.wishes.avoid)) or (harsh and harsh_room <= 0)
            self._store(project, task["id"], harsh=harsh, aside=unwanted)
            aside += unwanted
            taken += not unwanted
            harsh_room -= harsh and not unwanted
        return taken

    def _is_new(self, project: store.Project, task: int) -> bool:
        with open_session(self.engine) as session:
            row = session.get(store.PhoneTask, (self.account, project.id, task))
        if row is not None and row.draft_id is None:
            # an earlier call broke off before it was put off
            self._postpone(project.id, task)
            return True
        return row is None

    def _store(self, project: store.Project, task: int, *, harsh: bool, aside: bool) -> None:
        row = {"account_id": self.account, "project_id": project.id, "task_id": task, "harsh": harsh, "aside": aside}
        with open_session(self.engine) as session, session.begin():
            session.execute(insert(store.PhoneTask).values(row).on_conflict_do_nothing())
        if aside:
            # for others, and at the end of this one's queue
            _unlock(self.client, self.owner, task)
        self._postpone(project.id, task)

    def _postpone(self, project: int, task: int) -> None:
        t = store.PhoneTask
        with open_session(self.engine) as session:
            known = session.scalar(
                select(t.draft_id).where(t.account_id == self.account, t.project_id == project, t.task_id == task)
            )
        if known is not None:
            return
        draft = self.client.postpone(task)
        with open_session(self.engine) as session, session.begin():
            session.execute(
                update(t)
                .where(t.account_id == self.account, t.project_id == project, t.task_id == task)
                .values(draft_id=draft)
            )

    def _expected(self, project: store.Project, task: int) -> tuple[bool, Sequence[str]]:
        t, q = store.Task, store.QueueItem
        with open_session(self.engine) as session:
            row = session.execute(
                select(t.harsh, q.expected)
                .outerjoin(q, q.id == t.queue_item_id)
                .where(t.project_id == project.id, t.label_studio_id == task)
            ).one_or_none()
        return (False, ()) if row is None else (row[0], row[1] or ())

    def _give_back(self, row: store.PhoneTask) -> None:
        if row.draft_id is not None:
            _remove_draft(self.client, row.draft_id)
        forget(self.engine, self.account, row.project_id, row.task_id)

    def _note(self, row: store.PhoneTask, prediction: int | None) -> None:
        if row.prediction_id == prediction:
            return
        t = store.PhoneTask
        same = (t.account_id == row.account_id, t.project_id == row.project_id, t.task_id == row.task_id)
        with open_session(self.engine) as session, session.begin():
            session.execute(update(t).where(*same).values(prediction_id=prediction))


def _unlock(client: LabelStudio, owner: LabelStudio, task: int) -> None:
    try:
        client.unlock(task, owner)
    except LabelStudioError as error:
        log.warning("task %s may stay locked for a day: %s", task, error)


def _remove_draft(client: LabelStudio, draft: int) -> None:
    try:
        client.remove_draft(draft)
    except LabelStudioError as error:
        # it is gone, or stays behind in the volunteer's own list
        log.info("the draft %s was not removed: %s", draft, error)


def _view(
    project: store.Project,
    row: store.PhoneTask,
    task: dict[str, Any],
    page: Page,
    ticked: tuple[str, ...],
    taxonomy: Taxonomy,
) -> HeldTask:
    data = task.get("data") or {}
    # Nothing is ticked on a blind task, and nothing may tell of what would be: it is hidden like a harsh one.
    harsh = row.harsh or any(key in taxonomy.harmful for key in ticked)
    language = data.get("lang")
    return HeldTask(
        project=project.id,
        task=row.task_id,
        text=str(data.get("text") or ""),
        language=language if isinstance(language, str) else None,
        ticked=ticked,
        why=str(data.get("why") or "") if ticked else "",
        hidden=taxonomy.has_harmful and (harsh or not ticked),
        labels=page.labels,
        none=page.none,
        undecided=page.undecided,
    )


def _is_waiting() -> ColumnElement[bool]:
    """A condition on `PhoneTask`: its answer came in, and is on its way to Label Studio."""
    a, t = store.PhoneAnswer, store.PhoneTask
    return (
        select(a.id)
        .where(
            a.account_id == t.account_id,
            a.project_id == t.project_id,
            a.task_id == t.task_id,
            a.state == AnswerState.WAITING,
        )
        .exists()
    )


def open_count(session: Session, user: str) -> int:
    """Number of tasks that wait in the projects of a volunteer, whoever may answer them."""
    from pipeline.store.tables.human_loop import ProjectState, TaskState

    t, p = store.Task, store.Project
    return session.execute(
        select(func.count())
        .select_from(t)
        .join(p, p.id == t.project_id)
        .where(p.state == ProjectState.OPEN, t.state == TaskState.OPEN, p.volunteer.is_(None) | (p.volunteer == user))
    ).scalar_one()
