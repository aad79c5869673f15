"""A language model as a rater, over real HTTP: each text is judged and paid for once, whatever the server does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.errors import LlmError, LlmUnavailable, UsageError
from pipeline.judgement import RaterKind
from pipeline.llm.cache import spending
from pipeline.llm.client import find_model
from pipeline.llm.config import Price, PromptConfig
from pipeline.llm.translation.llm import LlmTranslator
from pipeline.raters.llm.rater import LlmRater
from pipeline.settings import Settings
from pipeline.store import open_session
from saring.services import ensure_worker, stop_services
from tests.support import llm_server
from tests.support.llm_rater import QUICK, TAXONOMY, add_texts, config_of, count, judge, judgements
from tests.support.llm_server import MODEL, LlmServer, verdict
from tests.support.stages import judge_texts
from tests.support.waiting import until


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with LlmServer() as server:
        yield server


def test_each_text_is_judged_by_what_the_model_says(engine: Engine, server: LlmServer) -> None:
    add_texts(engine, ["pergi mati", *(f"hari baik {n}" for n in range(60))])
    server.answer = lambda text: verdict("hate", "harassment") if "mati" in text else verdict("safe for work")
    server.latency = 0.05
    report = judge(engine, config_of(server, price=Price(input=1.0, output=2.0)))
    assert (report.rater, report.judged, report.replies, report.tokens) == ("stub", 61, 61, 61 * 120)
    assert report.cost == pytest.approx(61 * 140 / 1e6)
    assert report.asserted == {"hate": 1, "harassment": 1, "safe for work": 60}
    assert set(server.asked.values()) == {1}
    assert not any("secret" in json.dumps(request) for request in server.requests)
    [hateful] = [one for one in judgements(engine) if "hate" in one.asserted]
    assert set(hateful.denied) == set(TAXONOMY.keys) - {"hate", "harassment"}
    assert hateful.scores == {"hate": 0.9, "harassment": 0.9}
    assert hateful.explanation == "so it seems"
    with open_session(engine) as session:
        [rater] = session.scalars(select(store.Rater))
    assert (rater.kind, rater.name) == (RaterKind.LLM, "stub")
    assert server.most_under_way > 4


def test_what_was_paid_for_is_not_asked_again_even_by_another_rater(engine: Engine, server: LlmServer) -> None:
    add_texts(engine, [f"teks {n}" for n in range(20)])
    judge(engine, config_of(server))
    again = judge(engine, config_of(server))
    assert (again.judged, again.present, again.replies) == (0, 20, 0)
    other = judge(engine, config_of(server, name="other"))
    assert (other.judged, other.cached, other.replies, other.cost) == (20, 20, 0, 0.0)
    assert set(server.asked.values()) == {1}
    changed = judge(engine, config_of(server, prompt=PromptConfig(language="ms")))
    assert (changed.judged, changed.replies) == (20, 20)


def test_texts_that_look_alike_once_masked_are_asked_about_once(engine: Engine, server: LlmServer) -> None:
    ids = add_texts(engine, ["hubungi <phone>", "lain"])
    with open_session(engine) as session, session.begin():
        session.add(store.Text(id=uuid.UUID(int=7), body="hubungi 1", masked="hubungi <phone>"))
    report = judge(engine, config_of(server))
    assert (report.judged, report.replies) == (3, 2)
    assert {one.text_id for one in judgements(engine)} == {*ids, uuid.UUID(int=7)}


@pytest.mark.parametrize(
    "trouble",
    [
        llm_server.status(500),
        llm_server.status(429, **{"retry-after": "0.05"}),
        llm_server.status(503),
        llm_server.truncated,
        llm_server.reset,
        llm_server.not_json,
    ],
)
def test_what_fails_for_a_moment_is_asked_again(
    engine: Engine, server: LlmServer, trouble: llm_server.Behaviour
) -> None:
    add_texts(engine, [f"teks {n}" for n in range(8)])
    server.script = [trouble] * 3
    report = judge(engine, config_of(server))
    assert (report.judged, report.no_verdict) == (8, {})
    assert set(server.answered.values()) == {1}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (llm_server.saying("I'm sorry, but I can't help with that."), "refused"),
        (llm_server.saying(None, refusal="I will not read that"), "refused"),
        (llm_server.saying("", finish="content_filter"), "refused"),
        (llm_server.saying(""), "empty reply"),
        (llm_server.no_choices, "empty reply"),
        (llm_server.saying("It is rude."), "no JSON"),
        (llm_server.saying(verdict("spam")), "invented label"),
        (llm_server.saying('{"labels": ["hate", "har', finish="length"), "cut off"),
    ],
)
def test_what_is_no_verdict_is_recorded_as_what_it_is(
    engine: Engine, server: LlmServer, said: llm_server.Behaviour, reason: str
) -> None:
    add_texts(engine, ["teks"])
    server.otherwise = said
    report = judge(engine, config_of(server))
    assert (report.judged, report.no_verdict) == (0, {reason: 1})
    assert judgements(engine) == []
    # it was paid for, and reading it again costs nothing
    again = judge(engine, config_of(server))
    assert (again.no_verdict, again.replies, server.asked["teks"]) == ({reason: 1}, 0, 1)


@pytest.mark.parametrize(("known", "form"), [(("json_object",), "json"), ((), "text"), (("json_schema",), "schema")])
def test_a_server_is_asked_in_the_best_form_that_it_takes(
    engine: Engine, server: LlmServer, known: tuple[str, ...], form: str
) -> None:
    add_texts(engine, [f"teks {n}" for n in range(30)])
    server.otherwise = llm_server.without_forms(*known)
    assert judge(engine, config_of(server, limits=QUICK.model_copy(update={"start": 1}))).judged == 30
    with open_session(engine) as session:
        assert set(session.scalars(select(store.LlmReply.form))) == {form}
    refused = len(server.requests) - 30
    # once each by those that were under way when it was found out
    assert refused <= 16
    assert set(server.answered.values()) == {1}


def test_one_text_that_the_server_will_not_take_is_no_verdict(engine: Engine, server: LlmServer) -> None:
    add_texts(engine, ["panjang", "pendek"])

    async def behave(exchange: llm_server.Exchange) -> None:
        too_long = llm_server.status(400, "maximum context length is 10 tokens")
        await (too_long if exchange.text == "panjang" else llm_server.well)(exchange)

    server.otherwise = behave
    report = judge(engine, config_of(server))
    assert (report.judged, report.no_verdict) == (1, {"refused by the server": 1})
    assert server.asked["panjang"] == 1


def test_a_server_that_is_gone_ends_the_run_and_nothing_is_lost(engine: Engine, server: LlmServer) -> None:
    add_texts(engine, [f"teks {n}" for n in range(40)])
    server.script = [llm_server.well] * 10
    server.otherwise = llm_server.reset
    limits = QUICK.model_copy(update={"patience": 1, "breaker": 3, "attempts": 50})
    with pytest.raises(LlmUnavailable, match=r"does not answer \(connection lost\): check that it is running") as error:
        judge(engine, config_of(server, limits=limits))
    assert "\n" not in str(error.value)
    assert len(judgements(engine)) == 10
    server.otherwise = llm_server.well
    report = judge(engine, config_of(server, limits=limits))
    assert (report.present, report.judged) == (10, 30)
    assert set(server.answered.values()) == {1}


def test_a_key_that_is_refused_is_said_at_once(engine: Engine, server: LlmServer) -> None:
    add_texts(engine, ["teks"])
    server.otherwise = llm_server.status(401, "wrong key sk-very-secret")
    with pytest.raises(LlmError, match="refuses the key") as error:
        judge(engine, config_of(server))
    assert "sk-very" not in str(error.value)
    assert len(server.requests) == 1


def test_a_budget_that_is_too_small_for_one_request_says_what_one_may_take(engine: Engine, server: LlmServer) -> None:
    add_texts(engine, ["teks"])
    report = judge(engine, config_of(server), most_tokens=10)
    assert report.stopped is not None
    assert report.stopped.startswith("10 of 10 tokens are left, and one more request may take ")
    assert server.requests == []


def test_no_cost_is_kept_to_that_nobody_stated(engine: Engine, server: LlmServer) -> None:
    add_texts(engine, ["teks"])
    with pytest.raises(UsageError, match=r"the price of rater 'stub' is not known.*give its `price`"):
        judge(engine, config_of(server), most_cost=1.0)
    assert server.requests == []


def test_a_budget_stops_before_it_is_overspent_and_a_larger_one_goes_on(engine: Engine, server: LlmServer) -> None:
    add_texts(engine, [f"teks {n}" for n in range(50)])
    server.latency = 0.01
    rater = config_of(
        server, sampling={"max_tokens": 50}, prompt={"exemplars": 0, "near_misses": 0, "labels": ["safe for work"]}
    )
    report = judge(engine, rater, most_tokens=2_000)
    assert report.stopped is not None
    assert report.stopped.endswith("of 2,000 tokens are left, and one more request may take 120")
    assert 0 < report.tokens <= 2_000
    assert report.judged == report.tokens // 120 == 16
    assert judge(engine, rater, most_tokens=480).judged == 4
    total = rater.model_copy(update={"limits": QUICK.model_copy(update={"budget_tokens": 20 * 120})})
    assert judge(engine, total).judged == 0
    assert judge(engine, rater).judged == 30
    assert set(server.asked.values()) == {1}


def test_the_model_is_the_only_one_that_the_server_has(server: LlmServer) -> None:
    config = config_of(server, model=None)
    assert find_model(config).model == MODEL
    server.models = ("a", "b")
    with pytest.raises(UsageError, match=r"has 2 models \(a, b\): set SARING_LLM_MODEL"):
        find_model(config)


def test_a_prompt_may_want_the_text_translated(engine: Engine, server: LlmServer) -> None:
    add_texts(engine, ["saya suka hujan"], language="ms")
    seen: list[dict[str, Any]] = []

    async def behave(exchange: llm_server.Exchange) -> None:
        if "translate" in exchange.body["messages"][0]["content"][:20]:
            await exchange.says('{"translation": "I like rain"}')
        else:
            seen.append(json.loads(exchange.body["messages"][-1]["content"]))
            await exchange.says(verdict("safe for work"))

    server.otherwise = behave
    config = config_of(server, prompt=PromptConfig(text="both"))
    rater = LlmRater(config, TAXONOMY, engine, translator=LlmTranslator(config, engine))
    assert judge_texts(engine, rater, taxonomy=TAXONOMY).judged == 1
    assert seen == [{"text": "saya suka hujan", "translation": "I like rain"}]
    with open_session(engine) as session:
        [made] = session.scalars(select(store.Translation))
    assert (made.body, made.language) == ("I like rain", "en")
    assert made.translator.startswith("llm:stub@")


def command(environment: dict[str, str], server: LlmServer, *arguments: str) -> list[str]:
    environment["SARING_LLM_URL"] = server.url
    environment["SARING_LLM_API_KEY"] = "sk-test"
    return [sys.executable, "-m", "saring", *arguments]


def test_killed_at_any_moment_the_same_command_goes_on_and_nothing_is_paid_twice(
    engine: Engine, environment: dict[str, str], server: LlmServer
) -> None:
    add_texts(engine, [f"teks {n}" for n in range(60)])
    server.script = [llm_server.well] * 23
    server.otherwise = llm_server.never
    said = command(environment, server, "judge", "--json")
    with subprocess.Popen(said, env=environment, start_new_session=True, stdout=subprocess.DEVNULL) as process:
        until(lambda: count(engine, store.Judgement) == 23, "what was answered is in the store")
        os.killpg(process.pid, signal.SIGKILL)
    under_way = len(server.requests) - 23
    assert len(judgements(engine)) == 23
    assert under_way > 0
    server.otherwise = llm_server.well
    before = len(server.requests)
    done = subprocess.run(said, env=environment, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert (report["rater"], report["present"], report["judged"]) == ("llm", 23, 37)
    # the requests that nobody was there to hear the answer of
    assert len(server.requests) - before == 37
    assert len(judgements(engine)) == 60
    assert {request["key"] for request in server.requests} == {"Bearer sk-test"}


def test_workers_judge_with_a_language_model(
    engine: Engine, environment: dict[str, str], server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_texts(engine, [f"teks {n}" for n in range(300)], language="ms")
    home = Path(environment["SARING_HOME"])
    home.joinpath("raters.yaml").write_text(
        f"raters:\n  besar:\n    url: {server.url}\n    api_key_env: BESAR_KEY\n    limits: {{first_wait: 0.01}}\n"
    )
    environment["BESAR_KEY"] = "sk-besar"
    monkeypatch.setenv("BESAR_KEY", "sk-besar")
    settings = Settings(home=home, database_url=environment["SARING_DATABASE_URL"])
    ensure_worker(settings)
    try:
        said = [sys.executable, "-m", "saring", "judge", "--async", "--json"]
        done = subprocess.run(said, env=environment, capture_output=True, text=True, check=True)
    finally:
        stop_services(settings)
    report = json.loads(done.stdout)
    assert (report["rater"], report["judged"], report["replies"]) == ("besar", 300, 300)
    assert set(server.asked.values()) == {1}
    assert {request["key"] for request in server.requests} == {"Bearer sk-besar"}


def test_what_a_rater_took_is_known_by_its_version(engine: Engine, server: LlmServer) -> None:
    add_texts(engine, ["satu", "dua"])
    price = Price(input=1.0, output=10.0)
    judge(engine, config_of(server, price=price))
    judge(engine, config_of(server, price=price, prompt=PromptConfig(language="ms")), limit=1)
    with open_session(engine) as session:
        found = spending(session)
    # a reply is of 100 tokens in and 20 out
    assert sorted(found.values()) == [(120, pytest.approx(0.0003)), (240, pytest.approx(0.0006))]
