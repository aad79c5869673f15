"""`saring erase` with the real Label Studio: the task is gone there, and what a volunteer said stays in the ledger."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from pipeline import store
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import TaskState
from saring.services import LabelStudioAccess
from sync.api.client import LabelStudio
from sync.project.projects import SetupReport
from sync.pull.pull import pull
from sync.pull.reconcile import reconcile
from tests.support.commands import answered, typed
from tests.support.label_studio import (
    TAXONOMY,
    annotate,
    human_judgements,
    invited,
    lines,
    make_project,
    public_id,
    push_all,
    queue,
    tasks_of,
)

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def project(engine: Engine, client: LabelStudio) -> Iterator[SetupReport]:
    made = make_project(engine, client)
    yield made
    client.delete_project(made.label_studio_id)


def erase(here: dict[str, str], engine: Engine, one: uuid.UUID, why: str) -> dict[str, Any]:
    return answered(typed(here, "erase", public_id(engine, one), "--why", why, "--yes", "--json"))


def held(client: LabelStudio, project: SetupReport) -> list[str]:
    """The texts that the server has in the project."""
    return sorted(task["data"]["text"] for page in client.task_stamps(project.label_studio_id) for task in page)


def test_its_task_is_removed_and_the_judgement_stays(
    here: dict[str, str],
    engine: Engine,
    client: LabelStudio,
    label_studio: LabelStudioAccess,
    project: SetupReport,
    tmp_path: Path,
) -> None:
    given = lines(3)
    ids = queue(engine, given, tmp_path)
    push_all(engine, client, project.project_id)
    task = tasks_of(engine, project.project_id)[ids[0]]
    with invited(label_studio) as aina:
        annotate(aina.api, task.label_studio_id or 0, ["hate"])
    pull(engine, client, taxonomy=TAXONOMY, now=datetime.now(UTC))
    (said,) = human_judgements(engine)

    report = erase(here, engine, ids[0], "request of 1 December")
    assert (report["texts"], report["tasks"]) == (1, 1)
    assert held(client, project) == sorted(one.text for one in given[1:])
    assert tasks_of(engine, project.project_id)[ids[0]].state is TaskState.GONE

    # what a removed task does to the ledger elsewhere must not happen here
    pull(engine, client, taxonomy=TAXONOMY, now=datetime.now(UTC))
    reconcile(engine, client, taxonomy=TAXONOMY, now=datetime.now(UTC))
    (after,) = human_judgements(engine)
    assert (after.id, after.asserted) == (said.id, ["hate"])
    with open_session(engine) as session:
        assert session.get_one(store.Text, ids[0]).masked == ""
    assert not push_all(engine, client, project.project_id).sent


def test_the_number_of_a_task_that_is_another_ones_now_is_left_alone(
    here: dict[str, str], engine: Engine, client: LabelStudio, project: SetupReport, tmp_path: Path
) -> None:
    given = lines(2)
    first, second = queue(engine, given, tmp_path)
    push_all(engine, client, project.project_id)
    numbers = {text: task.label_studio_id for text, task in tasks_of(engine, project.project_id).items()}
    with open_session(engine) as session, session.begin():
        rows = {one: session.get_one(store.Task, (project.project_id, one)) for one in (first, second)}
        rows[second].label_studio_id = None
        session.flush()
        rows[first].label_studio_id = numbers[second]
    assert erase(here, engine, first, "request")["tasks"] == 0
    assert held(client, project) == sorted(one.text for one in given)


def test_tasks_of_a_project_that_the_server_does_not_have_are_named(
    here: dict[str, str], engine: Engine, client: LabelStudio, project: SetupReport, tmp_path: Path
) -> None:
    (text,) = queue(engine, lines(1), tmp_path)
    push_all(engine, client, project.project_id)
    with open_session(engine) as session, session.begin():
        row = session.get_one(store.Project, project.project_id)
        row.url, row.label_studio_created_at = "http://elsewhere", datetime(2020, 1, 1, tzinfo=UTC)
    said = typed(here, "erase", public_id(engine, text), "--why", "request", "--yes")
    assert "1 task in projects that this Label Studio does not have" in said.stdout


def test_a_server_that_is_away_is_no_reason_to_keep_the_words(
    here: dict[str, str], engine: Engine, client: LabelStudio, project: SetupReport, tmp_path: Path
) -> None:
    (one,) = queue(engine, lines(1), tmp_path)
    push_all(engine, client, project.project_id)
    words = ("erase", public_id(engine, one), "--why", "request", "--yes")
    away = typed(here | {"LABEL_STUDIO_URL": "http://127.0.0.1:1"}, *words)
    assert away.returncode != 0 and "127.0.0.1:1" in away.stderr
    with open_session(engine) as session:
        assert session.get_one(store.Text, one).masked == ""
    assert erase(here, engine, one, "request")["tasks"] == 1
    assert held(client, project) == []
