"""Rows of the same text become one example."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.learning.sets.examples import gather
from pipeline.texts.labelled import LabelledText, Split

_LABELS = ("hate", "porn", "violence")
_some = st.frozensets(st.sampled_from(_LABELS))
_rows = st.lists(
    st.builds(
        LabelledText,
        text=st.sampled_from(("satu dua", "tiga  empat", "lima enam")),
        labels=_some,
        not_labels=_some,
        split=st.none() | st.sampled_from(("train", "dev", "test")),
    ),
    max_size=12,
)


def row(text: str, yes: Sequence[str] = (), no: Sequence[str] = (), split: Split | None = None) -> LabelledText:
    return LabelledText(text, labels=frozenset(yes), not_labels=frozenset(no), split=split)


def test_what_no_row_says_is_unknown_not_denied() -> None:
    found = gather([row("nasi lemak", ["hate"]), row("teh tarik", [], ["hate", "porn"])], _LABELS)
    assert found.truth.tolist() == [[1, -1, -1], [0, 0, -1]]
    assert found.labels == _LABELS


def test_rows_of_one_text_add_up() -> None:
    found = gather(
        [row("Nasi  lemak", ["hate"]), row("nasi goreng", ["porn"]), row("Nasi lemak ", [], ["porn"])], _LABELS
    )
    assert found.texts == ["Nasi lemak", "nasi goreng"]
    assert found.truth.tolist() == [[1, 0, -1], [-1, 1, -1]]
    assert (found.repeated, found.disputed) == (1, 0)


def test_a_label_that_is_asserted_and_denied_is_unknown_and_counted() -> None:
    rows = [row("nasi lemak", ["hate", "porn"]), row("nasi lemak", [], ["hate"]), row("nasi lemak", ["hate"])]
    found = gather(rows, _LABELS)
    assert found.truth.tolist() == [[-1, 1, -1]]
    assert (found.repeated, found.disputed) == (2, 1)


def test_rows_that_say_nothing_of_the_labels_are_left_out() -> None:
    assert len(gather([row("nasi lemak"), row("teh tarik", ["spam"])], _LABELS)) == 0


def test_personal_data_is_masked_before_texts_are_compared() -> None:
    found = gather([row("hubungi ali@example.com", ["hate"]), row("hubungi siti@example.com", [], ["porn"])], _LABELS)
    assert found.texts == ["hubungi <email>"]
    assert found.truth.tolist() == [[1, 0, -1]]


def test_a_text_of_several_splits_is_in_the_most_protected() -> None:
    for splits, wanted in (((None, "train"), "train"), (("test", "train"), "test"), (("dev", "test", None), "test")):
        found = gather([row("nasi lemak", ["hate"], split=split) for split in splits], _LABELS)  # type: ignore[arg-type]
        assert found.splits == [wanted]


def test_some_of_the_examples_keep_what_belongs_to_them() -> None:
    rows = [LabelledText(f"kata {n}", labels=frozenset({_LABELS[i]}), language="ms") for i, n in enumerate("abc")]
    found = gather(rows, _LABELS)
    part = found.take([2, 0])
    assert part.texts == ["kata c", "kata a"]
    assert part.ids == [found.ids[2], found.ids[0]]
    assert part.truth.tolist() == [[-1, -1, 1], [1, -1, -1]]
    assert part.languages == ["ms", "ms"]
    assert len(found.take([])) == 0


@settings(deadline=None)
@given(_rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_decides_nothing(rows: list[LabelledText], rng: random.Random) -> None:
    one, other = gather(rows, _LABELS), gather(rng.sample(rows, len(rows)), _LABELS)
    assert (one.disputed, one.repeated) == (other.disputed, other.repeated)
    mine, theirs = (
        {e.ids[i]: (e.truth[i].tolist(), e.splits[i], e.texts[i]) for i in range(len(e))} for e in (one, other)
    )
    assert mine == theirs


@settings(deadline=None)
@given(_rows)
def test_the_order_of_labels_decides_nothing(rows: list[LabelledText]) -> None:
    one, other = gather(rows, _LABELS), gather(rows, _LABELS[::-1])
    assert one.truth.tolist() == other.truth[:, ::-1].tolist()
    assert one.texts == other.texts
