"""The labelling page made from a taxonomy: what can be ticked, by which keys, and that no word of it becomes markup."""

from __future__ import annotations

from xml.etree.ElementTree import Element

import pytest
from defusedxml import ElementTree
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import TaxonomyError
from pipeline.preannotation.label_studio_format import (
    CANT_DECIDE,
    LABELS,
    NONE_OF_THESE,
    TEXT,
    UNDECIDED,
    Shown,
    read_config,
)
from pipeline.taxonomy import Bilingual, Taxonomy, load_taxonomy
from sync.project.label_config import RESERVED_HOTKEYS, label_changes, label_config
from sync.project.language import Language
from sync.project.seal import is_sealed
from tests.support.taxonomy import make_label, taxonomies, taxonomy_named, taxonomy_of

_TAXONOMY = load_taxonomy()


def labels(config: str) -> list[Element]:
    """The choices that are labels."""
    return [
        choice
        for control in ElementTree.fromstring(config).iter("Choices")
        if control.get("name") == LABELS
        for choice in control
    ]


def choices(config: str) -> list[Element]:
    return list(ElementTree.fromstring(config).iter("Choice"))


@given(taxonomy=taxonomies())
def test_every_label_can_be_ticked_by_its_key_in_order_and_nothing_else(taxonomy: Taxonomy) -> None:
    config = label_config(taxonomy)
    shown = read_config(config)
    none = () if taxonomy.none_label else (NONE_OF_THESE,)
    assert shown == Shown({LABELS: taxonomy.keys, UNDECIDED: (*none, CANT_DECIDE)})
    assert shown.labels == taxonomy.keys
    assert is_sealed(config)


@given(taxonomy=taxonomies())
def test_names_and_definitions_are_read_as_words(taxonomy: Taxonomy) -> None:
    for label, choice in zip(taxonomy, labels(label_config(taxonomy)), strict=True):
        assert list(choice) == []
        shown = ElementTree.fromstring(f"<p>{choice.get('html')}</p>")
        assert [one.tag for one in shown] == ["small"]
        assert (shown.text or "").removesuffix(" ") == label.name.en
        assert shown[0].text == label.name.ms
        assert choice.get("hint") == " ".join(f"{label.definition.en} / {label.definition.ms}".split())


@pytest.mark.parametrize(
    "words",
    [
        '"/><Choice value="extra"/><Choice value="',
        "<script>alert(1)</script>",
        "]]></Choices></View>",
        "&lt;b&gt;",
        "Hate <img src=x onerror=alert(1)>",
        "a 'quoted' \"word\" & more",
    ],
)
def test_markup_in_a_taxonomy_stays_words(words: str) -> None:
    label = make_label(words, name=Bilingual(en=words, ms=words), definition=Bilingual(en=words, ms=words))
    config = label_config(taxonomy_of([label]))
    shown = read_config(config)
    assert shown is not None
    assert shown.labels == (words,)
    tags = {one.tag for one in ElementTree.fromstring(config).iter()}
    assert tags == {one.tag for one in ElementTree.fromstring(label_config(_TAXONOMY)).iter()}
    assert "<img" not in (choices(config)[0].get("html") or "")
    assert "<script" not in (choices(config)[0].get("html") or "")


@pytest.mark.parametrize("field", ["key", "name", "definition"])
@pytest.mark.parametrize("bad", ["\x00", "\x08", "\x1b", "\ufffe"])
def test_what_no_page_can_hold_is_named_and_not_sent(field: str, bad: str) -> None:
    words = f"two{bad}words"
    changed = {} if field == "key" else {field: Bilingual(en="fine", ms=words)}
    label = make_label(words if field == "key" else "fine", **changed)
    with pytest.raises(TaxonomyError, match=r"label '.*': .*character") as caught:
        label_config(taxonomy_of([label]))
    assert bad not in str(caught.value)
    assert "\n" not in str(caught.value)


@given(taxonomy=taxonomies())
def test_no_key_ticks_two_boxes(taxonomy: Taxonomy) -> None:
    keys = [choice.get("hotkey") or "" for choice in choices(label_config(taxonomy))]
    assert len(set(keys)) == len(keys)
    assert not RESERVED_HOTKEYS & set(keys)
    assert keys[: len(taxonomy.keys)] == [label.hotkey for label in taxonomy]


def test_a_taxonomy_with_a_label_that_means_none_has_no_second_answer_for_it() -> None:
    spam, ham = make_label("spam"), make_label("ham", 1, benign=True, excludes=("spam",))
    answers = [choice.get("value") for choice in choices(label_config(taxonomy_of([spam, ham])))]
    assert answers == ["spam", "ham", CANT_DECIDE]
    assert NONE_OF_THESE in [choice.get("value") for choice in choices(label_config(_TAXONOMY))]


@pytest.mark.parametrize("language", list(Language))
def test_the_language_that_was_chosen_comes_first(language: Language) -> None:
    config = label_config(_TAXONOMY, language)
    for label, choice in zip(_TAXONOMY, labels(config), strict=True):
        first, second = language.ordered(label.name)
        assert choice.get("html") == f"{first} <small lang='{language.other}'>{second}</small>"
    assert read_config(config) == read_config(label_config(_TAXONOMY))


@given(taxonomy=taxonomies())
def test_no_name_in_the_style_is_taken_for_the_name_of_a_tag_or_for_markup(taxonomy: Taxonomy) -> None:
    keys = taxonomy.keys
    excluding = [
        label.model_copy(update={"excludes": tuple(key for key in keys if key != label.key)}) for label in taxonomy
    ]
    style = ElementTree.fromstring(label_config(taxonomy_of(excluding))).findtext("Style") or ""
    assert "name=" not in style.replace(" ", "").replace("input[name=", "")
    assert 'name="' not in style
    assert not set("<>&") & set(style)
    assert style.count("{") == style.count("}")


def test_a_key_in_capitals_is_the_same_key() -> None:
    taxonomy = taxonomy_of([make_label("hate", hotkey="W")])
    first, *others = (choice.get("hotkey") for choice in choices(label_config(taxonomy)))
    assert first == "w"
    assert "w" not in others


@pytest.mark.parametrize("key", ["u", "U"])
def test_a_key_of_label_studio_itself_is_refused(key: str) -> None:
    with pytest.raises(TaxonomyError, match=r"label 'hate': .*hotkey '[uU]'.*give another"):
        label_config(taxonomy_of([make_label("hate", hotkey=key)]))


def test_a_task_without_reasons_or_labels_can_be_shown_and_its_text_is_blurred() -> None:
    root = ElementTree.fromstring(label_config(_TAXONOMY))
    # Label Studio refuses tasks that lack a field of an object tag
    assert {one.get("value") for one in root.iter("Text")} == {"$text"}
    assert [one.get("name") for one in root.iter("Text")] == [TEXT]
    assert all(one.get("required") in (None, "false") for one in root.iter())
    blurred = [one for one in root.iter("View") if one.get("className") == "saring-blur"]
    assert [one.tag for view in blurred for one in view] == ["Text"]
    assert "blur(" in (root.findtext("Style") or "")


def test_the_same_taxonomy_gives_the_same_page() -> None:
    assert label_config(_TAXONOMY) == label_config(load_taxonomy())
    assert label_config(taxonomy_named("a", "b")) != label_config(taxonomy_named("b", "a"))


@pytest.mark.parametrize(
    "config",
    [
        "",
        "<View>",
        "not xml",
        '<!DOCTYPE x [<!ENTITY a "aaaa">]><View><Choices name="labels"><Choice value="&a;"/></Choices></View>',
        "<View>\x00</View>",
    ],
)
def test_what_cannot_be_read_is_none(config: str) -> None:
    assert read_config(config) is None


@given(config=st.text())
def test_no_config_makes_reading_fail(config: str) -> None:
    read_config(config)


def test_what_label_studio_stores_is_read_from_a_config_that_somebody_else_wrote() -> None:
    shown = read_config(
        '<View><Choices name="labels" toName="t"><Choice value="Benci" alias="hate"/><Choice value="x">'
        '<Choice value="y"/></Choice></Choices><Choices name="mood" toName="t"><Choice value="glad"/></Choices></View>'
    )
    assert shown is not None
    assert shown.choices == {"labels": ("hate", "x", "y"), "mood": ("glad",)}
    assert read_config("<View/>") == Shown({})
    assert Shown({}).labels == ()


@given(old=st.lists(st.sampled_from("abcdef"), unique=True), new=st.lists(st.sampled_from("abcdef"), unique=True))
def test_labels_that_come_and_go_account_for_the_difference(old: list[str], new: list[str]) -> None:
    added, gone = label_changes(old, new)
    assert set(added) == set(new) - set(old)
    assert set(gone) == set(old) - set(new)
    assert list(added) == [key for key in new if key in added]
    assert list(gone) == [key for key in old if key in gone]
