"""A project in the real Label Studio with tasks pushed through a proxy, and what there is to see of it."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from sqlalchemy import Engine, func, select

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.preannotation import default_policy
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import QueueState, TaskState
from saring.services import LabelStudioAccess
from sync.api.client import LabelStudio
from sync.push.predictions import PredictReport, predict_ahead
from tests.support.label_studio import TAXONOMY, Json, Line, make_project, public_id, push_all, queue, tasks_of
from tests.support.proxies import FaultyProxy, faulty_proxy


@dataclass(frozen=True, slots=True)
class Pushed:
    """A project with four open tasks: three on which `hate` is ticked, and a blind one."""

    engine: Engine
    client: LabelStudio
    api: httpx.Client
    proxy: FaultyProxy
    project: int
    label_studio_id: int
    texts: Sequence[uuid.UUID]
    version: str

    def task(self, number: int) -> Json:
        """A task as it is on the server."""
        found: Json = self.api.get(f"/api/tasks/{self.id_of(number)}/").raise_for_status().json()
        return found

    def id_of(self, number: int) -> int:
        return tasks_of(self.engine, self.project)[self.texts[number]].label_studio_id or 0

    def settings(self) -> Json:
        found: Json = self.api.get(f"/api/projects/{self.label_studio_id}/").raise_for_status().json()
        return found

    def next_task(self) -> Json:
        found: Json = self.api.get(f"/api/projects/{self.label_studio_id}/next").raise_for_status().json()
        return found

    def predict(self, client: LabelStudio | None = None, *, minutes: int = 1) -> PredictReport:
        """Write ahead, so many minutes after the push."""
        return predict_ahead(
            self.engine,
            client or self.client,
            self.project,
            taxonomy=TAXONOMY,
            model=None,
            policy=default_policy(),
            now=datetime.now(UTC) + timedelta(minutes=minutes),
        )

    def say(self, number: int, *labels: str) -> None:
        """A newer language model says something else of a text."""
        with open_session(self.engine) as session, session.begin():
            rater = rater_id(session, RaterRef(RaterKind.LLM, "stand-in", "2"))
            said = NewJudgement(self.texts[number], frozenset(labels))
            record(session, rater, [said], taxonomy_version=TAXONOMY.version)

    def versions(self) -> dict[str, int]:
        """Versions of predictions on the server, with how many there are of each."""
        query = {"project": self.label_studio_id}
        found: dict[str, int] = {}
        for one in self.api.get("/api/predictions/", params=query).raise_for_status().json():
            found[one["model_version"]] = found.get(one["model_version"], 0) + 1
        return found

    def batches(self) -> dict[str, str]:
        """Versions as they are noted, with their states."""
        with open_session(self.engine) as session:
            return {one.version: one.state for one in session.scalars(select(store.PredictionBatch))}


@contextmanager
def pushed_project(engine: Engine, access: LabelStudioAccess, api: httpx.Client, folder: Path) -> Iterator[Pushed]:
    """Make a project, and push four texts to it."""
    given = [Line(f"ayat {i} {uuid.uuid4().hex[:8]}", ("hate",), priority=0.9 - i / 10) for i in range(3)]
    given.append(Line(f"buta {uuid.uuid4().hex[:8]}", ("hate",), blind=True, priority=0.1))
    texts = queue(engine, given, folder)
    with (
        faulty_proxy(access.url) as proxy,
        LabelStudio(proxy.url, access.api_key, sleep=lambda _: None) as client,
    ):
        made = make_project(engine, client)
        report = push_all(engine, client, made.project_id)
        assert report.version is not None
        yield Pushed(engine, client, api, proxy, made.project_id, made.label_studio_id, tuple(texts), report.version)


def ticks(task: Json, version: str) -> list[list[str]]:
    """What a task's predictions of a version tick."""
    return [
        [label for region in one["result"] for label in region["value"]["choices"]]
        for one in task["predictions"]
        if one["model_version"] == version
    ]


def on_server(api: httpx.Client, project: int) -> list[Json]:
    """The tasks of a project, whole."""
    query = {"project": project, "page_size": 10_000, "fields": "all"}
    found: list[Json] = api.get("/api/tasks/", params=query).raise_for_status().json()["tasks"]
    return found


def waiting(engine: Engine) -> int:
    """How many texts are queued."""
    q = store.QueueItem
    with open_session(engine) as session:
        return session.execute(select(func.count()).where(q.state == QueueState.QUEUED)).scalar_one()


def assert_each_once(
    engine: Engine, api: httpx.Client, project_id: int, label_studio_id: int, texts: Sequence[uuid.UUID]
) -> None:
    """Every text is one task on the server and one open task here, and they name each other."""
    there = {int(task["id"]): task["data"]["text_id"] for task in on_server(api, label_studio_id)}
    assert Counter(there.values()) == Counter(public_id(engine, text) for text in texts)
    noted = tasks_of(engine, project_id)
    assert {task.label_studio_id: public_id(engine, text) for text, task in noted.items()} == there
    assert {task.state for task in noted.values()} == {TaskState.OPEN}
    assert waiting(engine) == 0
