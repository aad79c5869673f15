"""Care for volunteers: serving order, caps, and labels that somebody opted out of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import QueueError
from pipeline.queue.config import QueueConfig
from pipeline.queue.serving_order import allowed, is_harsh, priorities, serving_order
from pipeline.taxonomy import load_taxonomy

LABELS = ("hate", "porn", "safe for work")


@dataclass(frozen=True)
class Item:
    number: int
    harsh: bool
    expected: tuple[str, ...]


ITEMS = st.lists(st.tuples(st.booleans(), st.sets(st.sampled_from(LABELS))), max_size=60).map(
    lambda drawn: [Item(i, harsh, tuple(sorted(labels))) for i, (harsh, labels) in enumerate(drawn)]
)
TEXTS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=80)


def longest_run(flags: list[bool]) -> int:
    best = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        best = max(best, run)
    return best


@given(TEXTS, st.integers(1, 6))
def test_harsh_texts_never_come_many_in_a_row_while_others_are_left(texts: list[tuple[float, bool]], run: int) -> None:
    values = np.array([value for value, _ in texts])
    harsh = np.array([bad for _, bad in texts], dtype=bool)
    order = serving_order(values, harsh, run)
    assert sorted(order) == list(range(len(texts)))
    served = harsh[order].tolist()
    good = served.count(False)
    if good:
        last_good = len(served) - 1 - served[::-1].index(False)
        assert longest_run(served[:last_good]) <= run
    # the others are spread so that they last, if there are enough of them at all
    if served.count(True) <= run * (good + 1):
        assert longest_run(served) <= run
    for kind in (True, False):
        mine = values[order[harsh[order] == kind]]
        assert (np.diff(mine) <= 0).all(), "otherwise the most valuable comes first"


def test_nothing_is_reordered_where_care_does_not_ask_for_it() -> None:
    values = np.array([0.1, 0.9, 0.5, 0.3, 0.7])
    harsh = np.array([True, True, False, False, True])
    assert serving_order(values, harsh, 3).tolist() == [1, 4, 2, 3, 0]


@given(st.integers(0, 5_000))
def test_priorities_are_distinct_in_single_precision_and_fall(count: int) -> None:
    found = priorities(count).astype(np.float32)
    assert len(found) == count
    assert ((found > 0) & (found < 1)).all()
    assert (np.diff(found) < 0).all()


@given(ITEMS, st.integers(0, 20), st.integers(0, 25), st.sets(st.sampled_from(LABELS)))
def test_a_project_never_gets_more_than_its_cap_nor_what_it_opted_out_of(
    items: list[Item], cap: int, opened: int, opt_out: set[str]
) -> None:
    going = allowed(items, harsh_cap=cap, harsh_open_today=opened, opt_out=opt_out)
    assert [one.number for one in going] == sorted(one.number for one in going)
    taken = sum(one.harsh for one in going)
    assert taken == 0 or opened + taken <= cap
    assert not any(opt_out & set(one.expected) for one in going)
    # nothing is held back without need
    wanted = [one for one in items if not opt_out & set(one.expected)]
    assert [one for one in going if not one.harsh] == [one for one in wanted if not one.harsh]
    assert taken == min(max(0, cap - opened), sum(one.harsh for one in wanted))


def test_a_text_is_harsh_if_any_expected_label_is_not_benign() -> None:
    taxonomy = load_taxonomy()
    assert is_harsh(["informative", "hate"], taxonomy)
    assert not is_harsh(["informative", "safe for work"], taxonomy)
    assert not is_harsh([], taxonomy)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"size": 0}, "size is 0"),
        ({"blind_share": 1.5}, "blind_share"),
        ({"benign_share": float("nan")}, "benign_share"),
        ({"near": 0.0}, "near"),
        ({"mix": {}}, "mix"),
        ({"mix": {"random": -1.0}}, "mix"),
        ({"mix": {"random": float("nan")}}, "mix"),
        ({"mix": {"random": 0.0}}, "mix"),
    ],
)
def test_a_queue_that_cannot_be_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(QueueError, match=says):
        QueueConfig(**wrong)  # type: ignore[arg-type]


def test_shares_of_the_mix_are_taken_in_proportion() -> None:
    config = QueueConfig(mix={"uncertain": 3, "random": 1, "scarce": 0})
    assert config.shares({"uncertain", "random", "scarce"}) == {"uncertain": 0.75, "random": 0.25}
    with pytest.raises(QueueError, match=r"'uncertain'.*use random, scarce"):
        config.shares({"scarce", "random"})
