"""Jobs on a real broker, carried out by a real worker process that may die in the middle of one."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import Engine, insert, select

from ml_backend.jobs import JOBS
from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.raters.imported import import_labelled
from pipeline.raters.mapping import load_mapping
from pipeline.settings import Settings
from pipeline.store import open_session
from pipeline.store.tables.core import RunState
from pipeline.texts.ingest import SourceInfo
from saring.services import LabelStudioAccess, stop_services
from saring.workers.app import QUEUES, job_sender, make_app
from sync.api.client import LabelStudio
from tests.support.backend import served
from tests.support.label_studio import (
    TAXONOMY,
    annotate,
    human_judgements,
    lines,
    make_project,
    push_all,
    queue,
    tasks_of,
)
from tests.support.waiting import until
from tests.support.worker import (
    children,
    is_waiting_for_a_lock,
    kill_all,
    nobody_writes,
    send,
    settings_of,
    wait_until_idle,
    working,
)


@pytest.fixture
def settings(environment: dict[str, str], label_studio: LabelStudioAccess) -> Settings:
    return settings_of(environment, label_studio)


@pytest.fixture
def annotated(
    engine: Engine, label_studio: LabelStudioAccess, label_studio_api: httpx.Client, tmp_path: Path
) -> Iterator[int]:
    """A project with two tasks, one of which a volunteer just did; Label Studio's id of the other."""
    with LabelStudio(label_studio.url, label_studio.api_key) as client:
        project = make_project(engine, client)
        queue(engine, lines(2), tmp_path)
        push_all(engine, client, project.project_id)
        done, still_open = sorted(
            one.label_studio_id for one in tasks_of(engine, project.project_id).values() if one.label_studio_id
        )
        annotate(label_studio_api, done, ["harassment"])
        yield still_open


def said(engine: Engine) -> list[tuple[list[str], int]]:
    return [(one.asserted, one.revision) for one in human_judgements(engine)]


def runs(engine: Engine, stage: str) -> list[RunState]:
    with open_session(engine) as session:
        return list(session.scalars(select(store.Run.state).where(store.Run.stage == stage).order_by(store.Run.id)))


def press(engine: Engine, times: int = 1) -> None:
    with open_session(engine) as session, session.begin():
        row = {"action": "START_TRAINING", "label_studio_project": 1, "body": {"action": "START_TRAINING"}}
        session.execute(insert(store.Event), [row] * times)


def waiting(engine: Engine) -> int:
    """Events that nobody has seen to."""
    with open_session(engine) as session:
        return len(session.scalars(select(store.Event.id).where(store.Event.handled_at.is_(None))).all())


def teach(engine: Engine, folder: Path, count: int, start: int = 0) -> None:
    """Import texts with labels that can be learnt."""
    rng = random.Random(start)
    syllables = ["ka", "mi", "pe", "gi", "ba", "ru", "ja", "lan", "so", "tu", "ne", "dik"]
    rows = []
    for i in range(start, start + count):
        # words of their own, so that no text nearly repeats another
        words = ["".join(rng.choices(syllables, k=4)) for _ in range(10)]
        rude = i % 2 == 0
        rows.append(
            {
                "id": str(i),
                "text": " ".join([*words, "bodoh" if rude else "bagus"]),
                "labels": ["harassment" if rude else "informative"],
                "not_labels": ["informative" if rude else "harassment"],
            }
        )
    path = folder / f"taught-{start}.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)) + b"\n")
    mapping = load_mapping(None, TAXONOMY, "labels")
    import_labelled(engine, [str(path)], SourceInfo("taught"), mapping, RaterRef(RaterKind.EXTERNAL, "taught"))


def test_every_route_leads_from_a_job_that_exists_to_a_queue_that_workers_take(settings: Settings) -> None:
    app = make_app("memory://", settings=settings)
    app.loader.import_default_modules()
    ours = {name for name in app.tasks if name.startswith("saring.")}
    routes: dict[str, dict[str, Any]] = app.conf.task_routes
    assert set(routes) == ours
    assert {route["queue"] for route in routes.values()} <= set(QUEUES)
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= ours
    assert set(JOBS.values()) <= ours
    # what a webhook wakes may get lost, so the schedule does it as well
    assert set(JOBS.values()) <= {entry["task"] for entry in app.conf.beat_schedule.values()}


def test_a_job_sent_by_name_is_carried_out(
    settings: Settings, environment: dict[str, str], label_studio: LabelStudioAccess, annotated: int, engine: Engine
) -> None:
    with working(environment, label_studio, "--concurrency", "1"):
        job_sender(settings)("saring.pull", {})
        until(lambda: said(engine) == [(["harassment"], 0)], "the annotation is home")
        wait_until_idle(settings)


def test_presses_of_the_training_button_are_one_retraining(
    settings: Settings,
    environment: dict[str, str],
    label_studio: LabelStudioAccess,
    engine: Engine,
    tmp_path: Path,
) -> None:
    teach(engine, tmp_path, 240)
    with working(environment, label_studio, "--concurrency", "2"):
        with nobody_writes(engine, "model"):
            press(engine, 2)
            send(settings, "saring.retrain", "saring.retrain")
            until(lambda: is_waiting_for_a_lock(engine), "the training is under way")
            # an impatient person, who has nothing new to teach it
            press(engine, 3)
            send(settings, *["saring.retrain"] * 3)
        wait_until_idle(settings)
        assert runs(engine, "train") == [RunState.DONE]
        assert waiting(engine) == 0

        teach(engine, tmp_path, 20, start=240)
        press(engine)
        send(settings, "saring.retrain")
        until(lambda: runs(engine, "train") == [RunState.DONE] * 2, "a later press trains again")
        wait_until_idle(settings)
    with open_session(engine) as session:
        assert len(session.scalars(select(store.Model)).all()) == 2
        # a person who asks for the log of such a run sees its steps, although no shard was sent
        logged = session.scalars(
            select(store.RunLog.message).where(store.RunLog.message.like("calibrating on %"))
        ).all()
        assert len(logged) == 2


def test_a_press_during_a_training_that_has_missed_new_labels_is_not_forgotten(
    settings: Settings, environment: dict[str, str], label_studio: LabelStudioAccess, engine: Engine, tmp_path: Path
) -> None:
    teach(engine, tmp_path, 240)
    with working(environment, label_studio, "--concurrency", "1"):
        with nobody_writes(engine, "model"):
            press(engine)
            send(settings, "saring.retrain")
            until(lambda: is_waiting_for_a_lock(engine), "the training is under way")
            teach(engine, tmp_path, 20, start=240)
            press(engine)
        wait_until_idle(settings)
        assert waiting(engine) == 1
        send(settings, "saring.retrain")
        wait_until_idle(settings)
    assert waiting(engine) == 0
    assert runs(engine, "train") == [RunState.DONE] * 2


def test_a_process_killed_in_the_middle_of_a_job_is_replaced_and_the_job_is_done_once(
    settings: Settings, environment: dict[str, str], label_studio: LabelStudioAccess, annotated: int, engine: Engine
) -> None:
    with working(environment, label_studio, "--concurrency", "1") as worker:
        with nobody_writes(engine, "judgement"):
            send(settings, "saring.pull")
            until(lambda: is_waiting_for_a_lock(engine), "the pull is about to write")
            before = children(worker)
            for child in before:
                child.send_signal(signal.SIGKILL)
            until(lambda: not any(child.is_running() for child in before), "they are dead")
        until(lambda: said(engine) == [(["harassment"], 0)], "the job is done by another")
        wait_until_idle(settings)
        assert worker.poll() is None
        assert not set(children(worker)) & set(before)
        assert sorted(runs(engine, "pull")) == [RunState.DONE, RunState.FAILED]

        send(settings, "saring.pull", "saring.pull")
        wait_until_idle(settings)
    assert said(engine) == [(["harassment"], 0)]


def test_the_next_worker_does_what_the_last_one_died_with(
    settings: Settings, environment: dict[str, str], label_studio: LabelStudioAccess, annotated: int, engine: Engine
) -> None:
    with working(environment, label_studio, "--concurrency", "1") as worker, nobody_writes(engine, "judgement"):
        send(settings, "saring.pull")
        until(lambda: is_waiting_for_a_lock(engine), "the pull is about to write")
        kill_all(worker)
    assert said(engine) == []
    with working(environment, label_studio, "--beat"):
        until(lambda: said(engine) == [(["harassment"], 0)], "the schedule has it done")
    assert said(engine) == [(["harassment"], 0)]


def test_a_broker_that_is_away_when_a_webhook_comes_loses_nothing(
    settings: Settings,
    environment: dict[str, str],
    label_studio: LabelStudioAccess,
    label_studio_api: httpx.Client,
    annotated: int,
    engine: Engine,
) -> None:
    sender = job_sender(settings)
    assert stop_services(settings) == ["Valkey"]
    created = {"action": "ANNOTATION_CREATED", "annotation": {"id": 1}, "project": {"id": None}}
    with served(engine, send_job=sender) as backend, backend.client() as client:
        for event in (created, {"action": "START_TRAINING"}):
            told = client.post("/webhook", json=event)
            assert told.status_code == 201
    assert waiting(engine) == 2
    assert said(engine) == []

    with working(environment, label_studio, "--beat"):
        until(lambda: waiting(engine) == 0, "the schedule sees to both events")
        assert said(engine) == [(["harassment"], 0)]
        # and the one who could not send before can again
        annotate(label_studio_api, annotated, ["hate"])
        sender("saring.pull", {})
        until(lambda: said(engine) == [(["harassment"], 0), (["hate"], 0)], "the broker is back for the sender, too")
