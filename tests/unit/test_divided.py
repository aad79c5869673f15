"""The five texts of a week: those that divided people most, the same ones however they are read."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from sync.quality.divided import TEXTS, Ballot, Divided, monday, most_divided, start_of_week

_WEEK = date(2026, 11, 23)
_COUNTS = st.tuples(st.integers(0, 6), st.integers(0, 6))
_VOTES = st.dictionaries(st.sampled_from(["hate", "racist", "porn"]), _COUNTS, max_size=3)
_BALLOTS = st.lists(st.builds(Ballot, st.uuids(), _VOTES), max_size=14, unique_by=lambda ballot: ballot.text)


def _is_divided(ballot: Ballot) -> bool:
    return any(yes and no for yes, no in ballot.votes.values())


@given(_BALLOTS, st.randoms(use_true_random=False))
def test_the_five_do_not_depend_on_the_order_in_which_texts_are_read(ballots: list[Ballot], random: object) -> None:
    chosen = most_divided(ballots, _WEEK)
    shuffled = ballots[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    turned = [Ballot(ballot.text, dict(reversed(ballot.votes.items()))) for ballot in shuffled]
    assert most_divided(turned, _WEEK) == chosen
    assert len(chosen) == min(TEXTS, sum(map(_is_divided, ballots)))
    assert [divided.value for divided in chosen] == sorted((divided.value for divided in chosen), reverse=True)


@given(_BALLOTS)
def test_only_labels_with_a_yes_and_a_no_count(ballots: list[Ballot]) -> None:
    votes = {ballot.text: ballot.votes for ballot in ballots}
    for divided in most_divided(ballots, _WEEK, most=99):
        assert set(divided.labels) == {label for label, counts in votes[divided.text].items() if all(counts)}
        assert 0 < divided.value < 0.5


@given(_BALLOTS, st.integers(0, 13))
def test_what_is_removed_gives_its_place_to_the_next_one_and_moves_no_other(ballots: list[Ballot], number: int) -> None:
    whole = most_divided(ballots, _WEEK, most=99)
    gone = whole[number % len(whole)].text if whole else None
    rest = most_divided([ballot for ballot in ballots if ballot.text != gone], _WEEK, most=99)
    assert rest == [divided for divided in whole if divided.text != gone]


@given(_COUNTS, st.integers(2, 4))
def test_more_people_who_are_as_divided_count_for_more(counts: tuple[int, int], times: int) -> None:
    few, many = uuid.UUID(int=1), uuid.UUID(int=2)
    yes, no = counts
    ballots = [Ballot(few, {"hate": (yes, no)}), Ballot(many, {"hate": (yes * times, no * times)})]
    expected = [many, few] if yes and no else []
    assert [divided.text for divided in most_divided(ballots, _WEEK)] == expected


def test_the_more_even_the_better_then_the_more_labels_then_a_draw_that_differs_by_the_week() -> None:
    even, uneven, twice, alike = (uuid.UUID(int=number) for number in range(4))
    ballots = [
        Ballot(alike, {"hate": (4, 0), "porn": (0, 4)}),
        Ballot(uneven, {"hate": (3, 1)}),
        Ballot(even, {"hate": (2, 2)}),
        Ballot(twice, {"hate": (2, 2), "racist": (1, 3)}),
    ]
    chosen = most_divided(ballots, _WEEK)
    assert [(divided.text, divided.labels) for divided in chosen] == [
        (twice, ("hate", "racist")),
        (even, ("hate",)),
        (uneven, ("hate",)),
    ]
    assert chosen[1] == Divided(even, ("hate",), chosen[0].value)
    same = [Ballot(uuid.UUID(int=number), {"hate": (1, 1)}) for number in range(40)]
    weeks = {tuple(divided.text for divided in most_divided(same, _WEEK + timedelta(weeks=n))) for n in range(4)}
    assert len(weeks) == 4


def test_a_week_begins_on_monday_in_malaysia() -> None:
    assert monday(datetime(2026, 11, 22, 15, 59, tzinfo=UTC)) == date(2026, 11, 16)
    assert monday(datetime(2026, 11, 22, 16, 0, tzinfo=UTC)) == _WEEK
    assert start_of_week(_WEEK) == datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
