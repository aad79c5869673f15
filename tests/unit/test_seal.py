"""The seal tells what Saring wrote from what a hand changed."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.taxonomy import load_taxonomy
from sync.project.guidelines import guidelines
from sync.project.label_config import label_config
from sync.project.seal import PLACE, is_sealed, seal

_WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
_TAXONOMY = load_taxonomy()


@given(before=_WORDS, after=_WORDS)
def test_what_was_sealed_is_known_again(before: str, after: str) -> None:
    assume("saring-" not in before)
    assert is_sealed(seal(f"{before}{PLACE}{after}"))


@given(words=_WORDS)
def test_what_was_never_sealed_is_not_taken_for_it(words: str) -> None:
    assert not is_sealed(words)
    assert not is_sealed(f'<div class="{PLACE}">{words}</div>')


@pytest.mark.parametrize("made", [label_config(_TAXONOMY), guidelines(_TAXONOMY)], ids=["config", "guidelines"])
@given(data=st.data())
def test_any_edit_breaks_the_seal(made: str, data: st.DataObject) -> None:
    assert is_sealed(made)
    start = data.draw(st.integers(0, len(made)))
    end = data.draw(st.integers(start, min(len(made), start + 20)))
    put = data.draw(st.text(max_size=20))
    assume(made[start:end] != put)
    assert not is_sealed(made[:start] + put.encode("utf-8", "replace").decode() + made[end:])


def test_a_text_with_no_place_or_two_is_not_sealed() -> None:
    for text in ("nothing", PLACE + PLACE):
        with pytest.raises(AssertionError):
            seal(text)
