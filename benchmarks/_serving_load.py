"""A home with a champion, its server, and clients that ask it: for benchmarks of what is served over HTTP."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from sqlalchemy import Engine, insert

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.learning import registry
from pipeline.learning.sets.examples import gather
from pipeline.learning.train import TrainConfig, train
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.models.linear import LinearConfig
from pipeline.settings import Settings
from pipeline.store import make_engine, open_session
from pipeline.store.migrate import upgrade
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.labelled import LabelledText
from pipeline.texts.labelled_files import clean
from pipeline.texts.normalise import text_id
from pipeline.vectors.encoders.make import DEFAULT_ENCODER
from saring.actions.models import encode_of
from saring.demo.plant import Line
from saring.services import start_services, stop_services

_ROOT = Path(__file__).resolve().parents[1]
_TAXONOMY = load_taxonomy()


@dataclass
class Answers:
    """Times of many requests, in seconds, in no order."""

    seconds: list[float] = field(default_factory=list)
    wall: float = 0.0

    def figures(self) -> dict[str, object]:
        """For a person."""
        ordered = sorted(self.seconds)
        at = {name: ordered[min(len(ordered) - 1, int(len(ordered) * q))] for name, q in (("p50", 0.5), ("p99", 0.99))}
        return {
            "requests": len(ordered),
            **{name: 1e3 * value for name, value in at.items()},
            "max": 1e3 * ordered[-1],
            "requests_per_s": len(ordered) / self.wall,
        }


@contextmanager
def home_with_champion(lines: Sequence[Line], *, vectors: bool = False) -> Iterator[tuple[Settings, Path]]:
    """A home with a store that knows the corpus, and a champion trained on it; the champion's folder.

    Args:
        lines: the corpus.
        vectors: the encoder's vectors stand beside the n-grams.
    """
    home = Path(tempfile.mkdtemp(prefix="saring-bench-"))
    settings = Settings(home=home)
    try:
        engine = make_engine(start_services(settings).database_url)
        upgrade(engine)
        yield settings, _prepared(engine, settings, lines, DEFAULT_ENCODER if vectors else None)
        engine.dispose()
    finally:
        stop_services(settings)
        shutil.rmtree(home)


def _prepared(engine: Engine, settings: Settings, lines: Sequence[Line], encoder: str | None) -> Path:
    keys = frozenset(_TAXONOMY.keys)
    rows = [
        LabelledText(line.text, line.id, frozenset(line.labels), keys - frozenset(line.labels), "demo")
        for line in lines
        if line.labels
    ]
    config = TrainConfig(taxonomy_version=_TAXONOMY.version, linear=LinearConfig(encoder=encoder))
    encode = encode_of(settings, encoder)
    report = train(gather(rows, _TAXONOMY.keys), config, settings.models_dir, encode=encode)
    with open_session(engine) as session, session.begin():
        registry.register(session, report.model.manifest, report.path)
        registry.promote(session, report.model.manifest.version, reason="a benchmark")
        distinct = {text_id(line.text): line for line in lines}
        texts = [
            {"id": key, "body": line.text, "masked": clean(line.text), "language": line.language}
            for key, line in distinct.items()
        ]
        session.execute(insert(store.Text), texts)
        rater = rater_id(session, RaterRef(RaterKind.LLM, "a-model", "1"))
        verdicts = [NewJudgement(key, frozenset(line.labels)) for key, line in distinct.items()]
        record(session, rater, verdicts, taxonomy_version=_TAXONOMY.version)
    return report.path


@contextmanager
def served(command: Sequence[str], environment: dict[str, str]) -> Iterator[tuple[int, psutil.Process]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    filled = [part.replace("{port}", str(port)) for part in command]
    with subprocess.Popen(
        filled, env={**os.environ, "PYTHONPATH": str(_ROOT), **environment}, stderr=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + 180
            while not _healthy(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{' '.join(filled[:4])} does not serve")
                time.sleep(0.05)
            yield port, psutil.Process(process.pid)
        finally:
            process.terminate()


def _healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def raw(port: int, path: str, body: bytes, headers: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\nContent-Type: application/json\r\n{headers}"
    )
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def ask_all(port: int, requests: Sequence[Sequence[bytes]]) -> Answers:
    """One client a list; each sends its next request when it has its answer."""
    answers = Answers()
    start = time.perf_counter()
    await asyncio.gather(*(ask(port, of_client, answers.seconds) for of_client in requests))
    answers.wall = time.perf_counter() - start
    return answers


async def ask(port: int, requests: Sequence[bytes], seconds: list[float]) -> None:
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    for request in requests:
        start = time.perf_counter()
        # Flask's own server takes one request for each connection, and Label Studio sends no more.
        reader, writer = connection or await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if head.split(b" ", 2)[1] not in (b"200", b"201"):
            raise SystemExit(f"the answer was {head.splitlines()[0].decode()}")
        await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        seconds.append(time.perf_counter() - start)
        connection = reader, writer
        if b"connection: close" in head:
            writer.close()
            connection = None
    if connection is not None:
        connection[1].close()
