"""The ML backend as it is served: a real server on a free port, with a store and small real models."""

from __future__ import annotations

import dataclasses
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from sqlalchemy import Engine, insert

from ml_backend.app import create_app
from ml_backend.config import BackendConfig, Limits
from ml_backend.server import server_config
from pipeline import store
from pipeline.backend_credentials import BACKEND_USER, BackendCredentials
from pipeline.judgement import RaterKind, RaterRef
from pipeline.learning import registry
from pipeline.learning.sets.examples import gather
from pipeline.learning.train import TrainConfig, TrainReport, train
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.models.artefact import load_model
from pipeline.models.features import NgramConfig
from pipeline.models.linear import LinearConfig
from pipeline.store import open_session
from pipeline.store.tables.human_loop import TaskState
from pipeline.taxonomy import Taxonomy, load_taxonomy
from pipeline.texts.labelled import LabelledText
from pipeline.texts.labelled_files import clean
from pipeline.texts.normalise import text_id
from tests.support.served import run_to_the_end
from tests.support.waiting import until

TAXONOMY = load_taxonomy()
PASSWORD, SECRET, METRICS = "a-password", "a-secret", "a-third"
#: Label Studio's id of the project, and the second of its making
PROJECT, MADE_AT = 7, 1_795_437_340
_WORDS = ["semalam", "kami", "pergi", "kedai", "kawan", "baru", "jalan", "jauh", "pagi", "petang", "rumah", "besar"]


def label_config(labels: Sequence[str], choice: str = "multiple") -> str:
    """A config with those choices."""
    choices = "".join(f'<Choice value="{label}"/>' for label in labels)
    choices = f'<Choices name="labels" toName="text" choice="{choice}">{choices}</Choices>'
    return f'<View><Text name="text" value="$text"/>{choices}</View>'


def request(tasks: Sequence[object], config: object = None, project: str = f"{PROJECT}.{MADE_AT}") -> dict[str, Any]:
    """The body of a request for predictions as Label Studio sends it."""
    return {
        "tasks": tasks,
        "project": project,
        "label_config": label_config(TAXONOMY.keys) if config is None else config,
        "params": {"login": None, "password": None, "context": None},
    }


def task(text: object, **data: object) -> dict[str, Any]:
    """A task as Label Studio sends it."""
    return {"id": 1, "data": {"text": text, **data}, "meta": {}, "annotations": [], "predictions": []}


def choices(prediction: Mapping[str, Any]) -> list[str]:
    """What a prediction ticks."""
    return [label for region in prediction["result"] for label in region["value"]["choices"]]


def train_model(folder: Path, word: str = "lucah", label: str = "porn", extra: int = 0) -> TrainReport:
    """A model that gives `label` to texts with `word`; `extra` texts more make another model of it."""
    rows = [
        LabelledText(
            f"{_WORDS[i % 12]} {_WORDS[(i // 3) % 12]} {i} {word if i % 2 else 'bola'}",
            labels=frozenset({label} if i % 2 else ()),
            not_labels=frozenset(() if i % 2 else {label}),
            source="test",
        )
        for i in range(240 + extra)
    ]
    config = TrainConfig(
        taxonomy_version=TAXONOMY.version,
        linear=LinearConfig(NgramConfig(char_bits=12, word_bits=12), workers=1),
    )
    return train(gather(rows, [label]), config, folder)


def promote(engine: Engine, report: TrainReport) -> str:
    """Make a model the champion; its version."""
    with open_session(engine) as session, session.begin():
        registry.register(session, report.model.manifest, report.path)
        registry.promote(session, report.model.manifest.version, reason="a test")
    return report.model.manifest.version


def add_text(engine: Engine, body: str, *asserted: str) -> uuid.UUID:
    """Put a text into the store, with labels that a language model asserts."""
    found = text_id(body)
    with open_session(engine) as session, session.begin():
        session.execute(insert(store.Text).values(id=found, body=body, masked=clean(body), language="ms"))
        rater = rater_id(session, RaterRef(RaterKind.LLM, "a-model", "1"))
        record(session, rater, [NewJudgement(found, frozenset(asserted))], taxonomy_version="t")
    return found


def push_task(engine: Engine, text: uuid.UUID, *, priority: float = 0.5, blind: bool = False) -> None:
    """Note a text as a task of the project that requests name."""
    with open_session(engine) as session, session.begin():
        project = session.query(store.Project).filter_by(label_studio_id=PROJECT).one_or_none()
        if project is None:
            made_at = datetime.fromtimestamp(MADE_AT, UTC)
            project = store.Project(
                url="http://here", label_studio_id=PROJECT, label_studio_created_at=made_at, title="t", harsh_cap=10
            )
            session.add(project)
            session.flush()
        session.add(
            store.Task(
                project_id=project.id,
                text_id=text,
                strategy="random",
                reason="drawn",
                inclusion_probability=0.5,
                priority=priority,
                blind=blind,
                state=TaskState.OPEN,
            )
        )


@dataclass
class Backend:
    """A backend that is being served."""

    url: str
    engine: Engine
    #: jobs that it sent, in order
    sent: list[str] = field(default_factory=list)

    def client(self, auth: tuple[str, str] | None = (BACKEND_USER, PASSWORD)) -> httpx.Client:
        """A client with the right credentials, or others."""
        return httpx.Client(base_url=self.url, auth=auth, timeout=60, trust_env=False)

    def predict(self, tasks: Sequence[object], config: object = None) -> list[dict[str, Any]]:
        """Ask for predictions."""
        with self.client() as client:
            answer = client.post("/predict", json=request(tasks, config))
        assert answer.status_code == 200, answer.text
        results: list[dict[str, Any]] = answer.json()["results"]
        return results

    def version(self) -> str:
        """What /setup says."""
        with self.client() as client:
            answer = client.post("/setup", json={"project": f"{PROJECT}.{MADE_AT}", "schema": "<View/>"})
        return str(answer.raise_for_status().json()["model_version"])


@contextmanager
def served(
    engine: Engine,
    *,
    taxonomy: Taxonomy | None = None,
    limits: Limits | None = None,
    send_job: Callable[[str, Mapping[str, Any]], None] | None = None,
    **changes: Any,
) -> Iterator[Backend]:
    """Serve, looking for a new champion often."""
    sent: list[str] = []

    def remember(name: str, arguments: Mapping[str, Any]) -> None:
        assert arguments == {}
        sent.append(name)

    config = BackendConfig(
        engine=engine,
        taxonomy=taxonomy or TAXONOMY,
        credentials=BackendCredentials(BACKEND_USER, PASSWORD, SECRET, METRICS),
        load_model=load_model,
        send_job=send_job or remember,
        limits=limits or Limits(poll=0.05, retry=0.05),
    )
    config = dataclasses.replace(config, **changes)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = uvicorn.Server(server_config(create_app(config), config.limits))
        thread = threading.Thread(target=run_to_the_end, args=(server, listener))
        thread.start()
        try:
            until(lambda: server.started, "the backend serves")
            yield Backend(f"http://127.0.0.1:{listener.getsockname()[1]}", engine, sent)
        finally:
            server.should_exit = True
            thread.join()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def serving(environment: dict[str, str], port: int, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "saring", "serve", "--port", str(port), *arguments]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            until(lambda: process.poll() is not None or _healthy(port), "it serves")
            yield process
        finally:
            process.kill()


def _healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
