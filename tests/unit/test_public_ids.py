"""Ids of texts for the world outside: they tell texts apart, and nothing of the text."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from pipeline.store.public_ids import PublicIds

_IDS = PublicIds(b"k" * 32)
_OTHERS = PublicIds(b"l" * 32)


@given(st.uuids())
def test_an_id_leads_back_to_its_text_with_the_key_only(text_id: uuid.UUID) -> None:
    public = _IDS.of(text_id)
    assert public != text_id
    assert _IDS.text_id(public) == text_id
    assert _OTHERS.text_id(public) != text_id
    assert _OTHERS.of(text_id) != public


@given(st.uuids(), st.integers(0, 127))
def test_one_bit_of_the_text_s_id_changes_about_half_of_the_bits(text_id: uuid.UUID, bit: int) -> None:
    other = uuid.UUID(int=text_id.int ^ 1 << bit)
    changed = (_IDS.of(text_id).int ^ _IDS.of(other).int).bit_count()
    # 64 of 128 on average, by a binomial law with a standard deviation of 5.7
    assert 20 < changed < 108


@given(st.uuids(), st.uuids())
def test_an_id_from_outside_is_believed_only_for_texts_that_are_known(text_id: uuid.UUID, other: uuid.UUID) -> None:
    assert _IDS.meant(str(_IDS.of(text_id)), {text_id}) == text_id
    # tasks that were pushed before there were public ids
    assert _IDS.meant(str(text_id), {text_id}) == text_id
    assert _IDS.meant(str(_IDS.of(other)), {text_id}) == (text_id if other == text_id else None)
    for nonsense in (None, 5, "x", [], str(text_id) + "0"):
        assert _IDS.meant(nonsense, {text_id}) is None
