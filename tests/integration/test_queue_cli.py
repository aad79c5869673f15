"""`saring queue` as it is typed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.store import open_session
from pipeline.texts.normalise import text_id
from tests.support.commands import typed

_HARSH = "[red]kamu semua bodoh[/red]"


def saring(environment: dict[str, str], *words: str, status: int = 0) -> str:
    """What a command prints; if it is to fail, the line in which it does."""
    done = typed(environment | {"COLUMNS": "220"}, "queue", *words)
    assert done.returncode == status, done.stderr
    assert not (status and done.stdout)
    return done.stderr if status else done.stdout


def answer(environment: dict[str, str], *words: str) -> dict[str, Any]:
    found = json.loads(saring(environment, *words, "--json"))
    assert isinstance(found, dict)
    return found


@pytest.fixture
def planted(engine: Engine) -> None:
    bodies = [f"cuaca hari ke-{i} baik di kampung" for i in range(30)]
    with open_session(engine) as session, session.begin():
        rows = [{"id": text_id(body), "body": "secret", "masked": body} for body in (*bodies, _HARSH)]
        session.execute(insert(store.Text), rows)
        who = rater_id(session, RaterRef(RaterKind.LLM, "a-model", "1"))
        record(session, who, [NewJudgement(text_id(_HARSH), frozenset({"hate"}))], taxonomy_version="t")


@pytest.mark.usefixtures("planted")
def test_a_reviewer_builds_looks_reorders_and_drops(environment: dict[str, str]) -> None:
    built = answer(
        environment, "build", "--size", "31", "--mix", "random=0.5,scarce=0.5", "--blind", "1", "--pool", "100"
    )
    assert (built["drawn"], built["harsh"], built["blind"], built["gold"]) == (31, 1, 31, 0)
    assert built["champion"] is None

    shown = answer(environment, "show", "--limit", "31")
    assert shown["waiting"] == len(shown["items"]) == 31
    places = [row["priority"] for row in shown["items"]]
    assert places == sorted(places, reverse=True)
    [harsh] = [row for row in shown["items"] if row["harsh"]]
    assert (harsh["text"], harsh["hidden"], harsh["expected"]) == (None, True, ["hate"])
    assert all(row["text"].startswith("cuaca") for row in shown["items"] if not row["hidden"])
    assert all(0 < row["inclusion_probability"] <= 1 and row["reason"] for row in shown["items"])

    hidden = saring(environment, "show", "--label", "hate")
    assert "(hidden; --reveal shows it)" in hidden
    assert "bodoh" not in hidden
    assert "1 of 31 queued texts" in hidden
    revealed = saring(environment, "show", "--label", "hate", "--reveal")
    assert _HARSH in revealed, "a text is never taken for markup"

    last = shown["items"][-1]["text_id"]
    answer(environment, "bump", last, "--first")
    assert answer(environment, "show", "--limit", "1")["items"][0]["text_id"] == last
    answer(environment, "drop", last)
    after = answer(environment, "show", "--limit", "1")
    assert after["waiting"] == 30
    assert after["items"][0]["text_id"] == shown["items"][0]["text_id"]
    again = saring(environment, "build", "--size", "31", "--pool", "100")
    assert "Queued 30 of 30 eligible texts" in again
    assert "without a vector" in again


@pytest.mark.usefixtures("planted")
def test_what_cannot_be_meant_is_refused_in_one_line(environment: dict[str, str]) -> None:
    assert "strategy 'best' is not known" in saring(environment, "build", "--mix", "best=1", status=1)
    assert "'half' is not NAME=SHARE" in saring(environment, "build", "--mix", "random=1,half", status=2)
    assert "is not the id of a text" in saring(environment, "drop", "seven", status=2)
    assert "is not waiting in the queue" in saring(environment, "bump", str(text_id("nobody")), "--last", status=1)
    assert "The queue is empty: `saring queue build` draws a new queue" in saring(environment, "show")
