"""The contract of a stage: in one process and on Celery workers it leaves the same in the tables, and reports the same.

Two homes begin with copies of one store. Each stage runs in the first by `Inline` and in the second by `Workers`, in
the order of the loop; after each, all tables are compared, without ids, times and what belongs to a run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import DateTime, Engine, make_url, select

from pipeline import store
from pipeline.judgement import RaterKind
from pipeline.runs.executor import Executor
from pipeline.runs.values import to_values
from pipeline.settings import Settings
from pipeline.store.session import open_session
from saring.actions.searching import prepare
from saring.actions.training import TrainOptions, train
from saring.demo.plant import plant
from saring.home import Home
from saring.services import LabelStudioAccess, ensure_worker, stop_services
from saring.workers.executor import Workers
from saring.workers.stages import STAGES
from tests.support.llm_server import MODEL, LlmServer
from tests.support.store import new_database

_LIMIT = 240
#: what belongs to a run or an attempt at it, and not to what it found out
_TABLES_OF_RUNS = {"store_key", "run", "shard", "run_log", "event", "alembic_version"}
_VOLATILE = {
    "id",
    "artefact_hash",
    "task_id",
    "title",
    "run_id",
    "path",
    "label_studio_id",
    "batch",
    "url",
    "seconds",
    "metrics",
    "marker",
    "version",
    "result",
}
#: moments in names and sentences, and the names of annotations, which have Label Studio's numbers and a moment
_MOMENT = re.compile(r"ls:\d+:\d+:\S+|\d{8}T\d{6}Z|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two homes with the same texts, and who works in each."""

    alone: Home
    on_workers: Home

    def run(self, action: Callable[[Home, Executor | None], Any], *, inline: Executor | None = None) -> Any:
        """Do the same in both; the reports, which must be the same but for what belongs to a run."""
        first = _report(action(self.alone, inline))
        second = _report(action(self.on_workers, Workers()))
        assert first == second
        return first


@pytest.fixture(scope="module")
def pair(
    server_url: str,
    template: str,
    label_studio: LabelStudioAccess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("contract")
    with LlmServer() as server, new_database(server_url, template) as filled:
        server.answer = lambda text: json.dumps({"translation": f"({text})"})
        with Home(settings=Settings(home=folder / "input", database_url=filled)) as home:
            planted = plant(home.settings.home, home.taxonomy, seed=1)
            home.ingest(planted.raw, "demo")
            home.import_labelled(planted.llm, "demo", kind=RaterKind.LLM, rater="stand-in")
            home.import_labelled(planted.human, "authors", kind=RaterKind.HUMAN)
        begin = make_url(filled).database
        assert begin is not None
        with (
            _home(folder / "a", server_url, begin, label_studio, server) as alone,
            _home(folder / "b", server_url, begin, label_studio, server) as on_workers,
        ):
            ensure_worker(on_workers.settings)
            yield Pair(alone, on_workers)


@contextmanager
def _home(
    folder: Path, server_url: str, template: str, label_studio: LabelStudioAccess, server: LlmServer
) -> Iterator[Home]:
    folder.mkdir(parents=True)
    with new_database(server_url, template) as database_url:
        settings = Settings(
            home=folder,
            database_url=database_url,
            label_studio_url=label_studio.url,
            label_studio_api_key=label_studio.api_key,
            llm_url=server.url,
            llm_model=MODEL,
            # nothing is done but what the test asks for
            retrain_labels=0,
            retrain_hours=0,
            queue_low=0,
            pull_seconds=86_400,
            look_seconds=86_400,
        )
        with Home(settings=settings) as home:
            try:
                yield home
            finally:
                # while the database is still there
                stop_services(settings)


def _report(report: Any) -> Any:
    """A report as plain values, without the numbers of runs and projects."""
    values = to_values(report)
    return _without(values, {"run_id", "run", "path", "gate", "page", "project_id", "version", "created_at"})


def _without(values: Any, names: set[str]) -> Any:
    if isinstance(values, dict):
        return {name: _without(value, names) for name, value in values.items() if name not in names}
    if isinstance(values, list):
        return [_without(value, names) for value in values]
    if isinstance(values, str):
        return _MOMENT.sub("MOMENT", values)
    return round(values, 3) if isinstance(values, float) else values


def rows(engine: Engine) -> dict[str, list[str]]:
    """All tables, as sorted rows."""
    with open_session(engine) as session:
        raters = {
            rater.id: f"{rater.kind}:{rater.name}:{rater.version}" for rater in session.scalars(select(store.Rater))
        }
        tables = {}
        for table in store.Base.metadata.sorted_tables:
            if table.name in _TABLES_OF_RUNS:
                continue
            columns = [
                column
                for column in table.columns
                if not isinstance(column.type, DateTime)
                and (column.name not in _VOLATILE or (column.name == "id" and table.name == "text"))
                and not column.name.endswith(("_seconds", "source_id", "snapshot_id", "project_id", "supersedes"))
            ]
            found = session.execute(select(*columns)).all()
            tables[table.name] = sorted(
                repr([_plain(column.name, value, raters) for column, value in zip(columns, row, strict=True)])
                for row in found
            )
        return tables


def _plain(name: str, value: Any, raters: dict[int, str]) -> Any:
    if name == "rater_id":
        return raters[value]
    if name == "embedding":
        return np.round(np.asarray(value, dtype=np.float32), 2).tolist()
    return _without(to_values(value), {"run_id", "path"}) if isinstance(value, dict | list | float | str) else value


def same_tables(pair: Pair) -> dict[str, list[str]]:
    """Check that both homes hold the same; what they hold."""
    alone, on_workers = rows(pair.alone.engine), rows(pair.on_workers.engine)
    for name in alone:
        assert alone[name] == on_workers[name], name
    return alone


def embed(pair: Pair) -> None:
    report = pair.run(lambda home, executor: home.embed(limit=_LIMIT, executor=executor))
    assert report["embedded"] == len(same_tables(pair)["text_vector"]) == _LIMIT


def judge(pair: Pair) -> None:
    report = pair.run(lambda home, executor: home.judge("bootstrap", limit=_LIMIT, executor=executor))
    assert report["judged"] == _LIMIT


def translate(pair: Pair) -> None:
    report = pair.run(lambda home, executor: home.translate("en", limit=60, executor=executor))
    assert report["translated"] == len(same_tables(pair)["translation"]) > 10


def filter_centroid(pair: Pair) -> None:
    report = pair.run(lambda home, executor: home.filter(sentiment=False, executor=executor))
    assert sum(label["dropped"] for label in report["centroid"]["labels"]) > 0


def filter_sentiment(pair: Pair) -> None:
    report = pair.run(lambda home, executor: home.filter(executor=executor))
    assert report["sentiment"]["scored"] > 0


def pseudolabel(pair: Pair) -> None:
    reports = pair.run(lambda home, executor: home.pseudolabel(["informative"], executor=executor))
    assert [report["label"] for report in reports] == ["informative"]


def train_model(pair: Pair) -> None:
    report = pair.run(lambda home, executor: train(home, TrainOptions(limit=_LIMIT), executor=executor))
    assert report["promoted"] is True


def queue(pair: Pair) -> None:
    report = pair.run(lambda home, executor: home.queue.build(12, executor=executor))
    assert report["drawn"] == len(same_tables(pair)["queue_item"]) == 12


def review(pair: Pair) -> None:
    report = pair.run(lambda home, executor: home.review.find(executor=executor))
    assert report["texts"] >= len(same_tables(pair)["dispute"]) > 0


def search_index(pair: Pair) -> None:
    report = pair.run(lambda home, executor: prepare(home, executor=executor))
    assert report["words"] == len(same_tables(pair)["search_word"]) > 0


def push(pair: Pair) -> None:
    for home in (pair.alone, pair.on_workers):
        home.label_studio.setup(title=f"Contract {home.settings.home.name}", backend=False)
    report = pair.run(lambda home, executor: home.label_studio.push(executor=executor))
    assert [project["sent"] for project in report["projects"]] == [12]


def predict_ahead(pair: Pair) -> None:
    report = pair.run(lambda home, executor: home.label_studio.predict(executor=executor))
    assert [project["sent"] for project in report["projects"]] == [12]


def pull(pair: Pair) -> None:
    for home in (pair.alone, pair.on_workers):
        _annotate(home)
    report = pair.run(lambda home, executor: home.label_studio.pull(executor=executor))
    assert report["counts"]["annotations"] == 5


def reconcile(pair: Pair) -> None:
    report = pair.run(lambda home, executor: home.label_studio.reconcile(executor=executor))
    assert (report["annotations"], report["repaired"]) == (5, 0)


def _annotate(home: Home) -> None:
    """Tick `hate` on the five tasks whose texts come first."""
    settings = home.settings
    assert settings.label_studio_api_key is not None
    with open_session(home.engine) as session:
        tasks = session.scalars(select(store.Task).order_by(store.Task.text_id).limit(5)).all()
    key = settings.label_studio_api_key
    token = key.get_secret_value() if hasattr(key, "get_secret_value") else key
    with httpx.Client(base_url=settings.label_studio_url or "", headers={"Authorization": f"Token {token}"}) as api:
        for task in tasks:
            ticked = {"from_name": "labels", "to_name": "text", "type": "choices", "value": {"choices": ["hate"]}}
            answer = api.post(f"/api/tasks/{task.label_studio_id}/annotations/", json={"result": [ticked]})
            answer.raise_for_status()


#: stages by name, in the order of the loop
_CASES = {
    "embed": embed,
    "judge": judge,
    "translate": translate,
    "filter-centroid": filter_centroid,
    "filter-sentiment": filter_sentiment,
    "pseudolabel": pseudolabel,
    "train": train_model,
    "queue": queue,
    "review": review,
    "search-index": search_index,
    "push": push,
    "predict-ahead": predict_ahead,
    "pull": pull,
    "reconcile": reconcile,
}


def test_every_stage_has_a_case() -> None:
    # a file that was asked for in a browser is read by workers only, with the function that reads it elsewhere
    assert {*_CASES, "ingest"} == set(STAGES)


@pytest.mark.parametrize("stage", _CASES)
def test_a_stage_leaves_the_same_in_one_process_and_on_workers(pair: Pair, stage: str) -> None:
    _CASES[stage](pair)
    assert same_tables(pair)["text"]
