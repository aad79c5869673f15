"""Cost of the loop with Label Studio: pushing tasks, pulling annotations, and the page that volunteers wait for.

Label Studio is a real server of its own, with 10,000 tasks. Beside us, in the same run: label-studio-sdk with the same
tasks, and Label Studio's own way of asking an ML backend while the page loads. Prints JSON lines; times in seconds.

    python benchmarks/label_studio.py [--tasks 10000] [--openings 5] [--browser PATH] [--only WHAT]
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from _measure import emit
from sqlalchemy import Engine, func, insert, select

from pipeline import store
from pipeline.backend_credentials import BackendCredentials, backend_credentials
from pipeline.judgement import RaterKind, RaterRef
from pipeline.learning.sets.examples import gather
from pipeline.learning.train import TrainConfig, train
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.preannotation import Preannotator, default_policy
from pipeline.settings import Settings
from pipeline.store import make_engine, open_session
from pipeline.store.migrate import upgrade
from pipeline.store.public_ids import PublicIds
from pipeline.store.tables.human_loop import QueueState, TaskState
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.labelled import LabelledText
from pipeline.texts.labelled_files import clean
from pipeline.texts.normalise import text_id
from saring.demo.plant import Line, read_corpus
from saring.services import LabelStudioAccess, ensure_database, ensure_label_studio, stop_services
from sync.api.client import LabelStudio, identity
from sync.project.label_config import label_config
from sync.project.projects import SetupReport, setup
from sync.pull.pull import pull
from sync.pull.reconcile import reconcile
from sync.push.push import push
from sync.push.task_rows import task_row

_TAXONOMY = load_taxonomy()
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_LABEL, _OTHER = "harassment", "hate"
#: seconds without a change after which a pull no longer reads the same tasks again
_SETTLED = 75.0
_IDLE_PULLS = 5
#: tasks of the projects that the browser opens
_PAGES = 20
#: targets, in seconds, for 10,000 tasks
_TARGETS = {"push": 15.0, "pull": 30.0, "idle pull": 0.5}


@dataclass(frozen=True, slots=True)
class Bench:
    """A home with a store and a Label Studio, and a champion."""

    engine: Engine
    client: LabelStudio
    access: LabelStudioAccess
    credentials: BackendCredentials
    preannotator: Preannotator
    home: Path

    def project(self, name: str, backend_url: str | None = None) -> SetupReport:
        """A project of its own for each name; `push` is for everyone, the others for a volunteer called so."""
        return setup(
            self.engine,
            self.client,
            taxonomy=_TAXONOMY,
            backend_url=backend_url,
            credentials=self.credentials,
            volunteer=name if name != "push" else None,
            title=f"Benchmark {name}",
            now=datetime.now(UTC),
        )

    def push(self, project: SetupReport) -> int:
        """Send what is queued."""
        ahead = self.preannotator
        return push(
            self.engine,
            self.client,
            project.project_id,
            taxonomy=_TAXONOMY,
            model=ahead.model,
            policy=ahead.policy,
        ).sent

    def pull(self, project: int) -> float:
        """Pull what changed; return the seconds."""
        start = time.perf_counter()
        report = pull(self.engine, self.client, taxonomy=_TAXONOMY, projects=[project], now=datetime.now(UTC))
        assert not report.failed, report.failed
        return time.perf_counter() - start


def main() -> None:
    """Measure what was asked for."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tasks", type=int, default=10_000)
    arguments.add_argument("--openings", type=int, default=5, help="of the page, in each case")
    arguments.add_argument("--browser", type=Path, help="a Chromium; default: the one that is found")
    arguments.add_argument("--only", choices=("bulk", "pages"), help="leave the other out")
    options = arguments.parse_args()
    # A `timeout` must leave no server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    with _bench() as bench:
        if options.only == "pages":
            _pages(bench, options)
            return
        _push(bench, options)
        annotated, since = _pull(bench)
        if options.only is None:
            _pages(bench, options)
        _increments(bench, annotated, since)


def _push(bench: Bench, options: argparse.Namespace) -> None:
    project = bench.project("push")
    _queue(bench.engine, _lines(options.tasks))
    start = time.perf_counter()
    sent = bench.push(project)
    seconds = time.perf_counter() - start
    there = bench.client.project(project.label_studio_id)
    counts = {"tasks": sent, "predictions": there.total_predictions_number}
    emit("label_studio", {"who": "saring", "what": "push", **counts, "seconds": seconds} | _target("push"))
    rows = bench.home / "rows.json"
    rows.write_text(json.dumps(_rows(bench, project.project_id)))
    peer = bench.client.create_project(title="Peer", label_config=label_config(_TAXONOMY))
    _sdk(bench, "push", identity(peer)[0], rows)


def _pull(bench: Bench) -> tuple[SetupReport, float]:
    """Pull 10,000 annotations and reconcile them; return the project, and the time of its last change."""
    pushed = bench.project("push").project_id
    project = bench.project("pull")
    rows = _rows(bench, pushed, annotated=True)
    with open_session(bench.engine) as session:
        tasks = session.scalars(select(store.Task).where(store.Task.project_id == pushed)).all()
    ids: list[int] = []
    for start in range(0, len(rows), 5_000):
        ids += bench.client.import_tasks(project.label_studio_id, rows[start : start + 5_000])
    changed = time.monotonic()
    noted = {
        "project_id": project.project_id,
        "strategy": "random",
        "reason": "",
        "inclusion_probability": 1.0,
        "state": TaskState.OPEN,
    }
    by_text = {row["data"]["text_id"]: number for row, number in zip(rows, ids, strict=True)}
    with open_session(bench.engine) as session, session.begin():
        public = PublicIds.of_store(session)
        session.execute(
            insert(store.Task),
            [
                noted | {"text_id": task.text_id, "label_studio_id": by_text[str(public.of(task.text_id))]}
                for task in tasks
            ],
        )
    seconds = bench.pull(project.project_id)
    counts = {"tasks": len(ids), "judgements": _judgements(bench.engine)}
    emit("label_studio", {"who": "saring", "what": "pull", **counts, "seconds": seconds} | _target("pull"))
    _sdk(bench, "pull", project.label_studio_id)
    start_at = time.perf_counter()
    report = reconcile(
        bench.engine, bench.client, taxonomy=_TAXONOMY, projects=[project.project_id], now=datetime.now(UTC)
    )
    figures = {"tasks": report.tasks, "annotations": report.annotations, "repaired": report.repaired}
    seconds = time.perf_counter() - start_at
    emit("label_studio", {"who": "saring", "what": "full reconciliation", **figures, "seconds": seconds})
    return project, changed


def _increments(bench: Bench, project: SetupReport, changed: float) -> None:
    """Pulls when nothing changed, and when one annotation did."""
    time.sleep(max(0.0, changed + _SETTLED - time.monotonic()))
    bench.pull(project.project_id)  # This pull notes that nothing came after the last change.
    idle = [bench.pull(project.project_id) for _ in range(_IDLE_PULLS)]
    figures = {"pulls": len(idle), "seconds": median(idle), "max_s": max(idle)}
    emit("label_studio", {"who": "saring", "what": "idle pull", **figures} | _target("idle pull"))
    before = _judgements(bench.engine)
    with open_session(bench.engine) as session:
        query = select(store.Annotation.label_studio_id).where(store.Annotation.project_id == project.project_id)
        annotation = session.scalars(query.limit(1)).one()
    bench.client.patch(f"/api/annotations/{annotation}/", json={"result": [_region(_OTHER)]})
    seconds = bench.pull(project.project_id)
    new = _judgements(bench.engine) - before
    emit("label_studio", {"who": "saring", "what": "pull of one change", "judgements": new, "seconds": seconds})


def _pages(bench: Bench, options: argparse.Namespace) -> None:
    browser = options.browser or next((Path(p) for name in _BROWSERS if (p := shutil.which(name))), None)
    if browser is None or not browser.is_file():
        emit("label_studio", {"what": "labelling page", "skipped": "no Chromium found; name one with --browser"})
        return
    from _labelling_page import live_project, measure, volunteer
    from _misbehaving_backend import MisbehavingBackend

    lines = _lines(3 * _PAGES, seed=1, label=_LABEL)
    with MisbehavingBackend(_LABEL) as backend, volunteer(browser, bench.access) as context:
        ahead = []
        for name, url, some in (("alone", None, lines[:_PAGES]), ("wired", backend.url, lines[_PAGES : 2 * _PAGES])):
            project = bench.project(name, url)
            assert not project.warnings, project.warnings
            _queue(bench.engine, some)
            assert bench.push(project) == _PAGES
            ahead.append(project.label_studio_id)
        config = label_config(_TAXONOMY)
        texts = [line.text for line in lines[2 * _PAGES :]]
        live = [live_project(bench.client, config, texts, url) for url in (None, backend.url)]
        measure(
            context,
            backend,
            bench.client,
            ahead=(ahead[0], ahead[1]),
            live=(live[0], live[1]),
            label=_LABEL,
            openings=options.openings,
        )


def _sdk(bench: Bench, what: str, project: int, *files: Path) -> None:
    """The SDK as it comes, in a process of its own."""
    script = Path(__file__).with_name("_label_studio_sdk.py")
    command = [sys.executable, str(script), what, bench.access.url, bench.access.api_key, str(project)]
    result = subprocess.run([*command, *map(str, files)], stdout=subprocess.PIPE, check=True)
    emit("label_studio", {"who": "label-studio-sdk", "what": what} | json.loads(result.stdout.splitlines()[-1]))


@contextmanager
def _bench() -> Iterator[Bench]:
    home = Path(tempfile.mkdtemp(prefix="saring-bench-"))
    # the backends of these pages are not the home's own
    settings = Settings(home=home, label_studio_may_call=("127.0.0.1",))
    try:
        engine = make_engine(ensure_database(settings))
        upgrade(engine)
        access = ensure_label_studio(settings)
        lines = [line for line in read_corpus() if line.labels]
        keys = frozenset(_TAXONOMY.keys)
        rows = [
            LabelledText(line.text, line.id, frozenset(line.labels), keys - frozenset(line.labels), "demo")
            for line in lines
        ]
        config = TrainConfig(taxonomy_version=_TAXONOMY.version)
        model = train(gather(rows, _TAXONOMY.keys), config, settings.models_dir).model
        ahead = Preannotator(_TAXONOMY, model, default_policy())
        with LabelStudio(access.url, access.api_key) as client:
            yield Bench(engine, client, access, backend_credentials(settings), ahead, home)
        engine.dispose()
    finally:
        stop_services(settings)
        shutil.rmtree(home)


def _lines(count: int, seed: int = 0, label: str | None = None) -> list[Line]:
    """Lines of the corpus (those with a label, if one is named), each with a number so that all differ."""
    known = [line for line in read_corpus() if line.labels and (label is None or label in line.labels)]
    return [
        replace(line, text=f"{line.text} {seed}-{i}")
        for i, line in enumerate(random.Random(seed).choices(known, k=count))
    ]


def _queue(engine: Engine, lines: Sequence[Line]) -> None:
    """Store texts with judgements of a language model, and queue them."""
    distinct = {text_id(line.text): line for line in lines}
    rows = [
        {"id": key, "body": line.text, "masked": clean(line.text), "language": line.language}
        for key, line in distinct.items()
    ]
    item = {"strategy": "random", "reason": "drawn at random", "inclusion_probability": 1.0}
    item |= {"priority": 0.5, "state": QueueState.QUEUED}
    with open_session(engine) as session, session.begin():
        session.execute(insert(store.Text), rows)
        rater = rater_id(session, RaterRef(RaterKind.LLM, "a-model", "1"))
        verdicts = [
            NewJudgement(key, frozenset(line.labels), explanation="The words say so.") for key, line in distinct.items()
        ]
        record(session, rater, verdicts, taxonomy_version=_TAXONOMY.version)
        session.execute(insert(store.QueueItem), [item | {"text_id": key} for key in distinct])


def _rows(bench: Bench, project: int, *, annotated: bool = False) -> list[dict[str, Any]]:
    """The tasks of a project as they were sent; with an annotation each, if asked for."""
    t = store.Task
    with open_session(bench.engine) as session:
        tasks = session.scalars(select(t).where(t.project_id == project)).all()
        proposals = bench.preannotator.known(session, [task.text_id for task in tasks])
        masked: Any = session.execute(select(store.Text.id, store.Text.masked))
        texts: dict[uuid.UUID, str] = dict(masked.all())
        ids = PublicIds.of_store(session)
    rows = [
        task_row(task, ids.of(task.text_id), texts[task.text_id], "ms", proposals[task.text_id], "ahead-1")
        for task in tasks
    ]
    more = {"annotations": [{"result": [_region(_LABEL)], "lead_time": 5.0}]} if annotated else {}
    return [row | more for row in rows]


def _region(label: str) -> dict[str, Any]:
    return {"id": "a", "from_name": "labels", "to_name": "text", "type": "choices", "value": {"choices": [label]}}


def _judgements(engine: Engine) -> int:
    j, r = store.Judgement, store.Rater
    query = select(func.count()).select_from(j).join(r, r.id == j.rater_id).where(r.kind == RaterKind.HUMAN)
    with open_session(engine) as session:
        return session.execute(query).scalar_one()


def _target(what: str) -> dict[str, float]:
    return {"target_s": _TARGETS[what]}


if __name__ == "__main__":
    main()
