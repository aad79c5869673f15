"""The loop with all its processes: Label Studio, `saring serve` and `saring worker`, and nobody who pulls by hand.

The processes of one home serve all tests here: they take half a minute of a processor to start. Each test has a project
of its own, and looks only at that.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import httpx
import orjson
import pytest
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.backend_credentials import WEBHOOK_HEADER, BackendCredentials, backend_credentials
from pipeline.errors import RunConflict
from pipeline.settings import Settings
from pipeline.store import open_session
from pipeline.store.tables.core import ModelState
from pipeline.store.tables.human_loop import TaskState
from saring.demo.plant import read_corpus
from saring.services import LabelStudioAccess, ensure_backend, ensure_worker, stop_services
from saring.services.programs import Backend
from saring.services.server import stop
from saring.workers.app import job_sender
from sync.api.client import LabelStudio
from sync.pull.pull import pull
from sync.pull.reconcile import ReconcileReport, reconcile
from tests.support.backend import choices, promote, train_model
from tests.support.label_studio import (
    TAXONOMY,
    Line,
    annotate,
    human_judgements,
    lines,
    make_project,
    push_all,
    queue,
    tasks_of,
)
from tests.support.waiting import until
from tests.support.worker import settings_of, wait_until_idle

pytestmark = pytest.mark.timeout(400)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Loop:
    """A home whose processes run, and a project with six tasks on which `hate` is ticked."""

    engine: Engine
    settings: Settings
    client: LabelStudio
    api: httpx.Client
    credentials: BackendCredentials
    backend_url: str
    project: int
    label_studio_id: int

    def tasks(self) -> list[int]:
        """Label Studio's ids of the tasks."""
        return sorted(one.label_studio_id or 0 for one in tasks_of(self.engine, self.project).values())

    def said(self) -> list[tuple[list[str], int]]:
        """What people said, and which revision of it that is."""
        texts = tasks_of(self.engine, self.project)
        return [(row.asserted, row.revision) for row in human_judgements(self.engine) if row.text_id in texts]

    def events(self) -> list[store.Event]:
        """What the webhook brought."""
        of_project = store.Event.label_studio_project == self.label_studio_id
        with open_session(self.engine) as session:
            return list(session.scalars(select(store.Event).where(of_project).order_by(store.Event.id)))

    def compare(self) -> ReconcileReport:
        """Compare the project with the ledger, when the worker isn't at it."""
        how: dict[str, Any] = {"taxonomy": TAXONOMY, "projects": [self.project]}
        return in_turn(lambda: reconcile(self.engine, self.client, now=datetime.now(UTC), **how))

    def all_seen_to(self) -> bool:
        """Whether each event was looked after."""
        return all(one.handled_at is not None for one in self.events())

    def served(self) -> dict[str, Any]:
        """The task that Label Studio gives to whoever asks for the next one."""
        task: dict[str, Any] = self.api.get(f"/api/projects/{self.label_studio_id}/next").raise_for_status().json()
        return task


@pytest.fixture(scope="module")
def settings(module_engine: Engine, module_home: Path, label_studio: LabelStudioAccess) -> Iterator[Settings]:
    """A home with a backend and a worker."""
    url = module_engine.url.render_as_string(hide_password=False)
    own = {"SARING_HOME": str(module_home), "SARING_DATABASE_URL": url}
    made = settings_of(own, label_studio)
    ensure_backend(made)
    ensure_worker(made)
    yield made
    # with its database still there: the worker finishes what is in hand
    stop_services(made)


@pytest.fixture
def loop(
    module_engine: Engine,
    settings: Settings,
    label_studio: LabelStudioAccess,
    label_studio_api: httpx.Client,
    tmp_path: Path,
) -> Iterator[Loop]:
    backend_url = ensure_backend(settings)
    credentials = backend_credentials(settings)
    with LabelStudio(label_studio.url, label_studio.api_key) as client:
        project = make_project(module_engine, client, backend_url=backend_url, credentials=credentials)
        assert project.backend, project.warnings
        queue(module_engine, lines(6), tmp_path)
        assert in_turn(lambda: push_all(module_engine, client, project.project_id)).sent == 6
        yield Loop(
            module_engine,
            settings,
            client,
            label_studio_api,
            credentials,
            backend_url,
            project.project_id,
            project.label_studio_id,
        )
        # or the next test would get it again: a project is known by the home's credentials
        label_studio_api.delete(f"/api/projects/{project.label_studio_id}/").raise_for_status()
        gone = in_turn(lambda: pull(module_engine, client, taxonomy=TAXONOMY, now=datetime.now(UTC))).gone
        assert len(gone) <= 1


def in_turn(work: Callable[[], Result]) -> Result:
    """Do something that the worker may be at as well, when it isn't."""
    done: list[Result] = []

    def works() -> bool:
        try:
            done.append(work())
        except RunConflict:
            return False
        return True

    until(works, "it is our turn")
    return done[0]


def test_the_loop_closes_by_itself_and_survives_what_happens_to_it(loop: Loop) -> None:
    tasks = loop.tasks()

    # a volunteer annotates and changes their mind; nobody pulls
    first = annotate(loop.api, tasks[0], ["harassment"])
    until(lambda: loop.said() == [(["harassment"], 0)], "the webhook brings it home")
    [region] = first["result"]
    changed = region | {"value": {"choices": ["sexist"]}}
    loop.api.patch(f"/api/annotations/{first['id']}/", json={"result": [changed]}).raise_for_status()
    until(lambda: loop.said()[1:] == [(["sexist"], 1)], "so does a correction")
    assert {one.action for one in loop.events()} >= {"ANNOTATION_CREATED", "ANNOTATION_UPDATED"}

    # the backend is away: Label Studio's events are lost for good
    heard = len(loop.events())
    assert stop(Backend(loop.settings))
    annotate(loop.api, tasks[1], ["hate"])
    own = [loop.project]
    in_turn(lambda: pull(loop.engine, loop.client, taxonomy=TAXONOMY, projects=own, now=datetime.now(UTC)))
    home = [(["harassment"], 0), (["sexist"], 1), (["hate"], 0)]
    assert loop.said() == home
    assert len(loop.events()) == heard
    assert ensure_backend(loop.settings) == loop.backend_url

    # everything that was ever heard is told again, several times and in another order
    bodies = [one.body for one in loop.events()] * 3
    random.Random(1).shuffle(bodies)
    headers = {WEBHOOK_HEADER: loop.credentials.webhook_secret}
    with httpx.Client(base_url=loop.backend_url, headers=headers, timeout=30, trust_env=False) as teller:
        for body in bodies:
            assert teller.post("/webhook", json=body).status_code == 201
    assert len(loop.events()) == heard + len(bodies)
    until(loop.all_seen_to, "each is looked after")
    assert loop.said() == home

    # and after all that, new work still comes home by itself
    annotate(loop.api, tasks[2], ["porn"])
    home.append((["porn"], 0))
    until(lambda: loop.said() == home, "the webhook works again")

    compared = loop.compare()
    assert (compared.failed, compared.tasks, compared.annotations) == ({}, 6, 3)
    assert (compared.repaired, compared.tasks_gone, compared.doubles_removed) == (0, 0, 0)
    assert loop.said() == home


def test_a_new_champion_ticks_the_open_tasks_anew(loop: Loop, tmp_path: Path) -> None:
    tasks = loop.tasks()
    annotate(loop.api, tasks[0], ["harassment"])
    until(lambda: len(loop.said()) == 1, "the webhook brings it home")
    before = loop.served()
    assert before["id"] in tasks[1:]
    [old] = before["predictions"]
    assert choices(old) == ["hate"]

    version = promote(loop.engine, train_model(tmp_path / "models", word="ayat", label="harassment"))
    send = job_sender(loop.settings)
    send("saring.predict_ahead", {})

    def shown() -> str:
        return str(loop.client.project(loop.label_studio_id).model_version)

    until(lambda: shown() != old["model_version"], "the new predictions are shown")
    after = loop.served()
    assert after["id"] == before["id"]
    [new] = after["predictions"]
    assert new["model_version"] == shown()
    with open_session(loop.engine) as session:
        batch = session.get_one(store.PredictionBatch, (loop.project, shown()))
        # all but the one that was done, unless a coin chose it for two people
        still_open = [task for task in tasks_of(loop.engine, loop.project).values() if task.state is TaskState.OPEN]
        assert (batch.champion, batch.sent, batch.created) == (version, len(still_open), len(still_open))
        assert len(still_open) in (5, 6)
    annotate(loop.api, tasks[1], ["hate"])
    until(lambda: len(loop.said()) == 2, "work goes on")

    # asked again with no other champion, nothing is written
    send("saring.predict_ahead", {})
    annotate(loop.api, tasks[2], ["hate"])
    until(lambda: len(loop.said()) == 3, "work goes on")
    wait_until_idle(loop.settings)
    with open_session(loop.engine) as session:
        r = store.Run
        ahead = select(r).where(r.stage == "predict-ahead", r.slice == str(loop.project))
        assert len(session.scalars(ahead).all()) == 1

    compared = loop.compare()
    assert (compared.failed, compared.repaired, compared.annotations) == ({}, 0, 3)


def test_fifty_answers_retrain_by_themselves_once_the_settings_say_so(loop: Loop, tmp_path: Path) -> None:
    before = promote(loop.engine, train_model(tmp_path / "models", word="ayat", label="harassment", extra=2))
    with open_session(loop.engine) as session:
        known = session.scalars(select(store.Model.version)).all()
    # fifty more than were given in other tests; a change of the file reaches processes that run
    enough = len(human_judgements(loop.engine)) + 50
    loop.settings.env_file.write_text(f"SARING_RETRAIN_LABELS={enough}\nSARING_LOOK_SECONDS=1\n")
    # texts that differ enough to be told apart in training
    corpus = {line.text: line.labels for line in read_corpus()}
    said = [label for label in ("hate", "safe for work") for _ in range(25)]
    texts = [[text for text, labels in corpus.items() if label in labels][:25] for label in ("hate", "safe for work")]
    given = [Line(text, (label,)) for text, label in zip(chain(*texts), said, strict=True)]
    ids = queue(loop.engine, given, tmp_path)
    in_turn(lambda: push_all(loop.engine, loop.client, loop.project))
    tasks = tasks_of(loop.engine, loop.project)
    for text_id, label in zip(ids, said, strict=True):
        annotate(loop.api, tasks[text_id].label_studio_id or 0, [label])

    def challenger() -> store.Model | None:
        with open_session(loop.engine) as session:
            query = select(store.Model).where(store.Model.purpose == "sfw", store.Model.version.not_in(known))
            return session.scalars(query.where(store.Model.state != ModelState.CANDIDATE)).first()

    until(lambda: challenger() is not None, "nobody touches anything")
    judged = challenger()
    assert judged is not None
    assert judged.state in (ModelState.CHAMPION, ModelState.REJECTED)
    assert judged.reason
    folder = Path(judged.path)
    report = orjson.loads((folder / "gate.json").read_bytes())
    assert report["verdict"]["passed"] is (judged.state is ModelState.CHAMPION)
    assert "<html" in (folder / "gate.html").read_text()
    with open_session(loop.engine) as session:
        champions = session.scalars(select(store.Model.version).where(store.Model.state == ModelState.CHAMPION)).all()
    assert list(champions) == [judged.version if judged.state is ModelState.CHAMPION else before]
