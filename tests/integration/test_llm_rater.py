"""Language models as raters, over HTTP: each text is judged and paid for once, whatever server and machine do."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.errors import RaterRefused, RaterUnavailable
from pipeline.ledger.rater_kind import RaterKind
from pipeline.raters.judge import JudgeReport, judge_texts
from pipeline.raters.llm.client import LLMClient, the_model
from pipeline.raters.llm.config import LLMConfig
from pipeline.raters.llm.limiter import Breaker
from pipeline.raters.llm.rater import LLMRater
from pipeline.settings import Settings
from pipeline.store import open_session
from pipeline.taxonomy import Taxonomy, load_taxonomy
from saring.services import ensure_worker, stop_services
from tests.integration.test_embed_and_judge import add_texts
from tests.integration.worker_process import until
from tests.llm_server import MODEL, LLMServer
from tests.typed import typed

Judge = Callable[..., JudgeReport]


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


@pytest.fixture
def server() -> Iterator[LLMServer]:
    with LLMServer() as server:
        yield server


@pytest.fixture
def judge(engine: Engine, server: LLMServer, taxonomy: Taxonomy) -> Judge:
    """Have the server's model judge what there is, as a new process would."""

    def call(**config: Any) -> JudgeReport:
        settings = {"name": "llm", "url": server.url, "model": MODEL} | config
        one = LLMConfig.model_validate(settings)
        rater = LLMRater(taxonomy, one, one.model or MODEL, engine)
        rater._client = LLMClient(
            one, schema=rater._prompt.schema, breaker=Breaker(failures=6, wait=0.05, probes=2), first_wait=0.01
        )
        return judge_texts(engine, rater, taxonomy_version=taxonomy.version)

    return call


def said(engine: Engine) -> dict[str, tuple[set[str], set[str], str | None]]:
    """What the ledger has, by text."""
    with open_session(engine) as session:
        texts = {row.id: row.masked for row in session.execute(select(store.Text.id, store.Text.masked))}
        return {
            texts[one.text_id]: (set(one.asserted), set(one.denied), one.explanation)
            for one in session.scalars(select(store.Judgement))
        }


def refused(variables: dict[str, str], *words: str) -> str:
    done = typed(variables, *words)
    assert done.returncode in (1, 2)
    [line] = done.stderr.strip().splitlines()
    return line


def test_each_text_is_judged_by_what_the_model_says(engine: Engine, judge: Judge, taxonomy: Taxonomy) -> None:
    add_texts(engine, ["aku benci mereka", "selamat pagi"])
    report = judge()
    assert (report.judged, report.present, report.no_verdict) == (2, 0, {})
    assert report.asserted == {"hate": 1, "safe for work": 1}
    assert report.tokens == 240
    others = set(taxonomy.keys)
    assert said(engine) == {
        "aku benci mereka": ({"hate"}, others - {"hate"}, "by a word"),
        "selamat pagi": ({"safe for work"}, others - {"safe for work"}, "by a word"),
    }
    with open_session(engine) as session:
        rater = session.scalars(select(store.Rater)).one()
        score = session.scalars(select(store.Judgement.scores)).first()
    assert (rater.kind, rater.name, rater.details["model"]) == (RaterKind.LLM, "llm", MODEL)
    assert score is not None
    assert set(score) == others


def test_only_the_masked_text_is_sent(engine: Engine, judge: Judge, server: LLMServer) -> None:
    add_texts(engine, ["hubungi [PHONE] sekarang"])
    judge()
    [asked] = server.model.asked
    assert json.loads(asked["messages"][-1]["content"]) == {"text": "hubungi [PHONE] sekarang"}
    assert "secret" not in json.dumps(asked)


def test_what_goes_wrong_for_a_moment_is_tried_again(engine: Engine, judge: Judge, server: LLMServer) -> None:
    texts = [f"teks [[{trouble}]]" for trouble in ("429", "500", "503", "cut off", "not JSON")]
    add_texts(engine, texts)
    report = judge()
    assert (report.judged, report.no_verdict) == (5, {})
    assert server.model.answered == Counter(texts)


def test_what_is_no_verdict_is_counted_by_its_name_and_costs_nothing_again(
    engine: Engine, judge: Judge, server: LLMServer
) -> None:
    odd = ["invented", "apology", "refusal", "prose", "empty", "contradiction", "no choices"]
    mended = ["fenced", "python", "unclosed", "half invented", "length"]
    add_texts(engine, [f"teks [[{one}]]" for one in (*odd, *mended, "too long", "always 500")])
    report = judge(limits={"attempts": 2})
    assert report.judged == len(mended)
    want = {
        "only invented labels": 1,
        "refused": 2,
        "no object in the reply": 1,
        "empty reply": 2,
        "labels that exclude each other": 1,
        "refused by the server (400)": 1,
        "server error 500": 1,
    }
    assert report.no_verdict == want
    found = said(engine)
    assert all(asserted == {"hate"} for asserted, _, _ in found.values())
    assert not found["teks [[half invented]]"][1]
    assert not found["teks [[length]]"][1]
    paid = Counter(server.model.answered)
    again = judge(limits={"attempts": 2})
    assert (again.judged, again.present, again.tokens) == (0, len(mended), 0)
    assert again.no_verdict == want
    assert server.model.answered == paid


@pytest.mark.parametrize(
    ("refuses", "asked"),
    [((), "json_schema"), (("json_schema",), "json_object"), (("json_schema", "json_object"), None)],
)
def test_a_server_is_asked_for_the_strictest_shape_that_it_knows(
    engine: Engine, judge: Judge, server: LLMServer, refuses: tuple[str, ...], asked: str | None
) -> None:
    server.model.refuses_shapes = refuses
    add_texts(engine, [f"teks {number}" for number in range(20)])
    assert judge().judged == 20
    shapes = [(one.get("response_format") or {}).get("type") for one in server.model.asked]
    assert Counter(shapes)[asked] == 20
    assert all(1 <= Counter(shapes)[shape] <= 2 for shape in refuses)
    assert set(shapes) == {*refuses, asked}


def test_a_server_that_is_full_gets_as_much_as_it_can_take(engine: Engine, judge: Judge, server: LLMServer) -> None:
    server.model.capacity, server.model.latency = 6, 0.01
    add_texts(engine, [f"teks {number}" for number in range(200)])
    report = judge(limits={"attempts": 20})
    assert (report.judged, report.no_verdict) == (200, {})
    assert set(server.model.answered.values()) == {1}
    refusals = len(server.model.asked) - 200
    assert 0 < refusals < 100


def test_a_budget_stops_it_and_the_next_call_goes_on(engine: Engine, judge: Judge, server: LLMServer) -> None:
    texts = [f"teks {number}" for number in range(50)]
    add_texts(engine, texts)
    first = judge(limits={"tokens": 1_200})
    assert first.stopped == "the budget of 1,200 tokens is spent (1,200)"
    assert (first.judged, first.tokens) == (10, 1_200)
    second = judge(limits={"money": 0.003}, price={"input": 1.0, "output": 2.0})
    assert second.stopped is not None
    assert (second.judged, second.cost) == (21, pytest.approx(0.00294))
    assert judge().judged == 19
    assert server.model.answered == Counter(texts)


def test_a_slow_reply_is_waited_for_only_so_long(engine: Engine, judge: Judge, server: LLMServer) -> None:
    add_texts(engine, ["teks [[slow]]", "teks lain"])
    report = judge(limits={"timeout": 0.2, "attempts": 2})
    assert (report.judged, report.no_verdict) == (1, {"timed out": 1})


def test_a_server_that_stays_away_ends_it_in_one_line_with_nothing_lost(
    engine: Engine, judge: Judge, server: LLMServer
) -> None:
    add_texts(engine, [f"teks {number}" for number in range(30)])
    server.model.down = 503
    with pytest.raises(RaterUnavailable, match="has not answered for long") as caught:
        judge()
    assert "\n" not in str(caught.value)
    assert len(server.model.answered) == 0
    server.model.down = 0
    assert judge().judged == 30


def test_a_server_that_comes_back_is_gone_on_with(engine: Engine, judge: Judge, server: LLMServer) -> None:
    add_texts(engine, [f"teks {number}" for number in range(30)])
    server.model.down, server.model.down_for = 503, 7
    assert judge().judged == 30


def test_who_is_not_let_in_is_told_so(judge: Judge, engine: Engine, server: LLMServer) -> None:
    add_texts(engine, ["teks"])
    server.model.key = "hunter2"
    with pytest.raises(RaterRefused, match="refuses the key \\(401\\): check SARING_LLM_API_KEY"):
        judge()


def test_the_model_need_not_be_named_where_there_is_one(server: LLMServer) -> None:
    config = LLMConfig(name="llm", url=server.url)
    assert the_model(config) == MODEL
    server.model.models = ("a", "b")
    with pytest.raises(RaterRefused, match=r"has several models \(a, b\): name one"):
        the_model(config)
    server.model.models = ()
    with pytest.raises(RaterRefused, match="has no model"):
        the_model(config)


def test_another_prompt_is_another_rater_and_asks_anew(engine: Engine, judge: Judge, server: LLMServer) -> None:
    add_texts(engine, ["teks"])
    assert judge().judged == 1
    assert judge(prompt={"instructions": "ms"}).judged == 1
    assert judge(sampling={"temperature": 0.5}).judged == 1
    assert server.model.answered["teks"] == 3
    with open_session(engine) as session:
        assert len(set(session.scalars(select(store.Rater.version)))) == 3


def variables(environment: dict[str, str], url: str) -> dict[str, str]:
    own = {name: environment[name] for name in ("SARING_HOME", "SARING_DATABASE_URL", "PYTHONPATH")}
    return own | {"SARING_LLM_URL": url, "COLUMNS": "200"}


def judged_by(engine: Engine) -> int:
    with open_session(engine) as session:
        return len(session.scalars(select(store.Judgement.id)).all())


def test_killed_half_way_the_same_command_pays_for_no_text_twice(
    engine: Engine, environment: dict[str, str], server: LLMServer
) -> None:
    texts = [f"teks {number}" for number in range(400)]
    add_texts(engine, texts)
    server.model.latency = 0.05
    command = [sys.executable, "-m", "saring", "judge", "--json"]
    with subprocess.Popen(command, env=environment | variables(environment, server.url)) as process:
        until(lambda: judged_by(engine) >= 40, "some are judged")
        process.send_signal(signal.SIGKILL)
    there = judged_by(engine)
    assert 40 <= there < 400
    with open_session(engine) as session:
        kept = len(session.scalars(select(store.LLMReply.id)).all())
    under_way = sum(server.model.answered.values()) - kept
    done = typed(variables(environment, server.url), "judge", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["judged"], report["present"], report["rater"]) == (400 - there, there, "llm")
    # what was on its way when it died could not be kept
    assert sum(server.model.answered.values()) - 400 <= under_way <= 2 * server.model.most_at_once
    assert judged_by(engine) == 400


def test_workers_judge_too(engine: Engine, environment: dict[str, str], server: LLMServer) -> None:
    add_texts(engine, [f"teks {number}" for number in range(60)])
    told = variables(environment, server.url)
    settings = Settings(home=Path(told["SARING_HOME"]), database_url=told["SARING_DATABASE_URL"], llm_url=server.url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SARING_LLM_URL", server.url)
        ensure_worker(settings)
    try:
        done = typed(told, "judge", "--async", "--json")
    finally:
        stop_services(settings)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["judged"], report["rater"], report["tokens"], report["stopped"]) == (60, "llm", 7_200, None)
    assert judged_by(engine) == 60


def test_raters_are_configured_by_name(engine: Engine, environment: dict[str, str], server: LLMServer) -> None:
    add_texts(engine, ["teks"])
    told = variables(environment, "") | {"OUR_KEY": "hunter2"}
    server.model.key = "hunter2"
    raters = f"raters:\n  besar:\n    url: {server.url}\n    api_key_env: OUR_KEY\n    prompt: {{instructions: ms}}\n"
    (Path(told["SARING_HOME"]) / "raters.yaml").write_text(raters)
    done = typed(told, "judge")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 texts judged by besar; 0 were before")
    assert "hunter2" not in done.stdout + done.stderr
    assert "no rater is called 'kecil'; there are bootstrap, besar" in refused(told, "judge", "--rater", "kecil")
    assert "OUR_KEY, which is not set" in refused({**told, "OUR_KEY": ""}, "judge")


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("raters: [1]", "must hold one mapping `raters:`"),
        ("raters: {a: 1}", "'a' must be a mapping with at least `url`"),
        ("raters: {a: {model: x}}", "rater 'a' cannot be used (url: Field required)"),
        ("raters: {a: {url: 'http://x', colour: red}}", "(colour: Extra inputs are not permitted)"),
        ("raters: {a: {url: 'http://x', api_key: abc}}", "'a' holds a key: put it in an environment variable"),
        ("raters: {a: {url: 'http://x', limits: {concurrency: 0}}}", "limits.concurrency: "),
        ("raters: {a: {url: 'http://x'}, b: {url: 'http://y'}}", "say which one judges, with --rater"),
        ("raters: {", "cannot be read"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_one_line(
    environment: dict[str, str], written: str, complaint: str
) -> None:
    told = variables(environment, "")
    home = Path(told["SARING_HOME"])
    (home / "raters.yaml").write_text(written)
    said_ = refused(told, "judge")
    assert complaint in said_
    assert "abc" not in said_
