"""A language model as a rater behind odd servers: no reply stops a run, is lost, or is taken for what it is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from pipeline import store
from pipeline.errors import LlmError
from pipeline.llm.cache import spending
from pipeline.llm.config import Price, PromptConfig
from pipeline.raters.llm.rater import LlmRater
from pipeline.store import open_session
from tests.support import llm_server
from tests.support.llm_rater import QUICK, add_texts, config_of, count, judge
from tests.support.llm_server import LlmServer, verdict


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with LlmServer() as server:
        yield server


@pytest.mark.parametrize(
    "reply",
    [
        '{"labels": ["hate", "rekaan\\u0000baharu"], "confidence": 0.5}',
        '{"labels": ["hate", "rekaan\\ud800"], "confidence": 0.5}',
        '{"labels": ["hate"], "confidence": ' + "9" * 400 + "}",
        '{"labels": ["hate"], "explanation": "a\\u0000b\\udfff"}',
        '{"labels": ["hate"]}\0',
        "[" * 5_000,
        '{"labels": ' + "[" * 5_000,
    ],
)
def test_no_reply_stops_a_run_and_each_is_kept(engine: Engine, server: LlmServer, reply: str) -> None:
    add_texts(engine, ["aneh", "biasa"])
    server.answer = lambda text: reply if text == "aneh" else verdict("safe for work")
    report = judge(engine, config_of(server))
    assert report.judged + sum(report.no_verdict.values()) == 2
    assert count(engine, store.LlmReply) == 2
    assert judge(engine, config_of(server)).replies == 0


@pytest.mark.parametrize("finish", ["st\0op", "\ud800", "x" * 10_000])
def test_what_else_is_in_an_answer_stops_no_run_either(engine: Engine, server: LlmServer, finish: str) -> None:
    add_texts(engine, ["teks"])
    usage = {"prompt_tokens": 10**18, "completion_tokens": 10**400}
    server.otherwise = llm_server.message({"content": verdict("hate"), "refusal": "\0"}, finish=finish, usage=usage)
    report = judge(engine, config_of(server))
    assert (report.judged, report.replies, report.estimated) == (1, 1, 1)


def test_replies_are_kept_before_they_are_read(
    engine: Engine, server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_texts(engine, [f"teks {n}" for n in range(6)])

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the reader is broken")

    with monkeypatch.context() as patched:
        patched.setattr(LlmRater, "verdict", broken)
        with pytest.raises(RuntimeError):
            judge(engine, config_of(server, limits=QUICK.model_copy(update={"concurrency": 3})))
    kept = count(engine, store.LlmReply)
    assert kept > 0
    report = judge(engine, config_of(server))
    assert (report.judged, report.cached, report.replies) == (6, kept, 6 - kept)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}])
def test_a_budget_stops_a_server_that_says_nothing_of_its_use(engine: Engine, server: LlmServer, usage: object) -> None:
    add_texts(engine, [f"teks {n}" for n in range(60)])
    server.otherwise = llm_server.message({"content": verdict("safe for work")}, usage=usage)
    short = PromptConfig(exemplars=0, near_misses=0, labels=("safe for work",))
    rater = config_of(server, prompt=short, sampling={"max_tokens": 50}, price=Price(input=1.0, output=1.0))
    report = judge(engine, rater, most_tokens=6_000)
    assert report.stopped is not None
    assert 0 < report.tokens <= 6_000
    assert report.estimated == report.replies == report.judged < 60
    # the prompt alone is longer than 1,000 characters
    assert report.tokens > 250 * report.replies
    costs = judge(engine, rater, most_cost=0.004)
    assert costs.stopped is not None
    assert 0 < costs.cost <= 0.004


def test_what_was_no_answer_is_paid_for_and_asked_again(engine: Engine, server: LlmServer) -> None:
    add_texts(engine, ["teks"])
    server.otherwise = llm_server.message({"content": None, "reasoning_content": "Hmm, maybe."})
    report = judge(engine, config_of(server))
    assert (report.no_verdict, report.replies, report.tokens) == ({"no answer, only reasoning_content": 1}, 1, 120)
    server.otherwise = llm_server.well
    report = judge(engine, config_of(server))
    assert (report.judged, report.replies) == (1, 1)
    with open_session(engine) as session:
        assert sum(tokens for tokens, _ in spending(session).values()) == 240


def test_what_the_server_refuses_is_in_the_report(engine: Engine, server: LlmServer) -> None:
    add_texts(engine, [f"teks {n}" for n in range(20)])
    server.otherwise = llm_server.refusing("max_tokens", "'max_tokens' is not supported: use 'max_completion_tokens'")
    report = judge(engine, config_of(server, limits=QUICK.model_copy(update={"start": 1})))
    assert (report.judged, report.no_verdict) == (20, {})
    assert report.adapted == {"max_tokens: sent as max_completion_tokens": 1}


def test_a_server_that_refuses_all_stops_the_run(engine: Engine, server: LlmServer) -> None:
    add_texts(engine, [f"teks {n}" for n in range(40)])
    server.otherwise = llm_server.status(400, "this model is for embeddings")
    with pytest.raises(LlmError, match=r'refuses every request \(400: "this model is for embeddings"\)'):
        judge(engine, config_of(server))
    assert len(server.requests) < 40
