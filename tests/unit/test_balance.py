"""A most per label and a most of negatives: what stays keeps the rule, whatever the labels are."""

from __future__ import annotations

import math
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.errors import UsageError
from pipeline.learning.sets.balance import Balance, balanced, left_out
from pipeline.measure.arrays import UNKNOWN, LabelMatrix
from pipeline.sharing.dataset_balance import Balancing
from pipeline.sharing.dataset_files import SCHEMA

_KEYS = ("hate", "porn", "safe for work")
_TRUTH = arrays(np.int8, st.tuples(st.integers(0, 60), st.just(len(_KEYS))), elements=st.integers(UNKNOWN, 1))
_BALANCE = st.builds(
    Balance,
    most=st.none() | st.integers(1, 30),
    negatives=st.none() | st.floats(0.05, 5),
    seed=st.integers(0, 3),
)


def _ids(truth: LabelMatrix) -> list[bytes]:
    return [b"text %d" % i for i in range(len(truth))]


def _counts(column: LabelMatrix) -> tuple[int, int]:
    return int((column == 1).sum()), int((column == 0).sum())


@given(truth=_TRUTH, balance=_BALANCE)
def test_what_stays_keeps_the_rule_and_no_more_goes_than_must(truth: LabelMatrix, balance: Balance) -> None:
    kept = balanced(truth, _ids(truth), balance)
    # an answer stays as it was, or becomes unknown
    assert ((kept == truth) | (kept == UNKNOWN)).all()
    for column in range(len(_KEYS)):
        (before_yes, before_no), (yes, no) = _counts(truth[:, column]), _counts(kept[:, column])
        assert yes == (before_yes if balance.most is None else min(before_yes, balance.most))
        if balance.negatives is None or not yes:
            assert no == before_no
        else:
            assert no == min(before_no, math.ceil(balance.negatives * yes))
    counts = left_out(truth, kept, _KEYS)
    for i, key in enumerate(_KEYS):
        lost = counts.labels.get(key, (0, 0))
        assert np.array(_counts(truth[:, i])).tolist() == np.add(_counts(kept[:, i]), lost).tolist()


@given(truth=_TRUTH, balance=_BALANCE, order=st.randoms(use_true_random=False))
def test_the_order_of_the_texts_does_not_matter_and_again_changes_nothing(
    truth: LabelMatrix, balance: Balance, order: random.Random
) -> None:
    ids = _ids(truth)
    kept = balanced(truth, ids, balance)
    shuffled = list(range(len(truth)))
    order.shuffle(shuffled)
    again = balanced(truth[shuffled], [ids[i] for i in shuffled], balance)
    assert (again == kept[shuffled]).all()
    assert (balanced(kept, ids, balance) == kept).all()


@given(truth=_TRUTH, most=st.integers(1, 20), more=st.integers(0, 20))
def test_a_greater_most_keeps_all_that_a_smaller_one_keeps(truth: LabelMatrix, most: int, more: int) -> None:
    few, many = (balanced(truth, _ids(truth), Balance(most=n)) for n in (most, most + more))
    assert ((few == UNKNOWN) | (few == many)).all()


@given(truth=_TRUTH, balance=_BALANCE, data=st.data())
def test_preferred_answers_stay_first(truth: LabelMatrix, balance: Balance, data: st.DataObject) -> None:
    preferred = data.draw(arrays(np.bool_, truth.shape))
    kept = balanced(truth, _ids(truth), balance, preferred)
    for value in (1, 0):
        for column in range(len(_KEYS)):
            rows = truth[:, column] == value
            lost = rows & (kept[:, column] == UNKNOWN)
            if (lost & preferred[:, column]).any():
                assert not (rows & ~lost & ~preferred[:, column]).any()


@settings(max_examples=40)
@given(truth=_TRUTH, balance=_BALANCE.filter(bool), cut=st.integers(0, 60))
def test_an_export_in_batches_keeps_what_a_training_keeps(truth: LabelMatrix, balance: Balance, cut: int) -> None:
    rows = [_row(i, answers) for i, answers in enumerate(truth)]
    balancing = Balancing(balance, _KEYS)
    batches = [pa.RecordBatch.from_pylist(part, schema=SCHEMA) for part in (rows[:cut], rows[cut:])]
    for batch in batches:
        balancing.look(batch)
    found = {row["id"]: row for batch in batches for row in balancing.keep(batch).to_pylist()}
    ids = [f"t{i}" for i in range(len(truth))]
    kept = balanced(truth, [one.encode() for one in ids], balance)
    for one, before, answers in zip(ids, truth, kept, strict=True):
        if (before != answers).any() and (answers == UNKNOWN).all():
            assert one not in found
            continue
        row = found.pop(one)
        assert row["labels"] == [key for key, value in zip(_KEYS, answers, strict=True) if value == 1]
        assert row["not_labels"] == [key for key, value in zip(_KEYS, answers, strict=True) if value == 0]
        assert [d["label"] for d in row["decisions"]] == [k for k, v in zip(_KEYS, answers, strict=True) if v >= 0]
    assert not found
    told = balancing.told()
    assert told["texts_left_out"] == left_out(truth, kept, _KEYS).texts
    assert {key: (lost["yes"], lost["no"]) for key, lost in told["left_out"].items()} == dict(
        left_out(truth, kept, _KEYS).labels
    )


def _row(number: int, answers: LabelMatrix) -> dict[str, object]:
    decided = [(key, bool(value)) for key, value in zip(_KEYS, answers.tolist(), strict=True) if value != UNKNOWN]
    return {
        "id": f"t{number}",
        "text": f"text {number}",
        "lang": "ms",
        "labels": [key for key, value in decided if value],
        "not_labels": [key for key, value in decided if not value],
        "tier": "silver",
        "decisions": [
            {"label": key, "value": value, "tier": "silver", "raters": [{"kind": "llm", "name": "m"}]}
            for key, value in decided
        ],
        "sources": [],
        "licences": [],
        "split": "train",
        "taxonomy_version": "1",
    }


@pytest.mark.parametrize("wrong", [{"most": 0}, {"negatives": 0.0}, {"negatives": -1.0}, {"negatives": math.inf}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="give"):
        Balance(**wrong)  # type: ignore[arg-type]
