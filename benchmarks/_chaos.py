"""A home under load whose processes are killed at random moments, and checks of its tables afterwards.

Used by `benchmarks/chaos.py` and, in short, by the tests. Nothing here knows how Saring recovers: the load goes through
the command line, Label Studio's API and the backend's HTTP API, the killer sends SIGKILL, and the checks read tables
and files.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
from sqlalchemy import Engine, func, select, text

from pipeline import store
from pipeline.backend_credentials import backend_credentials
from pipeline.errors import SaringError
from pipeline.judgement import RaterKind
from pipeline.models.backends import file_hash
from pipeline.models.linear import ARRAYS
from pipeline.settings import load_settings
from pipeline.store import make_engine, open_session
from pipeline.store.tables.core import ModelState, RunState
from pipeline.store.tables.human_loop import TaskState
from pipeline.texts.normalise import text_id
from saring.services import ensure_database, label_studio_access, loop_status, service_status

_ROOT = Path(__file__).resolve().parents[1]
#: names of processes in `saring status`
KILLABLE = ("PostgreSQL", "Valkey", "Label Studio", "ML backend", "worker", "io-worker", "beat", "keeper")


@dataclass
class World:
    """A home, with access to it."""

    home: Path
    environment: dict[str, str]
    #: confirmed data: annotations by Label Studio (id to labels), texts by an ingest that succeeded
    annotated: dict[int, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    ingested: set[str] = field(default_factory=set)
    commands: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: commands under way, which may be killed as well
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def settings(self) -> Any:
        """The home's settings."""
        with _environment(self.environment):
            return load_settings()

    def saring(self, *arguments: str, retry: bool = False) -> dict[str, Any] | None:
        """Run a command; return its JSON output, or None if it failed. With `retry`, repeat it until it succeeds."""
        while True:
            with subprocess.Popen(
                [sys.executable, "-m", "saring", *arguments, "--json"],
                env=self.environment,
                cwd=_ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            ) as process:
                with self.lock:
                    self.running.append(process)
                out, err = process.communicate()
                with self.lock:
                    self.running.remove(process)
            name = " ".join(arguments[:2]) if arguments[0] in ("sync", "queue", "models") else arguments[0]
            self.commands[name] += 1
            if process.returncode == 0:
                return json.loads(out) if out.strip() else {}
            lines = err.decode(errors="replace").strip().splitlines()
            self.failures[f"{name}: {lines[-1] if lines else f'status {process.returncode}'}"[:160]] += 1
            if not retry:
                return None
            time.sleep(1)


def make_world(home: Path, *, label_studio: bool, seed: int) -> World:
    """A home with everything running, some texts judged, and a project with tasks."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SARING_")}
    environment |= {
        "SARING_HOME": str(home),
        "PYTHONPATH": str(_ROOT),
        "SARING_PULL_SECONDS": "3",
        "SARING_LOOK_SECONDS": "2",
        "SARING_RESEND_SECONDS": "5",
        "SARING_RETRAIN_LABELS": "15",
        "SARING_SEED": str(seed),
    }
    if "SARING_LABEL_STUDIO_ENV" in os.environ:
        environment["SARING_LABEL_STUDIO_ENV"] = os.environ["SARING_LABEL_STUDIO_ENV"]
    world = World(home, environment)
    left_out = [] if label_studio else ["--without", "label-studio"]
    world.saring("up", *left_out, retry=True)
    rng = random.Random(seed)
    lines = _demo_lines()
    # A labelled data set, to train from.
    labelled = home / "labelled.jsonl"
    chosen = rng.sample(lines, 240)
    labelled.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in chosen))
    world.saring("import", str(labelled), "--source", "labelled", "--labels-field", "labels", retry=True)
    world.ingested |= {row["text"] for row in chosen}
    if label_studio:
        world.saring("sync", "setup", retry=True)
    return world


def _demo_lines() -> list[dict[str, Any]]:
    rows = []
    for path in sorted((_ROOT / "saring/demo/corpus").glob("*.jsonl")):
        rows += [orjson.loads(line) for line in path.read_bytes().splitlines()]
    return [row for row in rows if row.get("labels") or row.get("not_labels")]


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


# ---- load


def load(world: World, stopped: threading.Event, *, label_studio: bool, seed: int) -> list[threading.Thread]:
    """Start all work of a home at the same time; it goes on until `stopped` is set."""
    settings = world.settings
    jobs: list[tuple[str, Callable[[random.Random], None]]] = [
        ("ingest", lambda rng: _ingest(world, rng)),
        ("embed", lambda _: _give(world, "embed", "--async")),
        ("judge", lambda _: _give(world, "judge", "--async")),
        ("filter", lambda _: _give(world, "filter", "--async")),
        ("train", lambda _: _give(world, "train", "--async")),
        ("predict", lambda rng: _predict(settings, rng)),
    ]
    if label_studio:
        jobs += [
            ("queue", lambda _: _queue(world)),
            ("volunteers", lambda rng: _annotate(world, settings, rng)),
        ]

    def repeat(job: Callable[[random.Random], None], rng: random.Random) -> None:
        while not stopped.is_set():
            job(rng)
            stopped.wait(rng.uniform(0.2, 1.5))

    threads = [
        threading.Thread(target=repeat, args=(job, random.Random(f"{seed} {name}")), name=name, daemon=True)
        for name, job in jobs
    ]
    for thread in threads:
        thread.start()
    return threads


def _give(world: World, *arguments: str) -> None:
    world.saring(*arguments)


def _ingest(world: World, rng: random.Random) -> None:
    words = sorted({word for line in _demo_lines() for word in line["text"].split()})
    rows = [" ".join(rng.sample(words, rng.randint(8, 14))) for _ in range(10)]
    path = world.home / f"stream-{rng.getrandbits(64):016x}.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"text": row}) + b"\n" for row in rows))
    # The same file again until it is in: a second ingest must change nothing.
    for _ in range(20):
        if world.saring("ingest", str(path), "--source", "stream") is not None:
            world.ingested |= set(rows)
            return


def _queue(world: World) -> None:
    world.saring("queue", "build", "--size", "40", "--async")
    world.saring("sync", "push", "--limit", "20", "--async")


def _annotate(world: World, settings: Any, rng: random.Random) -> None:
    access = label_studio_access(settings)
    if access is None:
        return
    labels = ("hate", "safe for work", "informative", "violence")
    headers = {"Authorization": f"Token {access.api_key}"}
    with (
        contextlib.suppress(httpx.HTTPError),
        httpx.Client(base_url=access.url, headers=headers, timeout=20, trust_env=False) as api,
    ):
        for project in api.get("/api/projects/").raise_for_status().json()["results"]:
            answer = api.get(f"/api/projects/{project['id']}/next")
            if answer.status_code != httpx.codes.OK:
                continue
            task = answer.json()["id"]
            chosen = tuple(sorted(rng.sample(labels, rng.randint(1, 2)))) if rng.random() < 0.5 else ("safe for work",)
            if "safe for work" in chosen:
                chosen = ("safe for work",)
            region = {
                "id": "labels",
                "from_name": "labels",
                "to_name": "text",
                "type": "choices",
                "value": {"choices": list(chosen)},
            }
            made = api.post(f"/api/tasks/{task}/annotations/", json={"result": [region], "lead_time": 4.0})
            if made.status_code == httpx.codes.CREATED:
                world.annotated[made.json()["id"]] = (task, chosen)


def _predict(settings: Any, rng: random.Random) -> None:
    backend = next(
        (process_status for process_status in loop_status(settings) if process_status.name == "ML backend"), None
    )
    if backend is None or not backend.address.startswith("http"):
        return
    credentials = backend_credentials(settings)
    body = {"tasks": [{"id": 1, "data": {"text": f"apa khabar {rng.random()}"}}], "label_config": "<View/>"}
    with contextlib.suppress(httpx.HTTPError):
        httpx.post(
            f"{backend.address}/predict",
            json=body,
            auth=(credentials.user, credentials.password),
            timeout=10,
            trust_env=False,
        )


# ---- the killer


def kill_something(world: World, rng: random.Random, kinds: Sequence[str]) -> str | None:
    """Send SIGKILL to a process of a random kind; return the kind, or None if it does not run at the moment."""
    kind = rng.choice(kinds)
    if kind == "command":
        with world.lock:
            running = [process for process in world.running if process.poll() is None]
        if not running:
            return None
        rng.choice(running).kill()
        return kind
    process = _process(world, rng.choice(("worker", "io-worker")) if kind == "worker child" else kind)
    if process is None:
        return None
    with contextlib.suppress(psutil.NoSuchProcess):
        children = process.children(recursive=True)
        if kind == "worker child":
            if not children:
                return None
            rng.choice(children).kill()
            return kind
        # A machine that loses power kills the children too.
        for victim in (process, *children):
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGKILL)
        return kind
    return None


def _process(world: World, name: str) -> psutil.Process | None:
    with contextlib.suppress(SaringError, psutil.NoSuchProcess):
        for process_status in (*service_status(world.settings), *loop_status(world.settings)):
            if process_status.name == name and process_status.pid is not None:
                return psutil.Process(process_status.pid)
    return None


def supervise(world: World, stopped: threading.Event, *, label_studio: bool) -> threading.Thread:
    """Stand in for the machine's supervisor: start the keeper again when it dies; the keeper starts the rest."""

    def watch() -> None:
        while not stopped.wait(1):
            if _process(world, "keeper") is None:
                world.saring("up", *([] if label_studio else ["--without", "label-studio"]))

    thread = threading.Thread(target=watch, name="supervisor", daemon=True)
    thread.start()
    return thread


# ---- what must be true


@dataclass
class Verdict:
    """Numbers of things that were checked, and the violations."""

    checked: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def check(self, what: str, count: int, wrong: Sequence[str]) -> None:
        """Add the number of things checked, and the violations."""
        self.checked[what] = count
        self.violations += [f"{what}: {violation}" for violation in wrong]


def settle(world: World, *, label_studio: bool, seconds: float = 240) -> Verdict:
    """Start everything again, wait until the runs end, and check what must be true."""
    world.saring("up", *([] if label_studio else ["--without", "label-studio"]), retry=True)
    engine = make_engine(ensure_database(world.settings))
    deadline = time.monotonic() + seconds
    while running := _running(engine):
        if time.monotonic() > deadline:
            break
        time.sleep(1)
    verdict = Verdict()
    verdict.check("runs that are over or can be resumed", _runs(engine), [f"{run} never ended" for run in running])
    if label_studio:
        world.saring("sync", "pull", retry=True)
        report = world.saring("sync", "reconcile", retry=True) or {}
        repaired = report.get("repaired", 0)
        cursor = [f"{repaired} tasks that the cursor had passed were not in the ledger"] if repaired else []
        verdict.check("tasks that a cursor has passed", report.get("tasks", 0), cursor)
        _check_annotations(engine, world, verdict)
        _check_tasks(engine, verdict)
    _check_texts(engine, world, verdict)
    _check_judgements(engine, verdict)
    _check_models(engine, verdict)
    _check_test_sets(engine, verdict)
    engine.dispose()
    return verdict


def _running(engine: Engine) -> list[str]:
    r = store.Run
    with open_session(engine) as session:
        return [f"run {run.id} ({run.stage})" for run in session.scalars(select(r).where(r.state == RunState.RUNNING))]


def _runs(engine: Engine) -> int:
    with open_session(engine) as session:
        return session.scalar(select(func.count()).select_from(store.Run)) or 0


def _check_annotations(engine: Engine, world: World, verdict: Verdict) -> None:
    """Each annotation that Label Studio confirmed is one judgement, with its labels."""
    j, r, a = store.Judgement, store.Rater, store.Annotation
    with open_session(engine) as session:
        rows = session.execute(
            select(a.label_studio_id, j.asserted, j.revision, j.withdrawn)
            .join(r, r.id == a.rater_id)
            .join(j, (j.rater_id == a.rater_id) & (j.text_id == a.text_id))
            .where(r.kind == RaterKind.HUMAN)
            .where(j.external_ref.contains(func.cast(a.label_studio_id, store.Judgement.external_ref.type)))
            .order_by(a.label_studio_id, j.revision)
        ).all()
    labels_of: dict[int, list[tuple[str, ...]]] = {}
    for number, asserted, _, withdrawn in rows:
        if not withdrawn:
            labels_of.setdefault(number, []).append(tuple(sorted(asserted)))
    wrong = []
    for number, (task, confirmed) in world.annotated.items():
        got = labels_of.get(number, [])
        if got != [confirmed]:
            wrong.append(f"annotation {number} of task {task} has {confirmed}, the ledger has {got or 'nothing'}")
    verdict.check("annotations that were confirmed, each one judgement", len(world.annotated), wrong)


def _check_tasks(engine: Engine, verdict: Verdict) -> None:
    k = store.Task
    with open_session(engine) as session:
        ids = session.scalars(select(k.label_studio_id).where(k.state.in_((TaskState.OPEN, TaskState.DONE)))).all()
    twice = [f"task {task} stands for {count} texts" for task, count in Counter(ids).items() if count > 1 and task]
    verdict.check("tasks, each of one text", len(ids), twice)


def _check_texts(engine: Engine, world: World, verdict: Verdict) -> None:
    with open_session(engine) as session:
        known = set(session.scalars(select(store.Text.id)))
    lost = [
        f"{len(ingested_text)} characters" for ingested_text in world.ingested if text_id(ingested_text) not in known
    ]
    verdict.check(
        "texts that an ingest confirmed", len(world.ingested), [f"a text is lost ({lost_text})" for lost_text in lost]
    )


def _check_judgements(engine: Engine, verdict: Verdict) -> None:
    """Of one rater's judgements of a text under one reference, each revision is there once, and none is skipped."""
    with open_session(engine) as session:
        total = session.scalar(select(func.count()).select_from(store.Judgement)) or 0
        gaps = session.execute(
            text("""
                SELECT rater_id, count(*), max(revision) FROM judgement
                GROUP BY rater_id, text_id, external_ref HAVING count(*) <> max(revision) - min(revision) + 1
            """)
        ).all()
        machines = session.execute(
            text("""
                SELECT count(*) FROM (
                    SELECT 1 FROM judgement j JOIN rater r ON r.id = j.rater_id WHERE r.kind = 'bootstrap'
                    GROUP BY j.rater_id, j.text_id HAVING count(*) > 1
                ) doubled
            """)
        ).scalar_one()
    wrong = [f"rater {rater}: {count} revisions up to {last}" for rater, count, last in gaps]
    if machines:
        wrong.append(f"{machines} texts were judged twice by the same version of a rater")
    verdict.check("judgements, none doubled", total, wrong)


def _check_models(engine: Engine, verdict: Verdict) -> None:
    m = store.Model
    with open_session(engine) as session:
        models = session.scalars(select(m)).all()
        snapshots = session.scalars(select(store.Snapshot)).all()
    wrong = []
    for model in models:
        arrays = Path(model.path) / ARRAYS
        if not arrays.is_file() or file_hash(arrays) != model.artefact_hash:
            wrong.append(f"{model.version} is missing or altered")
    verdict.check("model artefacts with the right hash", len(models), wrong)
    purposes = {model.purpose for model in models if model.state is not ModelState.CANDIDATE} & {"sfw"}
    champions = Counter(model.purpose for model in models if model.state is ModelState.CHAMPION)
    verdict.check(
        "purposes with exactly one champion",
        len(purposes),
        [f"{purpose} has {champions[purpose]} champions" for purpose in purposes if champions[purpose] != 1],
    )
    missing = [f"snapshot {snapshot.hash} has no file" for snapshot in snapshots if not Path(snapshot.path).is_file()]
    verdict.check("snapshots with their file", len(snapshots), missing)


def _check_test_sets(engine: Engine, verdict: Verdict) -> None:
    """Each version of the test set has the rows that it says, and those of all before it."""
    with open_session(engine) as session:
        sets = session.scalars(select(store.TestSet).order_by(store.TestSet.version)).all()
        rows = session.execute(select(store.TestRow.version, store.TestRow.text_id)).all()
    wrong = []
    for test_set in sets:
        members = {text for version, text in rows if version <= test_set.version}
        if len(members) != test_set.rows:
            wrong.append(f"version {test_set.version} says {test_set.rows} rows and has {len(members)}")
    verdict.check("versions of the test set, none with a row lost", len(sets), wrong)
