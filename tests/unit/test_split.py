"""Train, dev and test share no near-duplicate, and every label is in each."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.learning.sets.examples import Examples, gather
from pipeline.learning.sets.split import SplitPlan, plan_splits
from pipeline.texts.labelled import LabelledText, Split
from pipeline.texts.near_duplicates import SIMILAR, level, near_duplicate_groups, similarity

_PROSE = (
    "nasi lemak kari ayam pasar malam pagi petang hujan panas kereta bas sekolah cikgu kawan jiran kucing burung "
    "pokok bunga sungai laut gunung bukit kampung bandar kedai buku pensel meja kerusi tingkap pintu rumah taman"
)
_WORDS = _PROSE.split()
_LABELS = frozenset({"hate", "porn"})


def sentence(rng: random.Random, words: int = 14) -> str:
    return " ".join(rng.choice(_WORDS) for _ in range(words))


def near(text: str, rng: random.Random) -> str:
    """The text as somebody else would post it again: shouted, dotted, with a number, or to a friend."""
    return rng.choice((text.upper(), f"{text}!!!", f"{text} {rng.randrange(99)}", f"@kawan{rng.randrange(99)} {text}"))


def pile(seed: int, groups: int, splits: Sequence[Split | None] = (None,), copies: int = 3) -> Examples:
    rng = random.Random(seed)
    rows = []
    for _ in range(groups):
        first = sentence(rng)
        texts = {first} | {near(first, rng) for _ in range(rng.randrange(copies))}
        for text in sorted(texts):
            labels = frozenset(label for label, share in (("hate", 0.3), ("porn", 0.2)) if rng.random() < share)
            rows.append(LabelledText(text, labels=labels, not_labels=_LABELS - labels, split=rng.choice(splits)))
    rng.shuffle(rows)
    return gather(rows, ("hate", "porn"))


def straddling(examples: Examples, plan: SplitPlan) -> list[tuple[str, str]]:
    """Pairs of near-duplicates in different splits, found by comparing everything with everything."""
    placed = [(level(examples.texts[i]), name) for name in ("train", "dev", "test") for i in getattr(plan, name)]
    return [
        (one, other)
        for (one, a), (other, b) in itertools.combinations(placed, 2)
        if a != b and similarity(one, other) >= SIMILAR
    ]


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 1 << 30),
    st.sampled_from(([None], ["train"], ["train", "test"], ["train", "dev"], [None, "train", "dev", "test"])),
)
def test_near_duplicates_never_straddle(seed: int, splits: list[Split | None]) -> None:
    examples = pile(seed, 60, splits)
    plan = plan_splits(examples, seed=1)
    assert not straddling(examples, plan)
    placed = [*plan.train, *plan.dev, *plan.test]
    assert len(set(placed)) == len(placed)
    assert len(placed) + plan.leaking == len(examples)
    assert plan.sizes() == {"train": len(plan.train), "dev": len(plan.dev), "test": len(plan.test)}
    assert all(plan.sizes().values())


def test_texts_too_short_to_compare_are_near_duplicates_of_the_same_words_only() -> None:
    assert near_duplicate_groups(["Hai kau!", "hai  kau", "hai kamu", "hai kau 123"]) == [0, 0, 2, 0]


def test_near_duplicates_of_near_duplicates_are_in_one_group() -> None:
    words = " ".join(_WORDS[:30])
    chain = [words, f"{words} lagi sekali", f"{words} lagi sekali dan begitulah seterusnya"]
    assert len(set(near_duplicate_groups(chain))) == 1
    assert near_duplicate_groups([]) == []


def test_a_text_posted_a_hundred_times_is_one_group() -> None:
    rng = random.Random(5)
    texts = [sentence(rng) for _ in range(100)]
    spam = texts[0]
    mixed = [text for other in texts[1:] for text in (other, near(spam, rng))]
    groups = near_duplicate_groups(mixed)
    assert len(set(groups[1::2])) == 1
    assert len(set(groups[::2])) == 99


def test_splits_that_the_data_say_are_kept() -> None:
    examples = pile(3, 200, ["train", "train", "dev", "test"], copies=1)
    plan = plan_splits(examples, seed=1)
    for name in ("train", "dev", "test"):
        assert {examples.splits[i] for i in getattr(plan, name)} == {name}
    assert plan.sizes() == {name: list(examples.splits).count(name) for name in ("train", "dev", "test")}
    assert plan.leaking == 0
    assert plan.origin == "test as the data say; dev as the data say"


def test_a_training_text_that_a_test_text_repeats_is_left_out_and_the_test_is_whole() -> None:
    rng = random.Random(1)
    texts = [sentence(rng) for _ in range(100)]
    rows = [row(text, "train") for text in texts]
    rows += [row(f"{text}!!", "test") for text in texts[:10]]
    examples = gather(rows, ("hate",))
    plan = plan_splits(examples, seed=1)
    assert len(plan.test) == 10
    assert plan.leaking == 10
    assert not straddling(examples, plan)


def test_without_a_test_what_the_data_call_dev_judges() -> None:
    examples = pile(4, 200, ["train", "train", "dev"], copies=1)
    plan = plan_splits(examples, seed=1)
    assert {examples.splits[i] for i in plan.test} == {"dev"}
    assert len(plan.test) == list(examples.splits).count("dev")
    assert plan.dev
    assert {examples.splits[i] for i in plan.dev} == {"train"}
    assert "test is what the data call dev" in plan.origin
    assert "dev drawn from train" in plan.origin


def test_without_any_split_a_tenth_is_drawn_for_each() -> None:
    plan = plan_splits(pile(5, 1_000, copies=1), seed=1)
    assert 80 <= len(plan.test) <= 120
    assert 70 <= len(plan.dev) <= 110
    assert "test drawn from the texts (10%" in plan.origin


@pytest.mark.parametrize("seed", range(5))
def test_rare_labels_are_in_every_split(seed: int) -> None:
    rng = random.Random(seed)
    rows = [row(sentence(rng), None, "hate" if rng.random() < 0.5 else None) for _ in range(500)]
    rows += [row(sentence(rng), None, "porn") for _ in range(5)]
    # some of the rare ones have the common label too
    rows += [replace(row(sentence(rng), None, "porn"), labels=frozenset({"hate", "porn"})) for _ in range(3)]
    rng.shuffle(rows)
    examples = gather(rows, ("hate", "porn"))
    plan = plan_splits(examples, seed=seed)
    for part in (plan.train, plan.dev, plan.test):
        assert (examples.truth[list(part), 1] == 1).any()
        assert 0.35 < (examples.truth[list(part), 0] == 1).mean() < 0.65


def test_the_same_seed_draws_the_same_split_and_another_seed_another() -> None:
    examples = pile(6, 300)
    assert plan_splits(examples, seed=1) == plan_splits(examples, seed=1)
    assert set(plan_splits(examples, seed=1).test) != set(plan_splits(examples, seed=2).test)


def test_neither_the_order_of_texts_nor_that_of_labels_decides() -> None:
    rng = random.Random(9)
    # as many of one label as of the other, so that only their names can tell which counts as rarer
    rows = [row(sentence(rng), None, label) for label in ("hate", "porn", "hate porn", None) for _ in range(40)]
    examples = gather(rows, ("hate", "porn"))
    other = gather(rng.sample(rows, len(rows)), ("porn", "hate"))
    for name in ("train", "dev", "test"):
        one, two = ({e.texts[i] for i in getattr(plan_splits(e, seed=1), name)} for e in (examples, other))
        assert one == two


def test_more_texts_move_few_of_those_that_were_there() -> None:
    examples = pile(8, 600, copies=1)
    before = plan_splits(examples.take(range(500)), seed=1)
    after = plan_splits(examples, seed=1)
    assert len(set(before.test) & set(after.test)) >= len(before.test) * 0.8


def row(text: str, split: Split | None, labels: str | None = None) -> LabelledText:
    asserted = frozenset((labels or "").split())
    return LabelledText(text, labels=asserted, not_labels=_LABELS - asserted, split=split)


def test_exclusions_deny_as_in_the_ledger() -> None:
    excludes = {"hate": frozenset({"safe"}), "safe": frozenset({"hate"})}
    rows = [LabelledText("satu", labels=frozenset({"hate"})), LabelledText("dua", labels=frozenset({"safe"}))]
    both = LabelledText("tiga", labels=frozenset({"hate", "safe"}))
    assert gather([*rows, both], ("hate", "safe"), excludes).truth.tolist() == [[1, 0], [0, 1], [1, 1]]
    assert gather(rows, ("hate",), excludes).truth.tolist() == [[1], [0]]
    assert gather(rows, ("hate", "safe")).truth.tolist() == [[1, -1], [-1, 1]]
