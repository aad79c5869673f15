"""A search as plain values, and how alike two spellings are."""

from __future__ import annotations

import uuid

import pytest

from pipeline.errors import UsageError
from pipeline.judgement import Tier
from pipeline.search.query import MOST_WORDS, Query, Whereabouts
from pipeline.search.spelling import likeness, trigrams


def test_a_search_is_read_back_as_it_was_stored() -> None:
    query = Query(
        words='banjir "tepi sungai"',
        like=uuid.UUID(int=7),
        label="hate",
        tier=Tier.GOLD,
        language="ms",
        source="forum",
        whereabouts=Whereabouts.FREE,
    )
    assert Query.of(query.values()) == query
    assert Query.of({"words": "  banjir ", "label": "", "tier": None}) == Query(words="banjir")
    assert Query(words="banjir").values() == {"words": "banjir"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "say what to look for"),
        ({"words": "   "}, "say what to look for"),
        ({"words": "a" * (MOST_WORDS + 1)}, "has 501 characters: give at most 500"),
        ({"like": "seven"}, "'seven' is not the id of a text"),
        ({"tier": "platinum"}, "there is no tier 'platinum': give one of gold, silver"),
        ({"words": "banjir", "whereabouts": "away"}, "give one of queued, sent, judged, free"),
        ({"like": str(uuid.UUID(int=1)), "meaning": "hujan"}, "not both"),
    ],
)
def test_what_cannot_be_meant_is_refused(values: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError) as error:
        Query.of(values)
    assert said.replace("has 501", "501") in str(error.value).replace("have 501", "501")


def test_spellings_are_as_alike_as_pg_trgm_has_them() -> None:
    # select show_trgm('rumah'), similarity('rumah', 'rumha')
    assert trigrams("rumah") == {"  r", " ru", "rum", "uma", "mah", "ah "}
    assert likeness(trigrams("rumah"), trigrams("rumha")) == pytest.approx(3 / 9)
    assert likeness(trigrams("rumah"), trigrams("rumah")) == 1
