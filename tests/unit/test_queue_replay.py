"""Replays of a labelled set: what a rule is told, what it may choose, and what its curve says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.measure.arrays import Floats, Ints
from pipeline.queue.queries import QUERIES, Known, Query, of_mix
from pipeline.queue.replay import LabelledSet, ReplayConfig, replay
from pipeline.queue.replay_plot import plot

_SMALL = ReplayConfig(start=20, batch=20, budget=120, seeds=2)


def made_up(texts: int = 600, rare: float = 0.08, seed: int = 1) -> LabelledSet:
    """Two labels that follow from the features; the second is rare."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(texts, 6))
    truth = np.column_stack([rows[:, 0] + rows[:, 1] > 0, rows[:, 2] > np.quantile(rows[:, 2], 1 - rare)])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return LabelledSet(("hate", "porn"), rows, truth.astype(np.int8), np.arange(texts))


@pytest.mark.parametrize("name", [*QUERIES, "mix"])
def test_a_rule_chooses_the_texts_that_it_is_asked_for_each_once(name: str) -> None:
    labelled = made_up(200)
    mix = of_mix({"uncertain": 0.5, "scarce": 0.3, "random": 0.2}, labelled.features.astype(np.float32))
    rule: Query = mix if name == "mix" else QUERIES[name]
    free, bought = np.arange(50, 200), np.arange(50)
    draw = np.random.default_rng(3)
    probabilities = draw.random((150, 2))

    def learn(rows: Ints) -> Floats:
        assert set(rows.tolist()) <= set(range(50))
        return draw.random((150, 2))

    known = Known(labelled.labels, free, bought, labelled.truth[bought], probabilities, labelled.features, learn)
    chosen = rule(known, 30, np.random.default_rng(4))
    assert len(set(chosen.tolist())) == len(chosen) == 30
    assert 0 <= chosen.min() <= chosen.max() < 150


def test_the_texts_at_the_margin_are_those_near_a_half() -> None:
    labelled = made_up(110)
    p = np.column_stack([np.linspace(0, 1, 100), np.zeros(100)])
    bought = np.arange(100, 110)
    known = Known(labelled.labels, np.arange(100), bought, labelled.truth[bought], p, labelled.features, lambda _: p)
    chosen = QUERIES["margin"](known, 10, np.random.default_rng(0))
    assert set(chosen.tolist()) == set(range(45, 55))


def test_a_rare_label_is_found_with_fewer_labels_by_seeking_it() -> None:
    labelled = made_up(1_500, rare=0.03)
    seen: dict[str, int] = {}

    def counted(name: str) -> Query:
        def rule(known: Known, size: int, rng: np.random.Generator) -> Ints:
            seen[name] = max(seen.get(name, 0), int((known.truth[:, 1] == 1).sum()))
            return QUERIES[name](known, size, rng)

        return rule

    found = replay(labelled, {name: counted(name) for name in ("random", "seek")}, _SMALL)
    assert seen["seek"] > 2 * seen["random"]
    ends = {name: curve.average_precision[-1].mean for name, curve in found.curves.items()}
    assert ends["seek"] > ends["random"]


def test_a_curve_has_a_point_for_each_batch_and_the_same_seed_gives_the_same_curve() -> None:
    labelled = made_up()
    once, again = (replay(labelled, {"margin": QUERIES["margin"]}, _SMALL, seed=5) for _ in range(2))
    other = replay(labelled, {"margin": QUERIES["margin"]}, _SMALL, seed=6)
    assert once == again != other
    curve = once.curves["margin"]
    assert curve.bought == [20, 40, 60, 80, 100, 120]
    for each in (*curve.average_precision, *curve.macro_f1):
        assert each.low <= each.mean <= each.high
    assert curve.macro_f1[-1].mean > curve.macro_f1[0].mean


def test_a_rule_never_sees_a_text_that_models_are_judged_on_nor_its_copy() -> None:
    labelled = made_up(300)
    judged = np.arange(300) >= 200
    fixed = LabelledSet(labelled.labels, labelled.features, labelled.truth, labelled.groups, None, judged)
    met: set[int] = set()

    def spy(known: Known, size: int, rng: np.random.Generator) -> Ints:
        met.update(known.free.tolist(), known.bought.tolist())
        return QUERIES["random"](known, size, rng)

    replay(fixed, {"spy": spy}, _SMALL)
    assert met == set(range(200))
    groups = np.arange(300) // 3
    met.clear()
    one = ReplayConfig(start=20, batch=20, budget=60, seeds=1)
    replay(LabelledSet(labelled.labels, labelled.features, labelled.truth, groups), {"spy": spy}, one)
    assert all({3 * group, 3 * group + 1, 3 * group + 2} <= met for group in {row // 3 for row in met})


def test_when_predictions_are_stable_it_says_that_more_labels_do_not_pay() -> None:
    rows = np.random.default_rng(0).normal(size=(900, 2))
    rows[:, 0] += np.sign(rows[:, 0]) * 3
    easy = LabelledSet(("hate",), rows, (rows[:, :1] > 0).astype(np.int8), np.arange(900))
    curve = replay(easy, {"random": QUERIES["random"]}, ReplayConfig(20, 20, 300, 2)).curves["random"]
    assert curve.enough == 20
    assert curve.stop is not None
    assert curve.stop < 200
    assert curve.stop_share == pytest.approx(1, abs=0.02)
    noise = LabelledSet(("hate",), rows, np.random.default_rng(1).integers(0, 2, (900, 1)).astype(np.int8), easy.groups)
    assert replay(noise, {"random": QUERIES["random"]}, ReplayConfig(20, 20, 200, 2)).curves["random"].stop is None


@pytest.mark.parametrize(("suffix", "begins"), [(".svg", b"<?xml"), (".png", b"\x89PNG")])
def test_the_curves_are_drawn(tmp_path: Path, suffix: str, begins: bytes) -> None:
    found = replay(made_up(), {"random": QUERIES["random"]}, ReplayConfig(20, 20, 60, 1))
    plot(found, tmp_path / f"curves{suffix}")
    assert (tmp_path / f"curves{suffix}").read_bytes().startswith(begins)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="at least the start"):
        ReplayConfig(start=100, budget=50)
    with pytest.raises(UsageError, match="too few to replay"):
        replay(made_up(30), {"random": QUERIES["random"]}, ReplayConfig(start=100))
