"""Answers from phones become annotations in Label Studio and judgements in the ledger, each once, whatever dies."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.errors import UsageError
from pipeline.settings import Settings
from pipeline.store.session import open_session
from pipeline.store.tables.volunteers import AnswerKind, AnswerState
from saring.accounts.volunteers import agree, ask_to_join, find_volunteer, set_wishes
from saring.actions.label_studio import pull
from saring.actions.volunteer_figures import own_work
from saring.actions.volunteers import approve, finish, give, hand, invite, leave
from saring.home import Home
from saring.services import LabelStudioAccess
from sync.api.client import LabelStudio
from sync.phone.answers import NewAnswer
from sync.phone.held import HeldTask
from tests.support.label_studio import Line, annotate, invited, lines, make_project, push_all, queue
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)
_ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Door:
    """A home with a pushed project, and Label Studio as its owner sees it."""

    home: Home
    api: httpx.Client

    def volunteer(self, name: str = "aina") -> int:
        """Somebody who asked and was let in; id of the account."""
        with self.home.begin() as session:
            person, _ = ask_to_join(session, f"{name}-{uuid.uuid4().hex[:6]}")
        approve(self.home, person.id)
        return person.id

    def user(self, account: int) -> str:
        with open_session(self.home.engine) as session:
            state = find_volunteer(session, account)
        assert state is not None
        return str(state.person.rater)

    def annotations(self, account: int, task: int) -> list[dict]:
        """What Label Studio has of a volunteer on a task, skipped or not. Others may have skipped it before."""
        known = self.api.get(f"/api/tasks/{task}/").raise_for_status().json()["annotations"]
        return [one for one in known if str(one["completed_by"]["id"]) == self.user(account)]

    def said(self, account: int) -> list[store.Judgement]:
        """What the ledger has of a volunteer, every revision, in order."""
        j, r = store.Judgement, store.Rater
        with open_session(self.home.engine) as session:
            query = select(j).join(r, r.id == j.rater_id).where(r.version == self.user(account)).order_by(j.id)
            return list(session.scalars(query))

    def states(self, account: int) -> list[tuple[AnswerState, str | None]]:
        a = store.PhoneAnswer
        with open_session(self.home.engine) as session:
            rows = session.execute(select(a.state, a.why).where(a.account_id == account).order_by(a.number))
            return [(state, why) for state, why in rows]


def answer(task: HeldTask, *labels: str, kind: AnswerKind | None = None, **more: object) -> NewAnswer:
    kind = kind or (AnswerKind.LABELS if labels else AnswerKind.SKIPPED)
    return NewAnswer(uuid.uuid4(), task.project, task.task, kind, labels, seconds=4.0, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def door(
    module_engine: Engine, home: Path, label_studio: LabelStudioAccess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    """One project with enough tasks for all tests; the first are blind."""
    blind = [Line(f"teks tanpa tanda {uuid.uuid4().hex[:6]}", ("hate",), blind=True, priority=0.99) for _ in range(2)]
    safe = [Line(f"teks biasa {uuid.uuid4().hex[:6]}", ("safe for work",), priority=0.01)]
    queue(module_engine, [*blind, *lines(36), *safe], tmp_path_factory.mktemp("door"))
    with LabelStudio(label_studio.url, label_studio.api_key) as client:
        made = make_project(module_engine, client)
        push_all(module_engine, client, made.project_id)
    settings = Settings(home=home, database_url=module_engine.url.render_as_string(hide_password=False))
    headers = {"Authorization": f"Token {label_studio.api_key}"}
    with (
        Home(settings=settings) as opened,
        httpx.Client(base_url=label_studio.url, headers=headers, timeout=60, trust_env=False) as api,
    ):
        yield Door(opened, api)


def test_a_volunteer_is_given_tasks_that_label_studio_locks_for_them_and_answers_them(door: Door) -> None:
    aina, balan = door.volunteer("aina"), door.volunteer("balan")
    first = hand(door.home, aina)
    assert len(first.tasks) == 3
    # nothing is ticked on a blind task, nothing says why it is there, and it is hidden whatever is in it
    assert [task.ticked for task in first.tasks] == [("hate",), (), ()]
    assert [bool(task.why) for task in first.tasks] == [True, False, False]
    assert all(task.hidden for task in first.tasks)
    # the same tasks again, and others for somebody else
    assert hand(door.home, aina).tasks == first.tasks
    others = hand(door.home, balan).tasks
    assert len(others) == 3
    assert not {task.task for task in others} & {task.task for task in first.tasks}

    given = [
        answer(first.tasks[0], "hate"),
        answer(first.tasks[1], "racist", "hate"),
        answer(first.tasks[2], kind=AnswerKind.UNDECIDED),
        answer(others[0], "racist"),
        answer(others[1]),
        answer(others[2], kind=AnswerKind.NONE),
    ]
    assert give(door.home, aina, given[:3]).delivered.sent == 3
    assert give(door.home, balan, given[3:]).delivered.sent == 3
    kept = [door.annotations(aina if place < 3 else balan, one.task) for place, one in enumerate(given)]
    assert [len(one) for one in kept] == [1] * 6
    assert [rows[0]["parent_prediction"] is not None for rows in kept] == [True, False, False, True, True, True]
    assert door.api.get(f"/api/tasks/{given[0].task}/drafts").json() == []

    pull(door.home)
    said = [(sorted(one.asserted), one.explanation) for one in door.said(aina)]
    assert sorted(said, key=str) == [(["hate", "racist"], None), (["hate"], None), ([], "can't decide")]
    # who skips says nothing; "none of these" denies every label
    assert sorted(sorted(one.asserted) for one in door.said(balan)) == [[], ["racist"]]
    none = next(one for one in door.said(balan) if not one.asserted)
    assert set(none.denied) == set(door.home.taxonomy.keys)
    with open_session(door.home.engine) as session:
        rows = session.execute(select(store.Annotation.task_id, store.Annotation.change, store.Annotation.predicted))
        changes = {task: (str(change), predicted) for task, change, predicted in rows}
    assert changes[given[0].task] == ("kept", ["hate"])
    assert changes[given[1].task][0] == "scratch"
    assert changes[given[3].task] == ("changed", ["hate"])
    pull(door.home)
    assert len(door.said(aina)) == 3


def test_an_answer_that_is_sent_again_is_taken_once_and_a_correction_replaces_it(door: Door) -> None:
    aina = door.volunteer()
    task = hand(door.home, aina).tasks[0]
    first = answer(task, "hate")
    for _ in range(3):
        assert give(door.home, aina, [first, first]).kept == {first.id: "kept"}
    assert len(door.annotations(aina, task.task)) == 1
    pull(door.home)
    better = answer(task, "safe for work", replaces=first.id)
    give(door.home, aina, [better])
    give(door.home, aina, [better])
    only = door.annotations(aina, task.task)
    assert [one["result"][0]["value"]["choices"] for one in only] == [["safe for work"]]
    pull(door.home)
    assert [sorted(one.asserted) for one in door.said(aina)] == [["hate"], ["safe for work"]]
    # to skip after all is a correction as well
    give(door.home, aina, [answer(task, replaces=better.id)])
    assert [one["was_cancelled"] for one in door.annotations(aina, task.task)] == [True]
    pull(door.home)
    assert door.said(aina)[-1].withdrawn


def test_who_is_invited_is_let_in_and_given_texts_once_they_agree(door: Door) -> None:
    guest = invite(door.home, f"jemputan-{uuid.uuid4().hex[:6]}")
    assert guest.let_in
    assert hand(door.home, guest.person.id).problem == "closed"
    with door.home.begin() as session:
        agree(session, guest.person.id)
    task = hand(door.home, guest.person.id).tasks[0]
    skipped = answer(task)
    give(door.home, guest.person.id, [skipped])
    assert hand(door.home, guest.person.id).today == 0, "a skip is no answer"
    give(door.home, guest.person.id, [answer(task, "hate", replaces=skipped.id)])
    assert hand(door.home, guest.person.id).today == 1
    # nothing is met or counted twice because it was pulled
    before = own_work(door.home, guest.person.id)
    pull(door.home)
    after = own_work(door.home, guest.person.id)
    assert (after.today, after.harsh_today) == (before.today, before.harsh_today)
    assert after.today == 1


def test_nobody_answers_what_they_were_not_given(door: Door) -> None:
    aina, balan = door.volunteer("aina"), door.volunteer("balan")
    task = hand(door.home, aina).tasks[0]
    stolen = answer(task, "hate")
    assert give(door.home, balan, [stolen]).kept == {stolen.id: "not held"}
    given = answer(task, "hate")
    give(door.home, aina, [given])
    # nor corrects the answer of another, or sends it in their own name
    assert set(give(door.home, balan, [given, answer(task, replaces=given.id)]).kept.values()) == {"not held"}
    assert len(door.annotations(aina, task.task)) == 1
    assert door.annotations(balan, task.task) == []


def test_answers_wait_while_label_studio_is_away_and_are_written_once_when_it_is_back(
    door: Door, label_studio: LabelStudioAccess
) -> None:
    aina = door.volunteer()
    tasks = hand(door.home, aina).tasks
    settings = door.home.settings.model_copy(
        update={"label_studio_url": "http://127.0.0.1:9", "label_studio_api_key": SecretStr("nobody")}
    )
    given = [answer(task, "hate") for task in tasks]
    with Home(settings=settings) as cut_off:
        done = give(cut_off, aina, given)
        assert (done.delivered.sent, done.delivered.waiting) == (0, 3)
        assert set(done.kept.values()) == {"kept"}
        away = hand(cut_off, aina)
        assert (away.problem, away.waiting, away.today) == ("away", 3, 3)
    assert finish(door.home) == {"sent": 3, "refused": 0, "waiting": 0}
    assert finish(door.home) == {"sent": 0, "refused": 0, "waiting": 0}
    assert [len(door.annotations(aina, task.task)) for task in tasks] == [1, 1, 1]


#: writes the waiting answers, and kills itself at the named point
_FINISH = """
import os, signal, sys
from sync.api.client import LabelStudio
from pipeline.settings import Settings
from saring.home import Home
from saring.actions.volunteers import finish
import sync.phone.answers as answers

point, home, url = sys.argv[1:]
annotate = LabelStudio.annotate
change = LabelStudio.change_annotation

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def annotate_and_die(self, *arguments, **fields):
    if point == "before":
        die()
    made = annotate(self, *arguments, **fields)
    die()

LabelStudio.annotate = annotate_and_die
with Home(settings=Settings(home=home, database_url=url)) as opened:
    finish(opened)
"""


def test_a_process_that_is_killed_as_it_writes_loses_and_doubles_nothing(door: Door) -> None:
    aina = door.volunteer()
    tasks = hand(door.home, aina).tasks
    with open_session(door.home.engine) as session, session.begin():
        volunteer = session.get_one(store.Volunteer, aina)
        token, volunteer.token = volunteer.token, None
    give(door.home, aina, [answer(tasks[0], "hate"), answer(tasks[1])])
    with open_session(door.home.engine) as session, session.begin():
        session.get_one(store.Volunteer, aina).token = token
    settings = door.home.settings
    assert settings.database_url is not None
    words = [str(settings.home), settings.database_url.get_secret_value()]
    for point, there in (("before", [0, 0]), ("after", [1, 0]), ("after", [1, 1])):
        died = subprocess.run([sys.executable, "-c", _FINISH, point, *words], cwd=_ROOT, capture_output=True, text=True)
        assert died.returncode == -signal.SIGKILL, died.stderr
        assert [len(door.annotations(aina, task.task)) for task in tasks[:2]] == there
    assert finish(door.home)["waiting"] == 0
    assert [len(door.annotations(aina, task.task)) for task in tasks[:2]] == [1, 1]
    assert {state for state, _ in door.states(aina)} == {AnswerState.SENT}
    pull(door.home)
    assert len(door.said(aina)) == 1


def test_several_volunteers_at_once_lose_and_double_nothing(door: Door) -> None:
    accounts = [door.volunteer(f"serentak-{number}") for number in range(3)]

    def work(account: int) -> list[NewAnswer]:
        """Two handfuls, each sent three times at once, while the regular job runs as well."""
        given: list[NewAnswer] = []
        for _ in range(2):
            some = [answer(task, "racist") for task in hand(door.home, account).tasks[:2]]
            with ThreadPoolExecutor(3) as network:
                list(network.map(lambda _, some=some: give(door.home, account, some), range(3)))
                finish(door.home)
            given += some
        return given

    with ThreadPoolExecutor(len(accounts)) as people:
        given = list(people.map(work, accounts))
    while finish(door.home)["waiting"]:
        pass
    assert [len(answers) for answers in given] == [4, 4, 4]
    tasks = [one.task for answers in given for one in answers]
    assert len(set(tasks)) == len(tasks)
    for account, answers in zip(accounts, given, strict=True):
        assert [len(door.annotations(account, one.task)) for one in answers] == [1] * 4
        assert door.states(account) == [(AnswerState.SENT, None)] * 4
    pull(door.home)
    assert [len(door.said(account)) for account in accounts] == [4, 4, 4]


def test_what_was_answered_in_label_studio_meanwhile_is_not_answered_twice(
    door: Door, label_studio: LabelStudioAccess
) -> None:
    with invited(label_studio) as person:
        with door.home.begin() as session:
            account, _ = ask_to_join(session, f"chen-{uuid.uuid4().hex[:6]}")
        approve(door.home, account.id, token=person.api.headers["Authorization"].removeprefix("Token "))
        assert door.user(account.id) == person.rater
        tasks = hand(door.home, account.id).tasks
        annotate(person.api, tasks[0].task, ["racist"])
        give(door.home, account.id, [answer(tasks[0], "hate")])
        assert door.states(account.id) == [(AnswerState.REFUSED, "answered in Label Studio before")]
        assert [one["result"][0]["value"]["choices"] for one in door.annotations(account.id, tasks[0].task)] == [
            ["racist"]
        ]
        # and it is given no more
        annotate(person.api, tasks[1].task, ["racist"])
        assert not {tasks[0].task, tasks[1].task} & {task.task for task in hand(door.home, account.id).tasks}
        # the user is one account's only
        other = door.volunteer()
        with pytest.raises(UsageError, match="a user of their own"):
            approve(door.home, other, token=person.api.headers["Authorization"].removeprefix("Token "))


def test_wishes_are_honoured_and_a_withdrawn_consent_takes_effect(door: Door) -> None:
    aina, balan = door.volunteer("aina"), door.volunteer("balan")
    with door.home.begin() as session:
        set_wishes(session, aina, avoid=["hate"], daily_cap=None, break_minutes=20)
        set_wishes(session, balan, avoid=[], daily_cap=1, break_minutes=20)
    assert all("hate" not in task.ticked for task in hand(door.home, aina).tasks)
    # what she would rather not see is given to others at once, and nothing says that she skipped it
    t = store.PhoneTask
    with open_session(door.home.engine) as session:
        aside = session.scalars(select(t.task_id).where(t.account_id == aina, t.aside).order_by(t.taken_at)).all()
    assert aside
    assert [door.annotations(aina, task) for task in aside] == [[]] * len(aside)
    # a Label Studio with much to do may take a moment to give out what was put aside
    until(lambda: len(hand(door.home, balan).tasks) > 0, "what she put aside is given to others")
    only = hand(door.home, balan).tasks
    assert len(only) == 1
    assert only[0].task in aside
    give(door.home, balan, [answer(only[0], "safe for work")])
    assert (hand(door.home, balan).problem, hand(door.home, balan).today) == ("cap", 1)
    pull(door.home)

    leave(door.home, balan)
    assert hand(door.home, balan).problem == "closed"
    with pytest.raises(UsageError):
        give(door.home, balan, [answer(only[0], "hate")])
    with open_session(door.home.engine) as session:
        rater = session.scalars(select(store.Rater).where(store.Rater.version == door.user(balan))).one()
        assert rater.excluded_at is not None
        assert session.scalars(select(store.PhoneTask).where(store.PhoneTask.account_id == balan)).all() == []
        assert session.get_one(store.Volunteer, balan).token is None
    assert len(door.said(balan)) == 1
