"""`saring status`, `runs list` and `show`, `models list` and `queue show --sent`, on a store with work in it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.learning import registry
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.store import open_session
from pipeline.store.tables.core import RunState
from pipeline.store.tables.human_loop import AnnotationState, Change, QueueState, TaskState
from pipeline.texts.normalise import text_id
from tests.support.backend import train_model
from tests.support.commands import answered, typed

MADE = datetime(2026, 1, 1, tzinfo=UTC)
Environment = dict[str, str]


def shown(environment: Environment, *words: str) -> str:
    done = typed({"COLUMNS": "100"} | environment, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def line(page: str, begin: str) -> str:
    [found] = [one for one in page.splitlines() if one.startswith(begin)]
    return found.removeprefix(begin).strip()


def add_texts(engine: Engine, count: int) -> list[uuid.UUID]:
    bodies = [f"bas nombor {i} lewat lagi" for i in range(count)]
    with open_session(engine) as session, session.begin():
        session.execute(insert(store.Text), [{"id": text_id(one), "body": one, "masked": one} for one in bodies])
    return [text_id(body) for body in bodies]


def add_tasks(engine: Engine, texts: Sequence[uuid.UUID], states: Sequence[TaskState], **changes: Any) -> None:
    """Tasks of one project, each from a queue item of its own."""
    with open_session(engine) as session, session.begin():
        project = store.Project(
            url="http://here", label_studio_id=7, label_studio_created_at=MADE, title="t", harsh_cap=10
        )
        session.add(project)
        session.flush()
        for number, (text, state) in enumerate(zip(texts, states, strict=True), start=1):
            shared = {"text_id": text, "strategy": "random", "reason": "drawn", "inclusion_probability": 0.5}
            item = store.QueueItem(**shared, priority=0.5, state=QueueState.PUSHED)
            session.add(item)
            session.flush()
            overlap = changes.get("overlap", {}).get(number, 1)
            paired = number in changes.get("paired", ())
            session.add(
                store.Task(
                    **shared,
                    project_id=project.id,
                    label_studio_id=number,
                    queue_item_id=item.id,
                    state=state,
                    overlap=overlap,
                    paired=paired,
                )
            )
            if number in changes.get("answered", ()):
                session.add(
                    store.Annotation(
                        project_id=project.id,
                        label_studio_id=number,
                        created_at=MADE,
                        updated_at=MADE,
                        task_id=number,
                        text_id=text,
                        rater_id=rater_id(session, RaterRef(RaterKind.HUMAN, "label-studio", "1")),
                        state=AnnotationState.SUBMITTED,
                        change=Change.SCRATCH,
                    )
                )


@pytest.mark.usefixtures("engine")
def test_an_empty_home_has_no_model_no_tasks_and_nothing_wrong(environment: Environment) -> None:
    page = shown(environment, "status")
    assert line(page, "model:") == "none yet"
    assert line(page, "tasks:") == "0 open, 0 done, 0 in the queue"
    assert line(page, "last backup:") == "never"
    work = answered(typed(environment, "status", "--json"))["work"]
    assert (work["champion"], work["answers"], work["disagreements"], work["trained_at"]) == (None, 0, 0, None)
    assert work["wrong"] == []


def test_what_a_maintainer_wants_comes_first(environment: Environment, engine: Engine, tmp_path: Path) -> None:
    report = train_model(tmp_path)
    version = report.model.manifest.version
    texts = add_texts(engine, 6)
    states = [TaskState.OPEN] * 4 + [TaskState.DONE] * 2
    # 1: they disagree; 2: only paired, half done; 3: paired and they disagree; 4: nobody answered
    add_tasks(engine, texts, states, overlap={1: 2, 2: 2, 3: 3, 4: 2}, paired=(2, 3), answered=(1, 2, 3, 5, 6))
    with open_session(engine) as session, session.begin():
        registry.register(session, report.model.manifest, report.path)
        registry.promote(session, version, reason="a test")
        who = rater_id(session, RaterRef(RaterKind.HUMAN, "label-studio", "1"))
        record(session, who, [NewJudgement(text, frozenset({"hate"})) for text in texts[:3]], taxonomy_version="t")
        session.add(store.Run(stage="push", slice="1", state=RunState.FAILED, error="the server went away"))
    page = shown(environment | {"SARING_RETRAIN_LABELS": "200", "SARING_RETRAIN_HOURS": "0"}, "status")
    assert page.splitlines()[0].startswith(f"model:         {version}, trained ")
    assert line(page, "tasks:") == "4 open, 2 done, 0 in the queue"
    assert line(page, "new answers:") == "3 since the last training (never)"
    assert line(page, "next training:") == "after 197 more answers"
    assert line(page, "disagreements:") == "2 tasks waiting for another person"
    wrong = [one for one in page.splitlines() if one.startswith("wrong:")]
    assert any("the last run of push failed: `saring runs show " in one for one in wrong)
    assert any("no backup was made from this home" in one for one in wrong)
    assert page.index("model:") < page.index("PostgreSQL")
    assert "Nothing runs" not in page


def test_a_backup_is_noted(environment: Environment, engine: Engine, tmp_path: Path) -> None:
    add_tasks(engine, add_texts(engine, 1), [TaskState.OPEN])
    saved = answered(typed(environment, "backup", str(tmp_path), "--json"))
    work = answered(typed(environment, "status", "--json"))["work"]
    assert work["backup"] == saved["archive"]
    assert not [problem for problem in work["wrong"] if "backup" in problem]


def test_pulls_are_summed_up_between_other_runs(environment: Environment, engine: Engine) -> None:
    stages = ["ingest", *["pull"] * 30, "train", *["pull"] * 5]
    with open_session(engine) as session, session.begin():
        for i, stage in enumerate(stages):
            at = MADE + timedelta(minutes=i)
            session.add(store.Run(stage=stage, state=RunState.DONE, started_at=at, heartbeat_at=at, finished_at=at))
            session.flush()
        session.add(store.Run(stage="pull", state=RunState.FAILED, error="no answer", started_at=MADE))
    page = shown(environment | {"COLUMNS": "200"}, "runs", "list")
    rows = [row.split()[:2] for row in page.splitlines()[1:] if row.strip()]
    assert [stage for _, stage in rows] == ["pull", "pull", "train", "pull", "ingest"]
    assert "30 pulls since 2026-" in page
    assert "5 pulls since 2026-" in page
    assert "no answer" in page
    # programs get every run, as before
    assert len(answered(typed(environment, "runs", "list", "--json"))["runs"]) == 20
    assert shown(environment | {"COLUMNS": "200"}, "runs", "list", "--stage", "pull").count("pull") == 20


def test_a_run_is_a_page_and_json_has_all(environment: Environment, engine: Engine) -> None:
    result = {"labels": [{"label": str(i), "kept": i} for i in range(500)], "macro": 0.5}
    with open_session(engine) as session, session.begin():
        run = store.Run(stage="filter", state=RunState.DONE, result=result, params={"limit": 3}, finished_at=MADE)
        session.add(run)
        session.flush()
        number = str(run.id)
    page = shown(environment, "runs", "show", number)
    assert len(page.splitlines()) < 20
    assert "limit: 3" in page and "labels: 500 entries" in page
    assert answered(typed(environment, "runs", "show", number, "--json"))["result"] == result


def test_the_list_of_models_has_dates_sizes_and_labels_and_is_not_wide(
    environment: Environment, engine: Engine, tmp_path: Path
) -> None:
    report = train_model(tmp_path)
    with open_session(engine) as session, session.begin():
        registry.register(session, report.model.manifest, report.path)
        registry.promote(session, report.model.manifest.version, reason="because " * 30)
    page = shown(environment, "models", "list")
    table = page.split("\nprecision:")[0].splitlines()
    assert max(map(len, table)) <= 100
    assert report.model.manifest.version in table[1]
    assert f"{datetime.now(UTC):%Y-%m-%d}" in table[1]
    [model] = answered(typed(environment, "models", "list", "--json"))["models"]
    assert model["labels"] == 1
    assert model["bytes"] == sum(path.stat().st_size for path in report.path.rglob("*") if path.is_file())
    assert model["purpose"] == "sfw"


def test_texts_that_left_the_queue_can_be_shown(environment: Environment, engine: Engine) -> None:
    texts = add_texts(engine, 4)
    add_tasks(engine, texts, [TaskState.OPEN, TaskState.PUSHING, TaskState.DONE, TaskState.GONE])

    def ids(*words: str) -> set[str]:
        result = answered(typed(environment, "queue", "show", *words, "--json"))
        assert result["waiting"] == len(result["items"])
        return {item["text_id"] for item in result["items"]}

    assert ids() == set()
    assert ids("--sent") == {str(text) for text in texts[:2]}
    assert ids("--answered") == {str(texts[2])}
    assert "1 of 1 answered text" in shown(environment, "queue", "show", "--answered")
    refused = typed(environment, "queue", "show", "--sent", "--answered")
    assert refused.returncode == 2
    assert "not both" in refused.stderr
    assert json.loads(typed(environment, "queue", "show", "--json").stdout)["waiting"] == 0
