"""A better prompt, proposed from what people judged and measured beside the present one, over real HTTP."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from pipeline import store
from pipeline.errors import InputError
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.ledger.taxonomies import keep_taxonomy
from pipeline.llm.config import LlmConfig, Price, llm_config
from pipeline.raters.improve.improve import Forecast, Improvement, ImproveOptions, improve
from pipeline.raters.llm.prompt import Prompt
from pipeline.settings import Settings
from pipeline.store import open_session
from pipeline.yaml_text import read_yaml
from tests.support import llm_server
from tests.support.llm_rater import TAXONOMY, add_texts, config_of, count
from tests.support.llm_server import Exchange, LlmServer, verdict
from tests.support.waiting import until

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
_WORDS = (
    *("nasi", "teh", "bas", "hujan", "kucing", "kerja", "lampu", "pagar", "buku", "sungai"),
    *("pasar", "kelapa", "motor", "kasut", "meja", "angin", "bukit", "ikan"),
)


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with LlmServer() as server:
        server.otherwise = careless
        yield server


async def careless(exchange: Exchange) -> None:
    """Take self-mockery for harassment, unless the prompt shows a text with it that people called harmless."""
    if exchange.text.startswith("harassment: "):
        await exchange.says(json.dumps({"note": "Jokes about oneself are not harassment."}))
        return
    mocking = "bodohnya aku" in exchange.text
    _, _, worked = exchange.instructions.partition("Texts that people judged")
    learnt = "bodohnya aku" in worked
    rude = "kau bodoh" in exchange.text or (mocking and not learnt)
    await exchange.says(verdict("harassment") if rude else verdict("safe for work"))


@pytest.fixture
def judged(engine: Engine) -> list[str]:
    """Texts that people judged: insults, self-mockery and everyday talk, none like another."""
    rng = random.Random(5)
    kinds = ("kau bodoh", "bodohnya aku", "petang ini")
    texts = [f"{' '.join(rng.sample(_WORDS, 4))} {kinds[i % 3]} {' '.join(rng.sample(_WORDS, 4))}" for i in range(150)]
    ids = add_texts(engine, texts, language="ms")
    people = RaterRef(RaterKind.HUMAN, "label-studio", "7")
    verdicts = []
    for i, identity in enumerate(ids):
        asserted = frozenset({"harassment" if i % 3 == 0 else "safe for work"})
        verdicts.append(NewJudgement(identity, asserted, frozenset(TAXONOMY.keys) - asserted))
    with open_session(engine) as session, session.begin():
        keep_taxonomy(session, TAXONOMY)
        record(session, rater_id(session, people), verdicts, taxonomy_version=TAXONOMY.version)
    return texts


@pytest.fixture
def propose(engine: Engine, server: LlmServer, new_home: Path) -> Callable[..., Improvement]:
    settings = Settings(home=new_home)

    def call(config: LlmConfig | None = None, tell: Callable[[Forecast], None] = lambda _: None, **more: Any) -> Any:
        options = ImproveOptions(**more)
        return improve(config or config_of(server), settings, TAXONOMY, engine, options, now=NOW, tell=tell)

    return call


def test_a_prompt_is_proposed_measured_on_other_texts_and_adopted_by_a_line(
    engine: Engine, server: LlmServer, judged: list[str], new_home: Path, propose: Callable[..., Improvement]
) -> None:
    told: list[Forecast] = []
    before = count(engine, store.Judgement)
    result = propose(tell=told.append)
    assert len(server.requests) == result.spending.replies <= told[0].requests
    assert result.spending.tokens <= told[0].tokens
    assert result.errors["harassment"][0] > 10
    assert result.errors["harassment"][1] == 0
    assert result.notes == {"harassment": "Jokes about oneself are not harassment."}
    assert result.comparison is not None
    assert result.comparison.f1["harassment"].first.value < 0.8
    assert result.comparison.f1["harassment"].second.value == 1
    assert result.comparison.macro_f1.difference.low > 0

    assert result.file is not None
    assert result.file.parent == new_home / "prompts"
    assert result.file.stat().st_mode & 0o077 == 0
    proposal = read_yaml(result.file.read_text(encoding="utf-8"))
    assert 0 < len(proposal["examples"]) <= 12
    # what it is measured on is not in it
    shown = {example["text"] for example in proposal["examples"]}
    measured = [
        json.loads(request["messages"][1]["content"])["text"]
        for request in server.requests
        if "Texts that people judged" in request["messages"][0]["content"]
    ]
    assert measured
    assert shown.isdisjoint(measured)
    assert shown <= set(judged)
    # nothing changed by itself
    assert count(engine, store.Judgement) == before
    assert not (new_home / "raters.yaml").exists()

    asked = len(server.requests)
    again = propose()
    assert len(server.requests) == asked
    assert again.spending.replies == 0
    assert again.comparison is not None
    assert again.comparison.f1 == result.comparison.f1
    assert again.comparison.macro_f1 == result.comparison.macro_f1

    (new_home / "raters.yaml").write_text(
        f"raters:\n  stub:\n    url: {server.url}\n" + "\n".join(result.adopt[1:]) + "\n", encoding="utf-8"
    )
    adopted = llm_config(Settings(home=new_home), "stub")
    system = Prompt(TAXONOMY, adopted.prompt).system
    assert "bodohnya aku" in system
    assert 'take care: "Jokes about oneself are not harassment."' in system
    assert Prompt(TAXONOMY, adopted.prompt).version != Prompt(TAXONOMY, config_of(server).prompt).version


def test_a_budget_stops_it_and_a_larger_one_goes_on(
    server: LlmServer, judged: list[str], propose: Callable[..., Improvement]
) -> None:
    # a reply takes 120 tokens
    first = propose(most_tokens=120 * 30, notes=False)
    assert first.spending.tokens <= 120 * 30
    assert first.file is None
    assert "goes on" in (first.why or "")
    second = propose(notes=False)
    assert second.file is not None
    assert len(server.requests) == first.spending.replies + second.spending.replies
    seen = [json.dumps(request["messages"]) for request in server.requests]
    assert len(seen) == len(set(seen))
    assert len(judged) > 100


def test_a_server_that_misbehaves_costs_answers_and_no_proposal(
    server: LlmServer, judged: list[str], propose: Callable[..., Improvement]
) -> None:
    async def unreliable(exchange: Exchange) -> None:
        if exchange.text.startswith("harassment: "):
            await exchange.says("Sure! Here is what I would write about it.")
        elif exchange.text.startswith(("nasi", "teh", "bas")):
            await exchange.says("I'm sorry, but I can't help with that.")
        else:
            await careless(exchange)

    server.script = [llm_server.status(500), llm_server.truncated, llm_server.not_json]
    server.otherwise = unreliable
    result = propose()
    assert result.notes == {}
    assert result.file is not None
    assert result.unanswered["present"] == result.unanswered["proposed"]
    assert result.unanswered["present"]["refused"] > 0
    assert result.comparison is not None
    assert result.comparison.f1["harassment"].second.value < 1
    assert result.comparison.f1["harassment"].difference.value > 0


def test_without_an_error_there_is_nothing_to_propose(
    server: LlmServer, judged: list[str], new_home: Path, propose: Callable[..., Improvement]
) -> None:
    server.answer = lambda text: verdict("harassment" if "kau bodoh" in text else "safe for work")
    server.otherwise = llm_server.well
    result = propose()
    assert result.file is None
    assert "makes no error" in (result.why or "")
    assert not (new_home / "prompts").exists()
    assert len(server.requests) < len(judged) / 2


def test_a_dry_run_says_what_it_takes_and_sends_nothing(
    server: LlmServer, judged: list[str], propose: Callable[..., Improvement]
) -> None:
    told: list[Forecast] = []
    result = propose(config_of(server, price=Price(input=1, output=2)), tell=told.append, dry_run=True, limit=20)
    assert server.requests == []
    assert (told[0].lessons, told[0].exam, told[0].requests) == (20, 20, 64)
    assert told[0].cost > 0
    assert result.why == "nothing was sent"
    assert judged


def test_too_few_judged_texts_are_refused(
    engine: Engine, server: LlmServer, propose: Callable[..., Improvement]
) -> None:
    add_texts(engine, ["satu", "dua"])
    with pytest.raises(InputError, match="too few texts that people judged: 0 to learn from"):
        propose()
    assert server.requests == []


def test_killed_at_any_moment_the_same_command_goes_on(
    engine: Engine, environment: dict[str, str], server: LlmServer, judged: list[str]
) -> None:
    home = Path(environment["SARING_HOME"])
    home.joinpath("raters.yaml").write_text(f"raters:\n  stub:\n    url: {server.url}\n", encoding="utf-8")
    command = [sys.executable, "-m", "saring", "raters", "improve", "stub", "--no-notes", "--json"]
    server.script = [careless] * 40
    server.otherwise = llm_server.never
    with subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL) as process:
        until(lambda: count(engine, store.LlmReply) == 40, "what was answered is in the store")
        os.killpg(process.pid, signal.SIGKILL)
    server.otherwise = careless
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert Path(result["file"]).is_file()
    assert result["comparison"]["macro_f1"]["difference"]["low"] > 0
    assert count(engine, store.LlmReply) == 40 + result["spending"]["replies"]
    assert "to learn from" in done.stderr
    assert set(server.answered.values()) <= {1, 2}
    assert len(judged) == 150
