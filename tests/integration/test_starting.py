"""Runs that are asked for from a form: checked at once, kept in the store, and begun by a worker exactly once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, update

from pipeline import store
from pipeline.errors import InputError, LabelStudioUnavailable, UsageError
from pipeline.runs.book import cancel_run, reopen_run
from pipeline.runs.changes import read_lines
from pipeline.runs.requests import (
    lost_requests,
    open_requests,
    read_request,
    request_of_run,
    withdraw,
)
from pipeline.runs.shard import Outcome, finish_run, run_shard
from pipeline.runs.watch import RunStatus, status
from pipeline.settings import Settings
from pipeline.store import open_session
from pipeline.store.tables.core import RunState
from saring.actions.attention import needs_attention
from saring.actions.attention_facts import read_facts
from saring.actions.incoming import incoming_file, incoming_files
from saring.actions.queue import QueueStage
from saring.actions.starting import forms, machines, people, training
from saring.actions.starting.catalogue import STARTABLE, ask, begin, form_of, values_of_run
from saring.actions.starting.forms import FormError, shown
from saring.context import Context
from saring.services import ensure_broker
from saring.services.valkey import client
from saring.web import run_words
from saring.workers.asking import resume, retrain_now, served_queues, start
from saring.workers.stages import STAGES, stages_for

_TEXTS = ["Nasi lemak pagi ini sedap betul", "The bus was late again today", "Saya suka kucing itu"]


@pytest.fixture
def ctx(engine: Engine, tmp_path: Path) -> Iterator[Context]:
    made = Context(Settings(home=tmp_path / "home"))
    made.__dict__["engine"] = engine
    made.settings.incoming_dir.mkdir(parents=True)
    yield made


def put(home: Context, name: str, texts: list[str]) -> Path:
    path = home.settings.incoming_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"id": str(i), "text": text}) + "\n" for i, text in enumerate(texts)))
    return path


def begun(home: Context, number: int) -> list[int]:
    return [run for run, _ in begin(home, stages_for(home.settings), number)]


def state_of(home: Context, run: int) -> RunStatus:
    with open_session(home.engine) as session:
        return status(session, run)


def do(home: Context, run: int) -> RunStatus:
    """Do a run as workers do it."""
    with open_session(home.engine) as session:
        s = store.Shard
        numbers = session.scalars(select(s.number).where(s.run_id == run, s.state == "waiting")).all()
    for number in numbers:
        run_shard(home, STAGES, run, number)
    finish_run(home, STAGES, run)
    return state_of(home, run)


def test_every_stage_has_a_form_whose_defaults_can_be_read(ctx: Context) -> None:
    assert set(STARTABLE) == set(STAGES)
    for name in STARTABLE:
        form = form_of(ctx, name)
        assert form.stage == name
        assert len({each.name for each in form.fields}) == len(form.fields)
        for each in form.fields:
            assert each.title
            assert each.default is None or each.kind != "choice" or each.default in each.values
        # pages can say all of it in Malay; labels, files, raters and the like have names of their own
        said = {form.title, form.what, form.closed} | {
            words for each in form.fields for words in (each.title, each.help)
        }
        assert said - {None, ""} <= set(run_words.FORMS)
    assert set(STARTABLE) == run_words.STARTABLE
    for module in (forms, machines, people, training):
        assert set(module.MESSAGES) <= set(run_words.FORMS)
    # what cannot be started now says why
    assert {name for name in STARTABLE if form_of(ctx, name).closed} == {
        *("ingest", "pull", "push", "reconcile", "predict-ahead")
    }
    with pytest.raises(UsageError, match="There is no file yet"):
        ask(ctx, "ingest", {"file": "x.jsonl", "source": "s"})


def test_a_file_of_the_folder_is_read_into_the_store_by_a_worker(ctx: Context) -> None:
    put(ctx, "new/posts.jsonl", [*_TEXTS, "", "Saya suka kucing itu"])
    number = ask(ctx, "ingest", {"file": "new/posts.jsonl", "source": "forum"}, by="aminah")
    with open_session(ctx.engine) as session:
        assert [request.id for request in open_requests(session)] == [number]
    [run] = begun(ctx, number)
    with open_session(ctx.engine) as session:
        request = request_of_run(session, run)
        assert open_requests(session) == []
    assert request is not None
    assert (request.asked_by, request.runs, request.error) == ("aminah", (run,), None)

    done = do(ctx, run)
    assert done.state is RunState.DONE
    assert done.result is not None
    assert (done.result["rows"], done.result["new"], done.result["exact_duplicates"]) == (5, 3, 1)
    # what was left out and why is in the run's counts, and its progress is in rows
    assert done.counts["rejected"] == done.result["rejected"] == {"empty text": 1}
    assert (done.slice, done.done) == ("forum", 5)
    # a second message for the request does nothing
    assert begun(ctx, number) == []


def test_a_worker_that_takes_over_goes_on_after_the_last_stored_row(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.texts.ingest._BATCH", 2)
    put(ctx, "posts.jsonl", [*_TEXTS, "Hujan turun lebat", "Good morning all", "Jalan raya sesak", "Buku baharu tiba"])
    [run] = begun(ctx, ask(ctx, "ingest", {"file": "posts.jsonl", "source": "forum"}))
    written: list[int] = []

    def die(session: Any, rows: Any, **named: Any) -> Any:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(len(rows))
        return write(session, rows, **named)

    from pipeline.texts.write import write

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.texts.ingest.write", die)
        with pytest.raises(KeyboardInterrupt):
            run_shard(ctx, STAGES, run, 0)
    assert state_of(ctx, run).counts["rows"] == 4
    assert run_shard(ctx, STAGES, run, 0) is Outcome.DONE
    finish_run(ctx, STAGES, run)
    result = state_of(ctx, run).result
    assert result is not None
    assert (result["rows"], result["new"], result["present"]) == (7, 7, 0)


def test_only_files_in_the_folder_can_be_named(ctx: Context, tmp_path: Path) -> None:
    folder = ctx.settings.incoming_dir
    put(ctx, "posts.jsonl", _TEXTS)
    outside = tmp_path / "secret.jsonl"
    outside.write_text("{}")
    (folder / "link.jsonl").symlink_to(outside)
    (folder / "loop.jsonl").symlink_to(folder / "loop.jsonl")
    (folder / "notes.docx").write_text("x")
    (folder / ".hidden.jsonl").write_text("{}")
    assert [file.name for file in incoming_files(ctx.settings)] == ["posts.jsonl"]
    for name in ("../secret.jsonl", str(outside), "link.jsonl", "loop.jsonl", "", ".", "a\0b", "x" * 5000):
        with pytest.raises(InputError, match="put it there first"):
            incoming_file(ctx.settings, name)
    with pytest.raises(FormError, match="one of the list"):
        ask(ctx, "ingest", {"file": "../secret.jsonl", "source": "s"})


def test_what_does_not_go_together_is_refused_before_anything_is_kept(ctx: Context) -> None:
    for stage, given, field in (
        ("train", {"objective": "accuracy"}, "objective"),
        ("train", {"backend": "linear", "epochs": "3"}, "epochs"),
        ("train", {"backend": "transformers", "vectors": "yes"}, "vectors"),
        ("embed", {"encoder": "word2vec"}, "encoder"),
        ("translate", {"by": "nobody"}, "by"),
        ("translate", {}, "by"),
        ("judge", {"rater": "nobody"}, "rater"),
        ("queue", dict.fromkeys(("mix_uncertain", "mix_scarce", "mix_suspect", "mix_random"), "0"), "mix_uncertain"),
        ("filter-centroid", {"labels": ["no such label"]}, "labels"),
    ):
        with pytest.raises(FormError) as error:
            ask(ctx, stage, given)
        assert [problem.field for problem in error.value.problems] == [field], stage
    with pytest.raises(UsageError, match="cannot be started here"):
        ask(ctx, "demolish", {})
    with open_session(ctx.engine) as session:
        assert session.scalar(select(func.count()).select_from(store.RunRequest)) == 0


def test_the_values_of_a_form_reach_the_run(ctx: Context) -> None:
    number = ask(ctx, "queue", {"size": "30", "mix_random": "1", "mix_uncertain": "0", "seed": "7"})
    [run] = begun(ctx, number)
    params = state_of(ctx, run).params
    assert (params["config"]["size"], params["seed"], dict(params["mix"])["random"]) == (30, 7, 1.0)
    # and its form can be shown again, whether it was asked for or not
    form = form_of(ctx, "queue")
    with open_session(ctx.engine) as session:
        request = read_request(session, number)
    assert shown(form, values_of_run(form, request.form, params)) == shown(form, values_of_run(form, None, params))
    assert values_of_run(form, None, params)["mix_uncertain"] == 0


@pytest.mark.parametrize(
    ("stage", "given"),
    [
        ("filter-centroid", {"by": "neighbours", "method": "quantile", "quantile": "0.2"}),
        ("train", {"most": "40", "negatives": "2.5"}),
    ],
)
def test_a_run_has_what_was_typed_and_its_form_shows_it_again(ctx: Context, stage: str, given: dict[str, str]) -> None:
    [run] = begun(ctx, ask(ctx, stage, given))
    params, form = state_of(ctx, run).params, form_of(ctx, stage)
    again = shown(form, values_of_run(form, None, params))
    assert {name: str(again[name]) for name in given} == given


def test_a_request_that_cannot_begin_says_why_and_is_not_tried_again(ctx: Context) -> None:
    path = put(ctx, "posts.jsonl", _TEXTS)
    number = ask(ctx, "ingest", {"file": "posts.jsonl", "source": "forum"})
    path.unlink()
    assert begun(ctx, number) == []
    with open_session(ctx.engine) as session:
        request = read_request(session, number)
    assert not request.is_waiting
    assert str(request.error).startswith("there is no file 'posts.jsonl' in ")


def test_a_stage_that_is_running_refuses_the_second_request_with_the_number_of_the_run(ctx: Context) -> None:
    first, second = ask(ctx, "train", {}), ask(ctx, "train", {})
    [run] = begun(ctx, first)
    assert begun(ctx, second) == []
    with open_session(ctx.engine) as session:
        refused = read_request(session, second)
    assert refused.runs == ()
    assert f"run {run}" in str(refused.error)


def test_a_worker_that_dies_before_it_has_settled_a_request_does_not_make_it_begin_twice(ctx: Context) -> None:
    number = ask(ctx, "train", {})
    [run] = begun(ctx, number)
    with ctx.begin() as session:
        session.execute(update(store.RunRequest).values(settled_at=None))
    assert begun(ctx, number) == []
    with open_session(ctx.engine) as session:
        request = read_request(session, number)
    assert (request.runs, request.error, request.is_waiting) == ((run,), None, False)


def test_a_request_waits_on_after_an_error_that_may_pass_and_says_what_it_was(ctx: Context) -> None:
    class Away(QueueStage):
        def plan(self, home: Any, params: Any) -> Any:
            raise LabelStudioUnavailable

    number = ask(ctx, "queue", {})
    with pytest.raises(LabelStudioUnavailable):
        list(begin(ctx, {"queue": Away()}, number))
    with open_session(ctx.engine) as session:
        request = read_request(session, number)
    assert request.is_waiting
    assert "does not answer" in str(request.error)
    # and begins when it can, without a word of it
    [run] = begun(ctx, number)
    with open_session(ctx.engine) as session:
        assert (read_request(session, number).runs, read_request(session, number).error) == ((run,), None)


def test_a_request_whose_message_was_lost_is_sent_again_and_one_that_is_withdrawn_is_not(ctx: Context) -> None:
    kept, gone = ask(ctx, "train", {}), ask(ctx, "queue", {})
    soon, later = datetime.now(UTC), datetime.now(UTC) + timedelta(minutes=2)
    minute = timedelta(minutes=1)
    assert lost_requests(ctx.engine, now=soon, resend_after=minute) == []
    assert withdraw(ctx.engine, gone, "withdrawn")
    assert not withdraw(ctx.engine, gone, "again")
    assert [request.id for request in lost_requests(ctx.engine, now=later, resend_after=minute)] == [kept]
    assert lost_requests(ctx.engine, now=later, resend_after=minute) == []
    assert begun(ctx, gone) == []


def test_what_is_asked_for_goes_to_the_queue_whose_workers_cut_it(
    engine: Engine, new_home: Path, broker_url: str
) -> None:
    home = Context(Settings(home=new_home, redis_url=broker_url))
    home.__dict__["engine"] = engine
    with client(ensure_broker(home.settings)) as broker:
        broker.flushdb()
        embed, train = start(home, "embed", {"limit": "10"}), start(home, "train", {}, by="aminah")
        [run] = begun(home, train)
        cancel_run(engine, run)
        assert resume(home, run) == 1
        retrain_now(home)
        sent = {
            (queue, message["headers"]["task"], message["headers"]["kwargsrepr"])
            for queue in ("io", "cpu")
            for message in map(json.loads, broker.lrange(queue, 0, -1))
        }
        broker.flushdb()
    assert sent == {
        ("cpu", "saring.start", f"{{'request': {embed}}}"),
        ("io", "saring.start", f"{{'request': {train}}}"),
        ("io", "saring.send", f"{{'run_id': {run}}}"),
        ("cpu", "saring.retrain", "{}"),
    }
    with open_session(engine) as session:
        assert session.scalars(select(store.Event.action)).all() == ["START_TRAINING"]
    # nobody takes them
    assert served_queues(home.settings) == frozenset()


def test_runs_are_read_for_the_feed_with_their_shards_and_the_end_of_their_log(
    ctx: Context, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pipeline")
    put(ctx, "posts.jsonl", _TEXTS)
    [run] = begun(ctx, ask(ctx, "ingest", {"file": "posts.jsonl", "source": "forum"}))
    [line] = read_lines(ctx.engine, (), None)
    assert (line.id, line.stage, line.slice, line.state, line.shards, line.log) == (
        *(run, "ingest", "forum", "running"),
        {"waiting": 1},
        0,
    )
    do(ctx, run)
    assert read_lines(ctx.engine, (), run) == []
    [line] = read_lines(ctx.engine, {run}, run)
    assert (line.is_over, line.done, line.shards, line.values()["state"]) == (True, 3, {"done": 1}, "done")
    assert line.log > 0
    # opened again, it is read though nobody knew it
    reopen_run(ctx.engine, run)
    assert [line.id for line in read_lines(ctx.engine, (), run)] == [run]


def test_the_facts_of_a_home_become_what_needs_attention(ctx: Context) -> None:
    def kinds() -> dict[str, str]:
        with open_session(ctx.engine) as session:
            items = needs_attention(read_facts(session, ctx.settings))
        return {item.kind: item.sentence for item in items if item.kind != "disk-low"}

    assert set(kinds()) == {"no-texts"}
    put(ctx, "posts.jsonl", _TEXTS)
    [run] = begun(ctx, ask(ctx, "ingest", {"file": "posts.jsonl", "source": "forum"}))
    do(ctx, run)
    assert set(kinds()) == {"no-champion", "no-vectors", "queue-empty", "no-backup"}
    # a training that can only fail: there are no labels
    [training] = begun(ctx, ask(ctx, "train", {}))
    assert do(ctx, training).state is RunState.FAILED
    assert f"run {training}" in kinds()["run-failed"]
    with open_session(ctx.engine) as session, session.begin():
        session.add(
            store.Model(
                version="sfw-1",
                purpose="sfw",
                backend="linear",
                state="rejected",
                labels=[],
                thresholds={},
                metrics={},
                artefact_hash="0",
                path="/nowhere",
                taxonomy_version="1",
                reason="worse on hate",
            )
        )
    assert kinds()["gate-rejected"].endswith("sfw-1: worse on hate")
