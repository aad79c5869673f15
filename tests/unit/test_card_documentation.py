"""Cards have the headings that laws, guidelines and data statements ask for, and say what is still to be written."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.models.artefact import LabelSettings, Manifest
from pipeline.sharing.dataset_card import write_card
from pipeline.sharing.dataset_counts import DatasetCounts
from pipeline.sharing.maintainer_words import FILE, KEYS, load_words, written
from pipeline.sharing.model_card import write_model_card
from pipeline.taxonomy import load_taxonomy

_ROOT = Path(__file__).resolve().parents[2]
_TEMPLATES = _ROOT / "pipeline" / "sharing" / "templates"
_TO_WRITE = re.compile(r"\*To be written by the maintainer \(`(\w+)`\)")


def plain_manifest() -> Manifest:
    return Manifest(
        version="sfw-linear-20260102-aaaa0000",
        purpose="sfw",
        backend="linear",
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
        code_version="0.1.0",
        taxonomy_version="t",
        exclusive=False,
        objective="f1",
        labels=(LabelSettings(key="harassment", slope=1, offset=0, threshold=0.5),),
        config={},
        data={},
        metrics={},
    )


def model_card(folder: Path, words: dict[str, str] | None = None) -> str:
    return write_model_card(folder, plain_manifest(), load_taxonomy(), words=words).read_text(encoding="utf-8")


def data_card(folder: Path, words: dict[str, str] | None = None) -> str:
    counts = DatasetCounts(
        rows=Counter(train=3),
        languages=Counter({("train", "ms"): 2, ("train", "en"): 1}),
        raters=Counter(human=4),
        names={"human": {"person-1", "person-2"}},
    )
    path = folder / "README.md"
    facts = {"name": "n", "taxonomy": load_taxonomy(), "counts": counts, "sources": [], "test_set": None, "hash_": "0"}
    write_card(path, **facts, withheld=2, words=words)  # type: ignore[arg-type]
    return path.read_text(encoding="utf-8")


def test_a_model_has_every_point_of_annex_four_with_its_articles(tmp_path: Path) -> None:
    card = model_card(tmp_path)
    assert "Regulation (EU) 2024/1689, Article 11(1) and Annex IV" in card
    points = [line for line in card.splitlines() if re.match(r"\| \d\. ", line)]
    assert [int(point[2]) for point in points] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    for number, article in ((5, 9), (8, 47), (9, 72)):
        assert f"(Article {article})" in points[number - 1]
    for article in (6, 10, 13, 14, 15, 53):
        assert re.search(rf"Article {article}\b", card)


def test_a_model_has_malaysias_law_and_the_seven_principles(tmp_path: Path) -> None:
    card = model_card(tmp_path)
    assert "Personal Data Protection Act 2010 (Act 709), as amended by Act A1727 of 2024" in card
    for section in ("section 6", "section 7", "section 8", "section 9", "section 10", "section 11", "section 12A"):
        assert f"({section})" in card
    principles = (
        *("Fairness", "Reliability, safety and control", "Privacy and security", "Inclusiveness", "Transparency"),
        *("Accountability", "Pursuit of human benefit and happiness"),
    )
    for principle in principles:
        assert f"\n| {principle} | " in card


def test_what_is_known_is_filled_in_and_the_rest_is_asked_for(tmp_path: Path) -> None:
    card = model_card(tmp_path)
    manifest = plain_manifest()
    assert (
        f"Version {manifest.version}, made {manifest.created_at:%Y-%m-%d} with Saring {manifest.code_version}" in card
    )
    assert set(_TO_WRITE.findall(card)) == set(_keys_of("model_documentation.md.j2"))
    words = dict.fromkeys(KEYS, "Ditulis oleh makmal | unit dua.\nBaris kedua.")
    filled = model_card(tmp_path, words)
    assert _TO_WRITE.findall(filled) == []
    # on one line of a table, in one cell of it
    assert "Ditulis oleh makmal \\| unit dua. Baris kedua." in filled


def test_a_data_set_has_a_data_statement(tmp_path: Path) -> None:
    card = data_card(tmp_path)
    headings = (
        *("Curation rationale", "Language variety", "Speaker demographic", "Annotator demographic", "Speech situation"),
        *("Text characteristics", "Recording quality", "Other", "Provenance appendix"),
    )
    assert re.findall(r"^- \*\*([^*]+)\.\*\*", card.partition("## Data statement")[2], re.MULTILINE) == list(headings)
    assert "en 1, ms 2 rows" in card
    assert "human: 2 raters, 4 decisions" in card
    assert "2 are left out" in card
    assert set(_TO_WRITE.findall(card)) == set(_keys_of("data_statement.md.j2"))
    assert _TO_WRITE.findall(data_card(tmp_path, dict.fromkeys(KEYS, "ada"))) == []


def test_every_word_has_a_place_and_every_place_a_word() -> None:
    used = {key for path in _TEMPLATES.glob("*.md.j2") for key in _keys_of(path.name)}
    assert used == set(KEYS)


def test_the_page_names_every_word() -> None:
    page = (_ROOT / "docs" / "sharing.md").read_text(encoding="utf-8")
    part = page.partition("The words are:")[2].partition("Each says")[0]
    assert re.findall(r"`(\w+)`", part) == list(KEYS)
    [block] = re.findall(r"```yaml\n(provider:.*?)```", page, re.DOTALL)
    assert set(re.findall(r"^(\w+):", block, re.MULTILINE)) <= set(KEYS)


def test_the_file_is_read(tmp_path: Path) -> None:
    assert load_words(tmp_path) == {}
    (tmp_path / FILE).write_text("provider: Makmal Bahasa\nbenefit: ''\n", encoding="utf-8")
    assert load_words(tmp_path) == {"provider": "Makmal Bahasa"}
    assert written({"provider": "Makmal Bahasa"}, "provider") == "Makmal Bahasa"


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("providr: x\n", "'providr' is not known: use provider, contact"),
        ("- provider\n", "must be lines of `key: words`"),
        ("provider: [x]\n", "provider: must be words"),
        ("provider: 'x\n", "not valid YAML"),
    ],
)
def test_a_mistake_in_it_is_one_line(tmp_path: Path, content: str, wrong: str) -> None:
    (tmp_path / FILE).write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(wrong)) as error:
        load_words(tmp_path)
    assert "\n" not in str(error.value)


def _keys_of(template: str) -> list[str]:
    return re.findall(r'"(\w+)" \| written', (_TEMPLATES / template).read_text(encoding="utf-8"))
