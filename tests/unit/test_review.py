"""When a text needs another rater."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.quality.review import Voice, disputed_labels, still_open

_LABELS = st.sampled_from(["hate", "racist", "informative"])
VOICES = st.lists(st.none() | st.frozensets(_LABELS, min_size=1), max_size=5)
HATE, BOTH, SAFE = frozenset({"hate"}), frozenset({"hate", "racist"}), frozenset({"safe for work"})


@pytest.mark.parametrize(
    ("voices", "is_open"),
    [
        ([], False),
        ([HATE], False),
        ([None], True),
        ([HATE, HATE], False),
        ([HATE, SAFE], True),
        ([HATE, BOTH], True),
        ([HATE, None], True),
        ([None, None], True),
        ([HATE, SAFE, HATE], False),
        ([HATE, None, HATE], False),
        ([HATE, None, SAFE], True),
        ([HATE, SAFE, BOTH], True),
        ([HATE, HATE, SAFE, SAFE], True),
    ],
)
def test_a_text_is_open_until_most_of_its_raters_say_the_same(voices: list[Voice], is_open: bool) -> None:
    assert still_open(voices) is is_open


def test_labels_that_some_tick_and_others_leave_are_disputed() -> None:
    assert disputed_labels([BOTH, HATE, None]) == ("racist",)
    assert disputed_labels([HATE, SAFE]) == ("hate", "safe for work")
    assert disputed_labels([HATE, HATE]) == disputed_labels([None]) == disputed_labels([]) == ()


@given(VOICES, st.randoms())
def test_the_order_of_the_raters_does_not_matter(voices: list[Voice], shuffle: random.Random) -> None:
    other = list(voices)
    shuffle.shuffle(other)
    assert still_open(other) is still_open(voices)
    assert disputed_labels(other) == disputed_labels(voices)


@given(VOICES, st.frozensets(_LABELS, min_size=1))
def test_a_majority_closes_it(voices: list[Voice], said: frozenset[str]) -> None:
    assert not still_open([*voices, *[said] * (len(voices) + 2)])


@given(VOICES)
def test_open_texts_are_disputed_or_somebody_could_not_decide(voices: list[Voice]) -> None:
    if still_open(voices):
        assert disputed_labels(voices) or None in voices
