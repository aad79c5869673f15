"""The guides for volunteers, made from any taxonomy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given

from pipeline.taxonomy import Bilingual, Taxonomy, example_taxonomy, load_taxonomy, parse_taxonomy
from sync.project.guides import FILES, guides
from sync.project.language import Language
from tests.support.commands import typed
from tests.support.taxonomy import make_label, taxonomies, taxonomy_of

_DOCS = Path(__file__).resolve().parents[2] / "docs"
_BUILT_IN = load_taxonomy()
_BUSES = parse_taxonomy(example_taxonomy())
#: what is said only where texts may harm
_HARM = re.compile(r"Befrienders|15999|15555|blur|kabur|unpleasant|menyenangkan|harsh|kasar", re.IGNORECASE)


def test_the_guides_of_the_docs_are_those_of_the_built_in_labels() -> None:
    for name, made in guides(_BUILT_IN, "images").items():
        assert (_DOCS / name).read_text(encoding="utf-8") == made, "run `saring taxonomy guides docs --pictures images`"


@given(taxonomy=taxonomies())
def test_every_label_is_in_both_guides_with_its_key_and_no_word_of_it_becomes_markup(taxonomy: Taxonomy) -> None:
    made = guides(taxonomy)
    for language, name in FILES.items():
        for label in taxonomy:
            words = re.sub(r"\\(.)", r"\1", made[name])
            assert " ".join(language.of(label.name).split()) in words
            assert " ".join(language.of(label.definition).split()) in words
    hostile = make_label(
        "x",
        name=Bilingual(en="<b>[a](b)", ms="<b>[a](b)"),
        definition=Bilingual(en="# not a heading", ms="# not a heading"),
    )
    for text in guides(taxonomy_of([hostile])).values():
        assert "<b>" not in text and "[a](b)" not in text and "\n# not" not in text


@pytest.mark.parametrize("language", list(Language))
def test_help_lines_and_blur_are_spoken_of_only_where_there_is_harm(language: Language) -> None:
    assert _HARM.findall(guides(_BUSES)[FILES[language]]) == []
    assert {"Befrienders", "15999", "15555"} <= set(_HARM.findall(guides(_BUILT_IN)[FILES[language]]))


def test_none_of_these_is_explained_as_the_page_has_it() -> None:
    spam, ham = make_label("spam"), make_label("ham", 1, benign=True, excludes=("spam",))
    for language, words in ((Language.EN, "None of these"), (Language.MS, "Tiada satu pun")):
        assert words in guides(_BUILT_IN)[FILES[language]]
        assert words not in guides(taxonomy_of([spam, ham]))[FILES[language]]


def test_the_command_writes_both_from_a_taxonomy_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "buses.yaml"
    own.write_bytes(example_taxonomy())
    variables = {"SARING_HOME": str(tmp_path / "home"), "SARING_TAXONOMY": str(own)}
    done = typed(variables, "taxonomy", "guides", str(tmp_path / "guides"))
    assert done.returncode == 0, done.stderr
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "guides").iterdir()}
    assert written == guides(_BUSES)
