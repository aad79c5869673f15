"""Mapping files: what a data set's values mean is read or refused, never guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.raters.mapping import LabelMapping, MappedRow, load_mapping
from pipeline.taxonomy import Taxonomy, load_taxonomy


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


@pytest.fixture
def mapping(taxonomy: Taxonomy, tmp_path: Path) -> Any:
    """Makes a mapping of what a file says."""

    def load(content: str, labels_field: str = "class") -> LabelMapping:
        path = tmp_path / "map.yaml"
        path.write_text(content, encoding="utf-8")
        return load_mapping(path, taxonomy, labels_field)

    return load


def said(asserted: set[str] | None = None, denied: set[str] | None = None) -> MappedRow:
    return MappedRow(frozenset(asserted or ()), frozenset(denied or ()))


def test_values_assert_and_deny(mapping: Any) -> None:
    made = mapping("""
        values:
          hateful: {assert: [hate], deny: [safe for work]}
          normal: {deny: [hate]}
          unsure: {}
    """)
    assert made.verdict({"class": "hateful"}) == said({"hate"}, {"safe for work"})
    assert made.verdict({"class": "normal"}) == said(denied={"hate"})
    # a value that is mapped to nothing is known
    assert made.verdict({"class": "unsure"}) == said()
    assert made.verdict({}) == made.verdict({"class": None}) == made.verdict({"class": ""}) == said()
    assert not made.unknown


def test_a_list_of_values_adds_up_and_what_one_asserts_no_other_denies(mapping: Any) -> None:
    made = mapping("values: {a: {assert: [hate]}, b: {assert: [porn], deny: [hate]}, c: {deny: [violence]}}")
    assert made.verdict({"class": ["a", "c"]}) == said({"hate"}, {"violence"})
    assert made.verdict({"class": ["a", "b"]}) == said({"hate", "porn"})
    assert made.verdict({"class": ["a", None]}) == said({"hate"})


def test_fields_speak_beside_the_labels_field(mapping: Any) -> None:
    made = mapping("""
        values: {hateful: {assert: [hate]}, normal: {}}
        fields:
          HS_Race:
            "1": {assert: [racist]}
            "0": {deny: [racist]}
          HS_Gender:
            "1": {assert: [sexist]}
    """)
    assert made.verdict({"class": "hateful", "HS_Race": "1", "HS_Gender": "1"}) == said({"hate", "racist", "sexist"})
    assert made.verdict({"class": "normal", "HS_Race": "0"}) == said(denied={"racist"})
    assert not made.unknown
    assert set(made.read) == {"class", "not_labels", "HS_Race", "HS_Gender"}


@pytest.mark.parametrize("written", ["1", '"1"'])
@pytest.mark.parametrize("value", [1, 1.0, "1", " 1 "])
def test_a_number_is_the_same_however_it_is_written(mapping: Any, written: str, value: object) -> None:
    made = mapping(f"fields: {{HS: {{{written}: {{assert: [hate]}}}}}}")
    assert made.verdict({"HS": value}) == said({"hate"})
    assert made.verdict({"HS": 1.5}) == said()
    assert made.unknown == {"HS=1.5": 1}


def test_true_and_false_are_values(mapping: Any) -> None:
    made = mapping("fields: {toxic: {true: {assert: [hate]}, false: {deny: [hate]}}}")
    assert made.verdict({"toxic": True}) == said({"hate"})
    assert made.verdict({"toxic": False}) == said(denied={"hate"})
    assert made.verdict({"toxic": "true"}) == said({"hate"})
    # not taken for numbers
    assert made.verdict({"toxic": 1}) == said()
    assert made.unknown == {"toxic=1": 1}


def test_an_unknown_value_is_counted_and_not_guessed(mapping: Any) -> None:
    made = mapping("values: {hate: {assert: [hate]}}\nfields: {HS: {1: {assert: [hate]}}}")
    for row in ({"class": "Hates"}, {"class": "HATES"}, {"class": "hateful"}, {"class": "Hates"}, {"HS": 2}):
        assert made.verdict(row) == said()
    assert made.unknown == {"Hates": 2, "HATES": 1, "hateful": 1, "HS=2": 1}
    # with `values`, names of the taxonomy mean nothing by themselves
    assert made.verdict({"class": "violence", "not_labels": ["hate"]}) == said()


def test_capitals_tell_names_apart_only_where_both_are_names(mapping: Any) -> None:
    made = mapping("values: {Hate: {assert: [hate]}, a: {assert: [porn]}, A: {assert: [violence]}, ä: {deny: [hate]}}")
    for value, meant in (("hate", said({"hate"})), ("HATE", said({"hate"})), ("Ä", said(denied={"hate"}))):
        assert made.verdict({"class": value}) == meant
    assert (made.verdict({"class": "a"}), made.verdict({"class": "A"})) == (said({"porn"}), said({"violence"}))
    assert not made.unknown
    both = mapping("values: {Ya: {assert: [porn]}, YA: {assert: [violence]}}")
    assert both.verdict({"class": "ya"}) == said()
    assert both.unknown == {"ya": 1}


def test_without_a_file_values_are_labels_or_their_aliases(taxonomy: Taxonomy) -> None:
    made = load_mapping(None, taxonomy, "labels")
    assert made.verdict({"labels": ["hate", "Ucapan kebencian"], "not_labels": ["porn"]}) == said({"hate"}, {"porn"})
    assert made.verdict({"labels": "safe for work"}) == said({"safe for work"})
    assert made.verdict({"labels": ["happiness"], "not_labels": ["sadness", "hate"]}) == said(denied={"hate"})
    assert made.unknown == {"happiness": 1, "sadness": 1}


def test_a_label_that_a_row_asserts_and_denies_is_unknown(taxonomy: Taxonomy) -> None:
    made = load_mapping(None, taxonomy, "labels")
    assert made.verdict({"labels": ["hate", "porn"], "not_labels": ["hate"]}) == said({"porn"})


def test_labels_may_be_named_by_their_aliases(mapping: Any) -> None:
    made = mapping("values: {x: {assert: [hate_speech]}}")
    assert made.verdict({"class": "x"}) == said({"hate"})


def test_a_label_outside_the_taxonomy_is_one_line_that_names_it(mapping: Any, taxonomy: Taxonomy) -> None:
    for content in ("values: {joy: {assert: [happiness]}}", "fields: {HS: {1: {deny: [hate, happiness]}}}"):
        with pytest.raises(UsageError) as caught:
            mapping(content)
        [line] = str(caught.value).splitlines()
        assert "map.yaml" in line
        assert "'happiness' is not a label of the taxonomy" in line
        assert all(key in line for key in taxonomy.keys)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "just words",
        "- a\n- list",
        "labels: {a: {assert: [hate]}}",
        "values: {a: {assert: [hate]}}\nmore: 1",
        "values: [hate]",
        "values: hate",
        "fields: [HS]",
        "fields: {HS: hate}",
        "values: {a: hate}",
        "values: {a: [hate]}",
        "values: {a: {asserts: [hate]}}",
        "values: {a: {assert: hate}}",
        "values: {a: {assert: [1]}}",
        "values: {a: {assert: {hate: 1}}}",
        "values: {a: {assert: [hate]}, a: {deny: [hate]}}",
        "values: {a: [",
        "values: *nothing",
        "values: !!python/object:os.system {}",
        "\tvalues: x",
        "a: \x07",
        "values: {2026-02-31: {assert: [hate]}}",
    ],
)
def test_what_is_no_mapping_is_refused_in_one_line(mapping: Any, content: str) -> None:
    with pytest.raises(UsageError) as caught:
        mapping(content)
    [line] = str(caught.value).splitlines()
    assert "map.yaml" in line


def test_a_file_that_cannot_be_read_is_refused_in_one_line(taxonomy: Taxonomy, tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"values: \xff\xfe\x00\x80")
    for path in (tmp_path / "nowhere.yaml", tmp_path / "bytes.yaml", tmp_path):
        with pytest.raises(UsageError) as caught:
            load_mapping(path, taxonomy, "class")
        [line] = str(caught.value).splitlines()
        assert str(path) in line
