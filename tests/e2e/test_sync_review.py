"""Disagreements at the real Label Studio: who is asked next, and when it ends."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from pipeline import store
from pipeline.preannotation import default_policy
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import TaskState
from saring.demo.volunteers import Persona, Volunteer
from saring.services import LabelStudioAccess
from sync.api.client import LabelStudio
from sync.project.projects import SetupReport
from sync.pull.pull import pull
from sync.push.predictions import predict_ahead
from sync.push.push import push
from sync.quality.review import Disagreement, find_disagreements, request_reviews
from tests.support.label_studio import TAXONOMY, lines, make_project, push_all, queue, tasks_of

pytestmark = pytest.mark.timeout(180)

_NAMES = ("aina", "bala", "chong", "devi")
_PASSWORD = "only for this test"


@pytest.fixture(scope="module")
def people(label_studio: LabelStudioAccess) -> Iterator[list[Volunteer]]:
    """Accounts made by the invitation."""
    owner = {"Authorization": f"Token {label_studio.api_key}"}
    answer = httpx.get(f"{label_studio.url}/api/invite", headers=owner, trust_env=False)
    invite = answer.raise_for_status().json()["invite_url"]
    made = []
    for name in _NAMES:
        persona = Persona(f"{name}-{uuid.uuid4().hex[:8]}", skill=1, trust=0, seconds=5)
        made.append(Volunteer(label_studio.url, persona, _PASSWORD))
        made[-1].sign_up(invite)
    yield made
    for one in made:
        one.close()


@dataclass(frozen=True)
class Desk:
    """One text in a project of its own, and what happens to it."""

    engine: Engine
    client: LabelStudio
    project: SetupReport
    text_id: uuid.UUID

    @property
    def task(self) -> store.Task:
        return tasks_of(self.engine, self.project.project_id)[self.text_id]

    def pair(self, paired: bool) -> None:
        """Have the coin fall so."""
        with open_session(self.engine) as session, session.begin():
            session.get_one(store.Task, (self.project.project_id, self.text_id)).paired = paired

    def says(self, who: Volunteer, *labels: str, control: str = "labels") -> None:
        """Annotate the task as this volunteer, whether it was served to them or not."""
        region = {"id": "r", "from_name": control, "to_name": "text", "type": "choices", "value": {"choices": labels}}
        who.submit({"id": self.task.label_studio_id}, {"result": [region], "lead_time": 5.0})

    def home(self) -> None:
        pull(self.engine, self.client, taxonomy=TAXONOMY, projects=[self.project.project_id], now=datetime.now(UTC))

    def review(self) -> tuple[int, int, int]:
        self.home()
        report = request_reviews(self.engine, self.client, project_id=self.project.project_id)
        return report.asked, report.settled_by_nobody, report.gone

    def open_ones(self) -> list[Disagreement]:
        with open_session(self.engine) as session:
            return find_disagreements(session, self.project.project_id)

    def overlap(self) -> int:
        """As Label Studio has it; our own record must be the same."""
        there = int(self.client.get(f"/api/tasks/{self.task.label_studio_id}/")["overlap"])
        assert there == self.task.overlap
        return there

    def served_to(self, people: Sequence[Volunteer]) -> list[Volunteer]:
        """Those whom Label Studio would show the task. Serving locks it, so nobody is asked twice."""
        return [one for one in people if one.next_task(self.project.label_studio_id) is not None]


@pytest.fixture
def desk(engine: Engine, label_studio: LabelStudioAccess, tmp_path: Path) -> Iterator[Desk]:
    with LabelStudio(label_studio.url, label_studio.api_key) as client:
        project = make_project(engine, client)
        [text_id] = queue(engine, lines(1), tmp_path)
        assert push_all(engine, client, project.project_id).sent == 1
        one = Desk(engine, client, project, text_id)
        # the random sample for two volunteers is another matter
        one.pair(False)
        yield one
        client.delete_project(project.label_studio_id)


def test_a_disagreement_is_served_to_a_third_person_and_to_nobody_twice(desk: Desk, people: list[Volunteer]) -> None:
    first, second, third, fourth = people
    desk.says(first, "hate")
    assert desk.review() == (0, 0, 0)
    assert desk.served_to(people) == []

    desk.says(second, "informative")
    assert desk.review() == (1, 0, 0)
    [one] = desk.open_ones()
    assert (one.raters, one.disputed, one.undecided) == (2, ("hate", "informative"), False)
    assert desk.overlap() == 3

    # asked again, nothing more is asked
    assert desk.review() == (0, 0, 0)
    assert desk.overlap() == 3
    assert desk.served_to([first, second]) == []
    # the third has it now, so the fourth doesn't get it
    assert desk.served_to([third, fourth]) == [third]

    desk.says(third, "hate")
    assert desk.review() == (0, 0, 0)
    assert desk.open_ones() == []
    assert desk.served_to(people) == []
    assert desk.task.state is TaskState.DONE


def test_a_text_that_a_coin_chose_is_judged_by_two_though_they_agree(desk: Desk, people: list[Volunteer]) -> None:
    first, second, third, _ = people
    desk.pair(True)
    assert desk.review() == (0, 0, 0)
    assert desk.overlap() == 1
    desk.says(first, "hate")
    assert desk.review() == (1, 0, 0)
    assert desk.open_ones() == []
    assert desk.overlap() == 2
    assert desk.served_to([first, second]) == [second]
    desk.says(second, "hate")
    assert desk.review() == (0, 0, 0)
    assert desk.served_to([third]) == []


def test_three_who_all_differ_are_left_to_the_maintainer(desk: Desk, people: list[Volunteer]) -> None:
    for who, label in zip(people[:2], ("hate", "informative"), strict=True):
        desk.says(who, label)
    assert desk.review() == (1, 0, 0)
    desk.says(people[2], "racist")
    assert desk.review() == (0, 1, 0)
    assert desk.overlap() == 3
    assert desk.served_to(people) == []


def test_one_who_cannot_decide_brings_a_second_and_then_a_third(desk: Desk, people: list[Volunteer]) -> None:
    first, second, third, _ = people
    desk.says(first, "can't decide", control="undecided")
    assert desk.review() == (1, 0, 0)
    assert desk.overlap() == 2
    assert desk.served_to([first, second]) == [second]
    desk.says(second, "hate")
    assert desk.review() == (1, 0, 0)
    assert desk.served_to([third]) == [third]
    desk.says(third, "hate")
    assert desk.review() == (0, 0, 0)
    assert desk.open_ones() == []


def test_a_second_answer_of_the_same_person_takes_nobodys_place(desk: Desk, people: list[Volunteer]) -> None:
    first, second, third, fourth = people
    desk.says(first, "hate")
    desk.says(second, "hate")
    desk.says(second, "informative")
    assert desk.review() == (1, 0, 0)
    [one] = desk.open_ones()
    assert one.raters == 2
    assert desk.review() == (0, 0, 0)
    assert desk.served_to([first, second, third]) == [third]
    desk.says(third, "racist")
    assert desk.review() == (0, 1, 0)
    assert desk.served_to([fourth]) == []


def test_a_corrected_answer_settles_it(desk: Desk, people: list[Volunteer]) -> None:
    first, second, third, _ = people
    desk.says(first, "hate")
    desk.says(second, "informative")
    desk.home()
    assert len(desk.open_ones()) == 1
    desk.says(second, "hate")
    assert desk.review() == (0, 0, 0)
    assert desk.served_to([third]) == []


def test_the_third_person_finds_the_newest_ticks(desk: Desk, people: list[Volunteer]) -> None:
    """A task that is served again needs predictions like any other, or its page would wait for the ML backend."""
    desk.says(people[0], "hate")
    desk.says(people[1], "informative")
    assert desk.review() == (1, 0, 0)
    desk.home()
    done = predict_ahead(
        desk.engine, desk.client, desk.project.project_id, taxonomy=TAXONOMY, model=None, policy=default_policy()
    )
    assert (done.sent, done.created) == (1, 1)
    task = people[2].next_task(desk.project.label_studio_id)
    assert task is not None
    [prediction] = task["predictions"]
    assert prediction["model_version"] == done.version
    # what machines say, and not what the others said
    assert prediction["result"][0]["value"]["choices"] == ["hate"]


def test_a_task_that_was_removed_meanwhile_is_noted(desk: Desk, people: list[Volunteer]) -> None:
    desk.says(people[0], "hate")
    desk.says(people[1], "informative")
    desk.home()
    desk.client.delete(f"/api/tasks/{desk.task.label_studio_id}/")
    report = request_reviews(desk.engine, desk.client, project_id=desk.project.project_id)
    assert (report.asked, report.gone) == (0, 1)
    assert desk.task.state is TaskState.GONE
    assert request_reviews(desk.engine, desk.client, project_id=desk.project.project_id).gone == 0


def test_a_personal_project_asks_nobody_else(
    engine: Engine, label_studio: LabelStudioAccess, people: list[Volunteer], tmp_path: Path
) -> None:
    with LabelStudio(label_studio.url, label_studio.api_key) as client:
        project = make_project(engine, client, volunteer=str(people[0].user_id))
        [text_id] = queue(engine, lines(1), tmp_path)
        push(engine, client, project.project_id, taxonomy=TAXONOMY, model=None, policy=default_policy())
        desk = Desk(engine, client, project, text_id)
        before = desk.overlap()
        desk.says(people[0], "can't decide", control="undecided")
        assert desk.review() == (0, 0, 0)
        assert desk.overlap() == before
        # nothing of it is left for tomorrow's cap
        assert desk.task.state is TaskState.DONE
        client.delete_project(project.label_studio_id)
