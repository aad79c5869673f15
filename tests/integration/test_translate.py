"""Translation: models trained here and a server that speaks the protocol; the store's texts and whole files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from pipeline import store
from pipeline.errors import ModelError
from pipeline.llm.translation.protocol import Language
from pipeline.llm.translation.seq2seq import Seq2SeqTranslator
from pipeline.store import open_session
from tests.support.commands import answered, typed
from tests.support.llm_server import LlmServer
from tests.support.rows import jsonl
from tests.support.translation_models import PAIRS, make_nllb, make_t5

Environment = dict[str, str]
ENGLISH, MALAY = [english for english, _ in PAIRS], [malay for _, malay in PAIRS]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def nllb(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_nllb(tmp_path_factory.mktemp("models") / "nllb")


def translations(model: Path, texts: list[str], language: Language) -> tuple[dict[str, str], dict[str, int]]:
    found, failed = {}, {}
    for some in Seq2SeqTranslator(str(model)).translate(texts, language):
        found |= some.bodies
        failed |= some.failed
    return found, failed


def answer(environment: Environment, *words: str) -> dict[str, Any]:
    return answered(typed(environment, *words, "--json"))


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def stored(engine: Engine) -> int:
    with open_session(engine) as session:
        return session.execute(select(func.count()).select_from(store.Translation)).scalar_one()


def test_a_model_with_language_codes_is_told_both_languages(nllb: Path) -> None:
    assert translations(nllb, ENGLISH, "ms") == (dict(PAIRS), {})
    assert translations(nllb, MALAY, "en") == ({malay: english for english, malay in PAIRS}, {})


def test_a_t5_is_told_in_words(tmp_path: Path) -> None:
    model = make_t5(tmp_path / "t5", "terjemah ke Melayu: ")
    assert translations(model, ENGLISH[:2], "ms") == (dict(PAIRS[:2]), {})


def test_half_a_translation_is_none(tmp_path: Path) -> None:
    model = make_t5(tmp_path / "t5", "terjemah ke Melayu: ", steps=0)
    assert translations(model, ["good morning", "rain " * 600], "ms") == ({}, {"cut off": 1, "too long": 1})


def test_the_version_is_that_of_the_weights(nllb: Path, tmp_path: Path) -> None:
    one, other = Seq2SeqTranslator(str(nllb)).name, Seq2SeqTranslator(str(make_t5(tmp_path / "nllb", "", steps=0))).name
    assert one.startswith("seq2seq:nllb@")
    assert other.startswith("seq2seq:nllb@")
    assert one != other


def test_what_is_no_translation_model_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot load the translation model") as caught:
        Seq2SeqTranslator(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_labelled_set_comes_into_malay_with_its_labels(
    engine: Engine, environment: Environment, nllb: Path, tmp_path: Path
) -> None:
    rows = [
        {"id": "a", "text": ENGLISH[0], "labels": ["safe for work"], "lang": "en", "source": "set", "split": "dev"},
        # as many sets of Hugging Face's call it
        {"id": "b", "text": ENGLISH[2], "labels": ["informative", "safe for work"], "language": "en"},
        {"id": "c", "labels": ["hate"]},
        {"id": "d", "text": "rain " * 600, "labels": ["hate"], "language": "en"},
        {"id": "e", "text": "hari ini panas", "labels": ["safe for work"], "lang": "ms"},
    ]
    english, malay = tmp_path / "english.jsonl", tmp_path / "malay.jsonl"
    jsonl(english, rows)
    said = answer(
        environment, "translate", str(english), "--to", "ms", "--out", str(malay), "--with", f"seq2seq:{nllb}"
    )
    assert (said["rows"], said["translated"], said["already"], said["left_out"]) == (4, 2, 1, 1)
    assert said["failed"] == {"too long": 1}
    assert said["labels"] == {"safe for work": 3, "informative": 1}
    assert sum(said["rejected"].values()) == 1
    first, second, third = rows_of(malay)
    assert (third["id"], third["text"], "translation" in third) == ("e", "hari ini panas", False)
    assert first["text"] == MALAY[0]
    assert (first["id"], first["lang"], first["source"], first["split"]) == ("a:ms", "ms", "set", "dev")
    assert first["labels"] == ["safe for work"]
    assert first["translation"] == {"of": "a", "from": "en", "by": said["translator"]}
    assert "language" not in second
    assert (second["text"], sorted(second["labels"])) == (MALAY[2], ["informative", "safe for work"])
    assert second["translation"]["from"] == "en"
    assert stored(engine) == 2


def test_the_texts_of_the_store_are_translated_once(
    engine: Engine, environment: Environment, nllb: Path, tmp_path: Path
) -> None:
    path = tmp_path / "posts.jsonl"
    jsonl(path, [{"text": text} for text in (*MALAY, *ENGLISH)])
    assert typed(environment, "ingest", str(path), "--source", "s").returncode == 0
    words = ("translate", "--to", "en", "--with", f"seq2seq:{nllb}")
    first = answer(environment, *words)
    again = answer(environment, *words)
    # what is English already needs no translation
    assert first["translated"] >= len(MALAY)
    assert first["translated"] + first["already"] == len(MALAY) + len(ENGLISH)
    assert first["already"] > 0
    assert (again["translated"], again["present"]) == (0, first["translated"])
    with open_session(engine) as session:
        bodies = set(session.scalars(select(store.Translation.body)))
    assert bodies >= set(ENGLISH)


def test_a_model_on_a_server_stops_at_its_budget_and_goes_on(
    engine: Engine, environment: Environment, tmp_path: Path
) -> None:
    path, out = tmp_path / "english.jsonl", tmp_path / "malay.jsonl"
    jsonl(path, [{"text": f"it rains on day {n}", "labels": ["safe for work"]} for n in range(30)])
    with LlmServer() as server:
        server.answer = lambda text: json.dumps({"translation": text.replace("it rains on day", "hujan pada hari")})
        environment = environment | {"SARING_LLM_URL": server.url}
        words = ("translate", str(path), "--out", str(out))
        # a reply of the server's takes 120 tokens
        first = answer(environment, *words, "--max-tokens", "1500")
        assert 0 < first["translated"] <= 12
        assert first["translated"] + first["left_out"] == 30
        assert (sum(first["failed"].values()), first["tokens"]) == (first["left_out"], 120 * first["translated"])
        assert sum(server.answered.values()) == first["translated"]
        rest = answer(environment, *words)
        assert (rest["translated"], rest["left_out"]) == (30, 0)
        assert set(server.answered.values()) == {1}
    assert {row["text"] for row in rows_of(out)} == {f"hujan pada hari {n}" for n in range(30)}
    assert stored(engine) == 30


def test_a_set_of_which_nothing_could_be_translated_is_not_written(environment: Environment, tmp_path: Path) -> None:
    path, out = tmp_path / "english.jsonl", tmp_path / "malay.jsonl"
    jsonl(path, [{"text": "it rains today", "labels": ["safe for work"]}])
    with LlmServer() as server:
        done = typed(environment | {"SARING_LLM_URL": server.url}, "translate", str(path), "--out", str(out))
    assert done.returncode == 1
    assert "not translated: no translation in the reply: 1" in done.stdout
    assert "120 tokens" in done.stdout
    assert list(tmp_path.glob("malay*")) == []


def test_a_folder_that_is_not_there_is_not_made(environment: Environment, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "english.jsonl", [{"text": "it rains today", "labels": ["safe for work"]}])
    with LlmServer() as server:
        out = tmp_path / "mistyped" / "malay.jsonl"
        done = typed(environment | {"SARING_LLM_URL": server.url}, "translate", str(path), "--out", str(out))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "there is no folder" in done.stderr
    assert not out.parent.exists()
