"""Differences between two versions of the taxonomy, as a person would tell them."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from pipeline.taxonomy import Taxonomy, load_taxonomy, parse_taxonomy, version_of
from pipeline.taxonomy.changes import compare_taxonomies, word_changes

_BEFORE = """
labels:
  - key: late
    definition: {en: The bus was late, ms: Bas lewat}
    exemplars: {en: [the bus was late again, a late bus], ms: [bas lambat betul]}
    near_misses: {en: [{text: I woke up late, why: a person was late}]}
  - key: crowded
    definition: {en: Too many people, ms: Terlalu ramai orang}
    exemplars: {en: [no seat at all]}
    hotkey: "2"
    colour: "#112233"
  - key: praise
    definition: {en: Thanks, ms: Terima kasih}
    exemplars: {en: [thank you driver]}
"""
_AFTER = """
labels:
  - key: late
    definition: {en: The bus or the train was late, ms: Bas lewat}
    exemplars: {en: [a late bus, the train came late], ms: [bas lambat betul]}
    near_misses: {en: [{text: I woke up late, why: the speaker was late}]}
    excludes: [crowded]
  - key: crowded
    definition: {en: Too many people, ms: Terlalu ramai orang}
    exemplars: {en: [no seat at all]}
    hotkey: "2"
    colour: "#112233"
    benign: false
  - key: fare
    definition: {en: The price, ms: Tambang}
    exemplars: {en: [the fare went up]}
"""
_words = st.lists(st.text(string.ascii_lowercase[:4], min_size=1, max_size=3), max_size=12).map(" ".join)


def taxonomy(text: str) -> Taxonomy:
    return parse_taxonomy(text.encode())


def test_labels_that_came_went_and_changed_are_named() -> None:
    change = compare_taxonomies(taxonomy(_BEFORE), taxonomy(_AFTER))
    assert (change.added, change.removed, change.reordered, change.is_empty) == (("fare",), ("praise",), False, False)
    assert [label.key for label in change.changed] == ["late", "crowded"]


def test_a_changed_label_says_which_words_and_examples() -> None:
    late, crowded = compare_taxonomies(taxonomy(_BEFORE), taxonomy(_AFTER)).changed
    definition, why = late.words
    assert (definition.field, definition.of) == ("definition", "en")
    assert [(piece.kind, piece.text) for piece in definition.pieces] == [
        ("same", "The bus"),
        ("added", "or the train"),
        ("same", "was late"),
    ]
    assert (why.field, why.of) == ("why", "I woke up late")
    lists = {(change.field, change.of): (change.added, change.removed) for change in late.lists}
    assert lists["exemplars", "en"] == (("the train came late",), ("the bus was late again",))
    assert lists["excludes", ""] == (("crowded",), ())
    assert ("exemplars", "ms") not in lists
    # exclusion goes both ways, so the other label changed too
    assert [(change.field, change.added) for change in crowded.lists] == [
        ("excludes", ("late",)),
        ("benign", ("false",)),
    ]


def test_a_comment_changes_the_version_and_nothing_that_is_read() -> None:
    change = compare_taxonomies(taxonomy(_BEFORE), taxonomy("# a note\n" + _BEFORE))
    assert change.before != change.after
    assert change.is_empty


def test_another_order_of_labels_is_told_apart_from_other_labels() -> None:
    first, second, third = taxonomy(_BEFORE).labels
    turned = Taxonomy(version="x", labels=(third, first, second))
    change = compare_taxonomies(taxonomy(_BEFORE), turned)
    assert (change.added, change.removed, change.changed, change.reordered) == ((), (), (), True)


@given(_words, _words)
def test_the_pieces_make_up_both_texts(before: str, after: str) -> None:
    pieces = word_changes(before, after)
    assert " ".join(piece.text for piece in pieces if piece.kind != "added") == before
    assert " ".join(piece.text for piece in pieces if piece.kind != "removed") == after


@given(_words)
def test_a_text_does_not_differ_from_itself(text: str) -> None:
    assert {piece.kind for piece in word_changes(text, text)} <= {"same"}


def test_the_version_of_a_file_is_known_without_reading_its_labels() -> None:
    assert version_of() == load_taxonomy().version
