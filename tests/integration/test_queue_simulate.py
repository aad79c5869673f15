"""`saring queue simulate` as it is typed: from a file, and from the gold of a home."""

from __future__ import annotations

import json
import random
from pathlib import Path

from sqlalchemy import Engine, insert

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.store import open_session
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.normalise import text_id
from tests.support.commands import answered, refused, typed
from tests.support.ledger import Book

_PARTS = ("ka", "mi", "su", "pe", "to", "ra", "ni"), ("lan", "tik", "ram", "bu", "sok", "dan", "rit")
_FILLER = [first + second + third for first in _PARTS[0] for second in _PARTS[1] for third in _PARTS[0]]
AISYAH = RaterRef(RaterKind.HUMAN, "label-studio", "1")
_FEW = ("--start", "20", "--batch", "20", "--budget", "60", "--seeds", "2")


def test_a_file_is_replayed_by_rules_and_by_a_mix_and_drawn(environment: dict[str, str], tmp_path: Path) -> None:
    draw = random.Random(2)
    lines = []
    for i in range(160):
        words = draw.sample(_FILLER, 8)
        yes = i % 4 == 0
        words += ["lucah"] if yes else []
        text = " ".join(words)
        lines.append(json.dumps({"text": text, "labels": ["porn"] * yes, "not_labels": [] if yes else ["porn"]}))
    file, picture = tmp_path / "labelled.jsonl", tmp_path / "curves.svg"
    file.write_text("\n".join(lines))
    words = ("queue", "simulate", str(file), *_FEW, "--rules", "random,seek,uncertain", "--mix", "uncertain=1,random=1")
    result = answered(typed(environment, *words, "--plot", str(picture), "--json"))
    assert result["labels"] == ["porn"]
    assert list(result["curves"]) == ["random", "seek", "uncertain", "mix"]
    assert result["curves"]["seek"]["bought"] == [20, 40, 60]
    assert picture.read_bytes().startswith(b"<?xml")
    shown = typed(environment | {"COLUMNS": "150"}, "queue", "simulate", str(file), *_FEW, "--rules", "random").stdout
    assert "labels to 95%" in shown
    assert "rule 'luck' is not known" in refused(typed(environment, *words[:3], "--rules", "luck"), 2)
    assert ".png or .svg" in refused(typed(environment, *words[:3], "--plot", "curves.gif"), 2)


def test_without_a_file_the_gold_is_replayed(environment: dict[str, str], engine: Engine, tmp_path: Path) -> None:
    assert "nothing is labelled by people yet" in refused(typed(environment, "queue", "simulate"), 1)
    book = Book(engine, load_taxonomy(), tmp_path)
    bodies = [" ".join(random.Random(i).sample(_FILLER, 8)) for i in range(120)]
    ids = [text_id(body) for body in bodies]
    with open_session(engine) as session, session.begin():
        session.execute(insert(store.Text), [{"id": text_id(b), "body": b, "masked": b} for b in bodies])
    book.say(AISYAH, ids[:50], {"hate"})
    book.say(AISYAH, ids[50:], set(), {"hate"})
    result = answered(typed(environment, "queue", "simulate", *_FEW, "--rules", "random", "--label", "hate", "--json"))
    assert result["labels"] == ["hate"]
    assert result["texts"] == 120
