"""Cutting the ids: each belongs to exactly one range, whatever the number of parts."""

from __future__ import annotations

import itertools
import uuid

from hypothesis import given
from hypothesis import strategies as st

from pipeline.runs.book import add_up
from pipeline.runs.ranges import cut

_IDS = st.integers(min_value=0, max_value=(1 << 128) - 1).map(lambda number: uuid.UUID(int=number))


@given(_IDS, st.integers(min_value=1, max_value=300))
def test_each_id_lies_in_one_range(identity: uuid.UUID, parts: int) -> None:
    spans = cut(parts)
    assert len(spans) == parts
    assert sum(identity in span for span in spans) == 1


@given(st.integers(min_value=1, max_value=1 << 128), st.integers(min_value=1, max_value=50), _IDS)
def test_ids_beyond_the_end_lie_in_none(end: int, parts: int, identity: uuid.UUID) -> None:
    found = sum(identity in span for span in cut(parts, end))
    assert found == (1 if identity.int < end else 0)


def test_ranges_are_neighbours_of_like_width() -> None:
    spans = cut(7)
    assert spans[0].lower is None
    assert spans[-1].upper is None
    for one, other in itertools.pairwise(spans):
        assert one.upper == other.lower
    widths = [span.upper.int - (span.lower.int if span.lower else 0) for span in spans[:-1] if span.upper]
    assert max(widths) - min(widths) <= 1


_COUNTS = st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), max_size=3)


@given(st.lists(st.fixed_dictionaries({"judged": st.integers(0, 99), "asserted": _COUNTS}), max_size=6))
def test_counts_add_up_in_any_grouping(counts: list[dict[str, object]]) -> None:
    half = len(counts) // 2
    whole = add_up(counts)
    assert add_up([add_up(counts[:half]), add_up(counts[half:])]) == whole
    assert whole.get("judged", 0) == sum(one["judged"] for one in counts)  # type: ignore[misc]


def test_lists_follow_each_other_and_words_are_the_last() -> None:
    found = add_up(
        [{"gone": ["a"], "why": "x", "failed": {"p": "1"}}, {"gone": ["b"], "why": "y", "failed": {"q": "2"}}]
    )
    assert found == {"gone": ["a", "b"], "why": "y", "failed": {"p": "1", "q": "2"}}
