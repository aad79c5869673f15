"""What volunteers read before they begin."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.taxonomy import Bilingual, NearMiss, load_taxonomy
from sync.project.guidelines import guidelines
from sync.project.language import Language
from sync.project.seal import is_sealed
from tests.support.taxonomy import make_label, taxonomy_of

_TAXONOMY = load_taxonomy()
_TAGS = {"div", "p", "b", "h4", "kbd", "details", "summary", "ul", "li", "i"}


class _Page(HTMLParser):
    """Tags, attributes and words of a page; whether every tag is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def test_every_label_is_named_and_defined_in_both_languages_with_its_key() -> None:
    page = _Page(guidelines(_TAXONOMY))
    assert page.open == []
    for label in _TAXONOMY:
        assert f"{label.name.en} {label.hotkey}" in page.text
        assert f"{label.name.ms} {label.hotkey}" in page.text
        for language in (label.definition.en, label.definition.ms):
            assert " ".join(language.split()) in page.text


def test_people_are_told_that_they_may_skip_or_say_that_they_cannot_decide_and_whom_to_call() -> None:
    text = _Page(guidelines(_TAXONOMY)).text
    for said in ("Can't decide", "Tak pasti", "skip", "langkau", "Befrienders", "15999", "15555"):
        assert said in text


@pytest.mark.parametrize("language", list(Language))
def test_one_language_comes_first_and_the_other_is_folded_away(language: Language) -> None:
    page = guidelines(_TAXONOMY, language)
    before, _, folded = page.partition(f'<details lang="{language.other}">')
    for label in _TAXONOMY:
        assert f"<h4>{language.of(label.name)} <kbd>" in before
        assert f"<h4>{language.other.of(label.name)} <kbd>" in folded
    assert f'<div lang="{language}"><ul>' in before


def test_none_of_these_is_spoken_of_only_where_it_can_be_ticked() -> None:
    hate = make_label("hate", 0, excludes=("fine",), benign=False)
    fine = make_label("fine", 1, excludes=("hate",), benign=True)
    assert "Tiada satu pun" in guidelines(_TAXONOMY)
    assert "Tiada satu pun" not in guidelines(taxonomy_of([hate, fine]))


def test_examples_are_folded_away_and_only_the_shortest_is_given() -> None:
    shouted = make_label(
        "hate",
        exemplars={"en": ("a much longer example of it", "short one"), "manglish": ("walao eh",)},
        near_misses={"en": (NearMiss(text="it rains", why="about the weather"),)},
    )
    page = guidelines(taxonomy_of([shouted]))
    before, _, folded = page.partition("<details><summary>Examples</summary>")
    assert "short one" in folded
    assert "short one" not in before
    assert "it rains" in folded
    assert "about the weather" in folded
    assert "a much longer example" not in page
    assert "walao" not in page


def test_what_excludes_is_named_as_people_know_it() -> None:
    clean = make_label("safe for work", 1, name=Bilingual(en="Nice", ms="Elok"), excludes=("hate",))
    hate = make_label("hate", 0, name=Bilingual(en="Hate", ms="Benci"), excludes=("safe for work",))
    text = _Page(guidelines(taxonomy_of([hate, clean]))).text
    assert "Never together with: Nice" in text and "Tidak pernah bersama: Elok" in text
    assert "Never together with: Hate" in text and "Tidak pernah bersama: Benci" in text


@given(words=st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda words: words.strip()))
def test_no_word_of_a_taxonomy_becomes_markup(words: str) -> None:
    hostile = make_label(
        "hate",
        name=Bilingual(en=words, ms=words),
        definition=Bilingual(en=words, ms=words),
        hotkey=words.strip()[0],
        exemplars={"en": (words,)},
        near_misses={"ms": (NearMiss(text=words, why=words),)},
    )
    page = _Page(guidelines(taxonomy_of([hostile])))
    assert page.tags == _TAGS
    assert page.attributes == {"class", "lang"}
    assert page.open == []
    assert " ".join(words.split()) in page.text


@pytest.mark.parametrize("words", ["<script>alert(1)</script>", "</div><h1>x", "<img src=x onerror=x>", "&lt;b&gt;"])
def test_markup_in_a_definition_is_read_as_words(words: str) -> None:
    label = make_label("hate", definition=Bilingual(en=words, ms="x"))
    page = _Page(guidelines(taxonomy_of([label])))
    assert page.tags == _TAGS - {"i"}
    assert words in page.text


def test_the_same_taxonomy_gives_the_same_page_and_another_gives_another() -> None:
    assert guidelines(_TAXONOMY) == guidelines(load_taxonomy())
    assert is_sealed(guidelines(_TAXONOMY))
    assert guidelines(taxonomy_of([make_label("hate")])) != guidelines(taxonomy_of([make_label("violence")]))
