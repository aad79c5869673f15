"""`saring review` as it is typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.store import open_session
from pipeline.store.tables.accounts import Role
from pipeline.taxonomy import load_taxonomy
from saring.accounts.people import add_account
from tests.support.commands import answered, refused, typed
from tests.support.ledger import Book

AISYAH, BALA = (RaterRef(RaterKind.HUMAN, "label-studio", str(i)) for i in (1, 2))


def say(environment: dict[str, str], *words: str) -> dict[str, Any]:
    return answered(typed(environment, "review", *words, "--json"))


@pytest.fixture
def disputed(engine: Engine, tmp_path: Path) -> Book:
    """A store with two disputes, a reviewer and a viewer."""
    book = Book(engine, load_taxonomy(), tmp_path)
    ids = book.plant(2)
    book.say(AISYAH, ids, {"hate"})
    book.say(BALA, ids, set(), {"hate"})
    with open_session(engine) as session, session.begin():
        add_account(session, "aina", Role.REVIEWER)
        add_account(session, "vis", Role.VIEWER)
    return book


def test_a_dispute_is_found_listed_settled_and_taken_back(environment: dict[str, str], disputed: Book) -> None:
    found = say(environment, "find", "--no-suspects")
    assert found["waiting"] == {"disagreement": 2, "undecided": 0, "suspect": 0, "appeal": 0}
    listed = say(environment, "list", "--limit", "1")
    [item] = listed["items"]
    assert item["why"] == ["people disagree on hate: 1 yes, 1 no"]
    # harsh texts are hidden until they are asked for
    assert item["text"] is None
    assert say(environment, "list", "--reveal")["items"][0]["text"].startswith("baris nombor")
    shown = typed(environment | {"COLUMNS": "200"}, "review", "list")
    assert "baris nombor" not in shown.stdout
    assert "people disagree on hate" in shown.stdout
    words = ("settle", item["text_id"], "--as", "aina", "--no", "Hate speech", "--reason", "meaning")
    settled = say(environment, *words)
    assert (settled["settled"], settled["repeated"]) == (["disagreement"], False)
    assert say(environment, "list")["waiting"]["disagreement"] == 1
    assert say(environment, "undo", "--as", "aina") == {"text_id": item["text_id"], "waiting": ["disagreement"]}
    assert say(environment, "undo", "--as", "aina") == {"text_id": None, "waiting": []}
    assert say(environment, "list")["waiting"]["disagreement"] == 2


def test_what_cannot_be_settled_is_refused_in_a_line(environment: dict[str, str], disputed: Book) -> None:
    say(environment, "find", "--no-suspects")
    text = say(environment, "list")["items"][0]["text_id"]
    asked = {
        ("settle", text, "--as", "vis", "--no", "hate", "--reason", "slip"): "vis is no reviewer",
        ("settle", text, "--as", "nobody", "--no", "hate", "--reason", "slip"): "there is no account",
        ("settle", text, "--as", "aina", "--no", "hate"): "nothing is settled without a reason",
        ("settle", text, "--as", "aina", "--reason", "slip"): "nothing is marked",
        ("settle", "abc", "--as", "aina", "--no", "hate", "--reason", "slip"): "'abc' is no id of a text",
        ("list", "--kind", "appeals"): "there is no kind 'appeals'",
    }
    for words, message in asked.items():
        assert message in refused(typed(environment, "review", *words), 2)
    assert say(environment, "list")["waiting"]["disagreement"] == 2


def test_an_import_cannot_be_taken_for_a_reviewer(environment: dict[str, str], engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "pasar malam sedap", "labels": ["informative"], "who": "adjudication"}\n')
    words = ("import", str(file), "--source", "kaji", "--labels-field", "labels", "--kind", "human")
    assert "is for reviewers who settle disputes" in refused(typed(environment, *words, "--rater", "adjudication"), 2)
    answered(typed(environment, *words, "--rater-field", "who", "--json"))
    with open_session(engine) as session:
        assert session.scalars(select(store.Rater.name)).all() == ["kaji/adjudication"]
