"""Stages handed to real workers over a real broker: the same work as in one process, followed, cancelled, resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine, func, select

from pipeline import store
from pipeline.runs.requests import read_request
from pipeline.settings import Settings
from pipeline.store import open_session
from pipeline.store.tables.core import RunState
from pipeline.store.tables.work import ShardState
from saring.context import Context
from saring.services import ensure_worker, loop_status, stop_services
from saring.workers.asking import served_queues, start
from tests.support.commands import typed
from tests.support.waiting import until

_CORPUS = Path(__file__).resolve().parents[2] / "saring/demo/corpus"


@pytest.fixture
def variables(environment: dict[str, str]) -> dict[str, str]:
    own = ("SARING_HOME", "SARING_DATABASE_URL", "PYTHONPATH")
    # what was lost is sent again soon
    return {name: environment[name] for name in own} | {"SARING_LOOK_SECONDS": "1", "SARING_RESEND_SECONDS": "3"}


@pytest.fixture
def settings(variables: dict[str, str]) -> Settings:
    return Settings(
        home=Path(variables["SARING_HOME"]),
        database_url=variables["SARING_DATABASE_URL"],
        look_seconds=1,
        resend_seconds=3,
    )


@pytest.fixture
def workers(settings: Settings) -> Iterator[Settings]:
    """A worker and beat of this test's home."""
    ensure_worker(settings)
    yield settings
    # with the database still there
    stop_services(settings)


def answer(variables: dict[str, str], *words: str) -> Any:
    done = typed(variables, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def bring(variables: dict[str, str], folder: Path, count: int) -> None:
    """Some lines of the demo's corpus, all of which a language model thinks hateful."""
    files = sorted(_CORPUS.glob("*.jsonl"))
    each = count // len(files) + 1
    rows = [json.loads(line) for path in files for line in path.read_text().splitlines()[:each]][:count]
    lines = folder / "lines.jsonl"
    rows = [{"id": str(i), "text": row["text"], "labels": ["hate"]} for i, row in enumerate(rows)]
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    answer(variables, "import", str(lines), "--source", "demo", "--labels-field", "labels", "--kind", "llm")


def decisions(engine: Engine) -> set[tuple[str, str, str, bool, str]]:
    d = store.FilterDecision
    with open_session(engine) as session:
        rows = session.execute(select(d.stage, d.label, d.text_id, d.kept, d.reason))
        return {(stage, label, str(text), kept, reason) for stage, label, text, kept, reason in rows}


def counts(engine: Engine, *tables: type[store.Base]) -> list[int]:
    with open_session(engine) as session:
        return [session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


def test_the_stages_do_on_workers_what_they_do_in_one_process(
    workers: Settings, variables: dict[str, str], engine: Engine, tmp_path: Path
) -> None:
    bring(variables, tmp_path, 70)
    embedded = answer(variables, "embed", "--async")
    assert embedded["embedded"] > 40
    assert answer(variables, "embed") == embedded | {"embedded": 0, "present": embedded["embedded"]}
    judged = answer(variables, "judge", "--async")
    assert judged["judged"] == embedded["embedded"]
    assert answer(variables, "judge")["judged"] == 0
    assert counts(engine, store.Vector) == [judged["judged"]]

    on_workers = answer(variables, "filter", "--async")
    decided = decisions(engine)
    assert decided
    alone = answer(variables, "filter")
    assert decisions(engine) == decided
    for one in (on_workers["centroid"], on_workers["sentiment"], alone["centroid"], alone["sentiment"]):
        one.pop("run_id")
        one.pop("scored", None)
    assert on_workers == alone
    # a cut that a person set decides on workers too
    cut = answer(variables, "filter", "cut", "hate", "--to", "0.5", "--why", "tried on workers")["cut"]
    by_hand = answer(variables, "filter", "--no-sentiment", "--async")["centroid"]
    [hate] = [label for label in by_hand["labels"] if label["label"] == "hate"]
    assert (hate["cut"], hate["method"], hate["reason"]) == (cut, "by-hand", "set by hand: tried on workers")
    with open_session(engine) as session:
        d = store.FilterDecision
        kept = session.scalar(
            select(func.count()).where(d.stage == "filter-centroid", d.label == "hate", d.score >= cut)
        )
    assert (hate["kept"], hate["dropped"]) == (kept, hate["vectors"] - kept)
    # what they passed on to each other is gone
    assert counts(engine, store.FilterScore) == [0]

    drawn = answer(variables, "queue", "build", "--size", "20", "--async")
    assert drawn["drawn"] == 20
    again = answer(variables, "queue", "build", "--size", "20")
    assert {**drawn, "run_id": 0, "replaced": 20} == {**again, "run_id": 0}

    # a run that is asked for by somebody who does not wait, such as a page
    asking = Context(workers)
    number = start(asking, "queue", {"size": "10"}, by="aminah")
    until(lambda: bool(_ended(engine, number)), "a worker has begun the run, and ended it", poll_seconds=0.2)
    [result] = _ended(engine, number)
    assert result["drawn"] == 10
    assert served_queues(workers) == {"io", "cpu", "gpu"}
    asking.close()

    runs = answer(variables, "runs", "list")["runs"]
    assert {one["state"] for one in runs} == {"done"}
    newest = next(one for one in runs if one["stage"] == "filter-centroid" and one["on_workers"])
    shown = answer(variables, "runs", "show", str(newest["id"]))
    assert shown["shards"] == {"done": 2}
    assert shown["parked"] == []
    # for a person
    assert "filter-centroid" in typed(variables, "runs", "list").stdout
    assert "on workers, done" in typed(variables, "runs", "show", str(newest["id"])).stdout


def _ended(engine: Engine, number: int) -> list[dict[str, Any]]:
    """The results of the runs of a request that have ended."""
    with open_session(engine) as session:
        runs = [session.get_one(store.Run, run) for run in read_request(session, number).runs]
    return [run.result for run in runs if run.result is not None]


def test_a_run_is_cancelled_and_goes_on_although_its_worker_is_killed(
    workers: Settings, variables: dict[str, str], engine: Engine, tmp_path: Path
) -> None:
    bring(variables, tmp_path, 150)
    outcome: list[int] = []
    following = threading.Thread(
        target=lambda: outcome.append(_run_in_thread(variables, "embed", "--async")), daemon=True
    )
    following.start()

    def run() -> store.Run | None:
        with open_session(engine) as session:
            return session.scalars(select(store.Run).where(store.Run.stage == "embed")).first()

    def shard() -> store.Shard:
        with open_session(engine) as session:
            return session.scalars(select(store.Shard)).one()

    until(lambda: run() is not None and shard().state is ShardState.RUNNING, "a worker has the shard in hand")
    begun = run()
    assert begun is not None
    cancelled = answer(variables, "runs", "cancel", str(begun.id))
    assert cancelled == {"run": begun.id, "state": "cancelled"}
    following.join(timeout=60)
    assert outcome == [1]

    answer(variables, "runs", "resume", str(begun.id), "--no-wait")
    until(lambda: counts(engine, store.Vector)[0] > 0, "it goes on")
    for child in _children(workers):
        child.send_signal(signal.SIGKILL)
    assert _watched(variables, begun.id)[-1]["state"] == "done"
    ended = run()
    assert ended is not None
    assert (ended.id, ended.state, ended.error) == (begun.id, RunState.DONE, None)
    vectors, texts = counts(engine, store.Vector, store.Text)
    assert 0 < vectors <= texts
    assert answer(variables, "embed")["embedded"] == 0


def logged(variables: dict[str, str], run_id: int) -> list[str]:
    return [line["message"] for line in answer(variables, "runs", "logs", str(run_id))["lines"]]


def test_the_log_of_a_run_has_what_a_training_on_a_worker_said(
    workers: Settings, variables: dict[str, str], tmp_path: Path
) -> None:
    assert typed(variables, "train", "--async").returncode == 1
    [failed] = answer(variables, "runs", "list")["runs"]
    # the reason of the run is the work's own
    assert failed["error"].startswith("RunFailed: NotEnoughLabels: no text has a decided label")
    assert any("is parked: NotEnoughLabels: " in line for line in logged(variables, failed["id"]))

    file = tmp_path / "rows.jsonl"
    file.write_text((_CORPUS / "hate.jsonl").read_text() + (_CORPUS / "everyday.jsonl").read_text())
    answer(variables, "import", str(file), "--source", "notes", "--labels-field", "labels", "--kind", "human")
    trained = answer(variables, "train", "--async")
    newest = answer(variables, "runs", "list", "--stage", "train")["runs"][0]
    lines = logged(variables, newest["id"])
    words = [line.split(" ")[0].rstrip(":") for line in lines]
    for word in ("taking", "splitting", "training", "calibrating", "evaluating", "comparing"):
        assert word in words, lines
    assert lines[-1].startswith(f"trained {trained['model']}: ")
    texts = [json.loads(row)["text"] for row in file.read_text().splitlines()]
    assert not any(text in line for text in texts for line in lines)
    # for a person
    shown = typed(variables, "runs", "logs", str(newest["id"])).stdout
    assert f"shard 0: {lines[0]}" in shown


def _run_in_thread(variables: dict[str, str], *words: str) -> int:
    return subprocess.run(
        [sys.executable, "-m", "saring", *words], env=os.environ | variables, capture_output=True
    ).returncode


def _watched(variables: dict[str, str], run_id: int) -> list[dict[str, Any]]:
    done = typed(variables, "runs", "watch", str(run_id), "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _children(settings: Settings) -> list[psutil.Process]:
    [pid] = [one.pid for one in loop_status(settings) if one.name == "worker"]
    assert pid is not None
    return psutil.Process(pid).children(recursive=True)
