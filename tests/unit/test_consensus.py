"""The consensus of machines, on machines whose skill is known."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from crowdkit.aggregation import DawidSkene

from pipeline.judgement import Judgement, RaterKind, RaterRef
from pipeline.ledger.consensus.combine import combine
from pipeline.ledger.consensus.estimate import estimate
from pipeline.ledger.consensus.fit import Fit, choose
from pipeline.ledger.consensus.rule import Consensus, Method, voice_of
from pipeline.ledger.consensus.voices import families
from pipeline.ledger.consensus.votes import Votes
from pipeline.ledger.resolve import resolve
from pipeline.measure.arrays import UNKNOWN
from pipeline.measure.dawid_skene import fit_dawid_skene
from pipeline.raters.worth import RaterWorth, Spent, Worth, worth
from tests.support.machines import LABELS, Machine, simulate

#: one that knows, two of middling skill, one that says the contrary, and one that does not read
CREW = (
    Machine("expert", 0.95, 0.97),
    Machine("middling", 0.8, 0.85),
    Machine("hasty", 0.7, 0.8),
    Machine("contrary", 0.25, 0.3),
    Machine("lazy", always=LABELS.index("safe for work")),
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def crew() -> Votes:
    return simulate(rng(7), CREW)


@pytest.fixture(scope="module")
def fitted(crew: Votes) -> Fit:
    return choose(crew, {}, rng=rng())


def wrong(votes: Votes, consensus: Consensus) -> float:
    """Share of known labels that are not decided as they are."""
    known = votes.truth != UNKNOWN
    return float((combine(votes, consensus).decided != votes.truth)[known].mean())


def test_without_smoothing_it_is_crowd_kits_model() -> None:
    dice = rng(1)
    true = dice.random(2_000) < 0.15
    skill = np.array([0.9, 0.8, 0.7, 0.4])
    said = np.where(true[:, None], dice.random((2_000, 4)) < skill, dice.random((2_000, 4)) > 0.9).astype(np.int8)
    said[dice.random(said.shape) < 0.3] = UNKNOWN
    ours = fit_dawid_skene(said, smoothing=0)
    assert ours.converged
    task, worker = np.nonzero(said != UNKNOWN)
    table = pd.DataFrame({"task": task, "worker": worker, "label": said[task, worker].astype(int)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = DawidSkene(n_iter=ours.iterations, tol=-np.inf).fit(table)
    assert theirs.probas_ is not None and theirs.errors_ is not None and theirs.priors_ is not None
    assert ours.probability[theirs.probas_.index] == pytest.approx(theirs.probas_[1].to_numpy(), abs=1e-6)
    assert np.isnan(ours.probability).sum() == 2_000 - len(theirs.probas_)
    assert ours.prevalence == pytest.approx(theirs.priors_[1], abs=1e-6)
    sensitivity = [theirs.errors_.loc[(number, 1), 1] for number in range(4)]
    assert ours.sensitivity == pytest.approx(sensitivity, abs=1e-6)


def test_more_voices_than_fit_into_a_number_come_to_the_same() -> None:
    dice = rng(2)
    true = dice.random(400) < 0.3
    said = np.where(dice.random((400, 41)) < 0.8, true[:, None], ~true[:, None]).astype(np.int8)
    said[:, 20:] = UNKNOWN
    many, few = fit_dawid_skene(said), fit_dawid_skene(said[:, :20])
    assert many.probability == pytest.approx(few.probability)
    assert np.isnan(many.sensitivity[20:]).all()


def test_it_recovers_the_skill_of_the_contrary_and_the_lazy_too(fitted: Fit, crew: Votes) -> None:
    consensus, fits = estimate(crew, {})
    assert set(consensus.labels) == set(LABELS)
    assert all(fit.converged and fit.iterations > 0 for fit in fits.values())
    likely = {"hate": 0.2, "porn": 0.1, "safe for work": 0.5}
    for label, model in consensus.labels.items():
        assert model.prevalence == pytest.approx(likely[label], abs=0.04)
        for machine in CREW[:4]:
            skill = model.skills[voice_of(machine.ref)]
            assert skill.sensitivity == pytest.approx(machine.sensitivity, abs=0.08)
            assert skill.specificity == pytest.approx(machine.specificity, abs=0.05)
        assert not model.skills[voice_of(CREW[4].ref)].informative


def test_where_skills_differ_the_model_beats_the_majority_and_becomes_the_default(fitted: Fit, crew: Votes) -> None:
    assert fitted.consensus.method is Method.DAWID_SKENE
    assert fitted.contest is not None
    assert fitted.contest.macro_f1.difference.low > 0
    assert "macro F1" in fitted.why
    assert wrong(crew, fitted.consensus) < 0.5 * wrong(crew, Consensus())


@pytest.mark.parametrize(
    ("crew", "gold", "why"),
    [
        ((Machine("a"), Machine("b")), 800, "2 independent raters"),
        ((Machine("a"), *(Machine(name, covers=0.01) for name in "bc")), 800, "shared texts"),
        (CREW, 20, "too few gold texts"),
        (tuple(Machine(name, 0.85, 0.95) for name in "abc"), 800, "not better"),
    ],
    ids=["two voices", "few overlaps", "little gold", "alike in skill"],
)
def test_otherwise_the_majority_is_the_default(crew: tuple[Machine, ...], gold: int, why: str) -> None:
    found = choose(simulate(rng(3), crew, gold=gold), {}, rng=rng())
    assert found.consensus.method is Method.MAJORITY
    assert why in found.why


def test_raters_that_secretly_copy_each_other_do_not_win_the_model_its_place() -> None:
    # four that follow one poor rater, often enough to count and too seldom to be taken for one voice
    poor = Machine("poor", 0.6, 0.8)
    echoes = [replace(poor, name=f"echo {n}", copies="poor", strays=0.3) for n in range(3)]
    good = [Machine(name, 0.85, 0.95) for name in ("one", "two", "three", "four", "five")]
    votes = simulate(rng(4), [poor, *echoes, *good])
    assert families(votes, {}) == {}
    assert choose(votes, {}, rng=rng()).consensus.method is Method.MAJORITY


def test_what_is_asked_for_is_taken(crew: Votes) -> None:
    found = choose(crew, {}, choice="majority", rng=rng())
    assert (found.consensus.method, found.why) == (Method.MAJORITY, "it was requested")
    assert found.contest is not None


def test_raters_of_one_model_and_raters_that_never_differ_have_one_voice() -> None:
    twin = Machine("twin", copies="a", strays=0.01)
    crew = [Machine("a"), twin, *(Machine(name) for name in "bcd")]
    votes = simulate(rng(5), crew)
    details = {Machine(name).ref: {"model": "m-7b"} for name in "bc"} | {Machine("d").ref: {"model": "n-7b"}}
    found = families(votes, details)
    assert found == {
        "llm:a:1": "llm:a:1+twin:1",
        "llm:twin:1": "llm:a:1+twin:1",
        "llm:b:1": "llm:b:1+c:1",
        "llm:c:1": "llm:b:1+c:1",
    }
    # the twins outvote nobody: they count once
    one_to_one = [said(1, "a", yes="hate"), said(2, "twin", yes="hate"), said(3, "d", no="hate")]
    assert resolve(one_to_one, consensus=Consensus())["hate"].value is True
    assert resolve(one_to_one, consensus=Consensus(families=found))["hate"].value is None


def said(id_: int, name: str, *, yes: str = "", no: str = "") -> Judgement:
    split = [frozenset(part for part in text.split(",") if part) for text in (yes, no)]
    return Judgement(id_, RaterRef(RaterKind.LLM, name, "1"), *split)


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize(
    "family", [{}, {"llm:expert:1": "llm:both", "llm:hasty:1": "llm:both"}], ids=["alone", "family"]
)
def test_many_texts_at_once_are_decided_as_resolve_decides_each(
    fitted: Fit, method: Method, family: dict[str, str]
) -> None:
    late = Machine("late", 0.6, 0.7, covers=0.6)
    stand_in = Machine("stand-in", 0.6, 0.7, kind=RaterKind.BOOTSTRAP)
    crew = [replace(one, covers=0.4) for one in CREW]
    votes = simulate(rng(6), [*crew, late, stand_in], texts=300)
    # some labels are passed over
    votes.heard[rng(8).random(votes.heard.shape) < 0.3] = UNKNOWN
    models = dict(estimate(simulate(rng(7), CREW), family)[0].labels)
    # one so rare that its prevalence alone would overrule an assertion
    models["hate"] = replace(models["hate"], prevalence=0.001)
    consensus = Consensus(method, {key: models[key] for key in LABELS[:2]}, family)
    together = combine(votes, consensus).decided
    for text in range(votes.texts):
        pile = []
        for row in np.flatnonzero(votes.text == text):
            word = votes.heard[row]
            yes, no = (frozenset(LABELS[i] for i in np.flatnonzero(word == value)) for value in (1, 0))
            pile.append(Judgement(int(row), votes.raters[votes.rater[row]], yes, no))
        decisions = resolve(pile, consensus=consensus)
        one_by_one = [decisions[label].value if label in decisions else None for label in LABELS]
        assert [None if v == UNKNOWN else bool(v) for v in together[text]] == one_by_one


def worth_of(votes: Votes, consensus: Consensus, **spent: Spent) -> dict[str, RaterWorth]:
    by_ref = {ref: spent[ref.name] for ref in votes.raters if ref.name in spent}
    return {one.name: one for one in worth(votes, consensus, by_ref)}


def test_who_is_worth_paying_for(fitted: Fit, crew: Votes) -> None:
    found = worth_of(crew, fitted.consensus, expert=Spent(3_000, cost=1.2))
    assert found["expert"].verdict is Worth.WORTH
    assert found["expert"].words.startswith("worth paying for: macro F1 +")
    assert found["expert"].words.endswith(", for 0.40 per 1,000 texts")
    assert found["lazy"].verdict is Worth.NOTHING_NEW
    assert found["lazy"].words.startswith("adds nothing that the others do not: macro F1 ")
    for machine in CREW[:4]:
        for skill in found[machine.name].labels.values():
            assert skill.sensitivity is not None and skill.specificity is not None
            assert skill.sensitivity.low - 0.03 <= machine.sensitivity <= skill.sensitivity.high + 0.03
            assert skill.specificity.low - 0.03 <= machine.specificity <= skill.specificity.high + 0.03
    lazy = found["lazy"].labels
    assert lazy["hate"].sensitivity is not None and lazy["hate"].sensitivity.value == 0
    assert lazy["hate"].specificity is not None and lazy["hate"].specificity.value == 1


def test_under_a_majority_the_contrary_makes_it_worse() -> None:
    crew = [*(Machine(name, 0.8, 0.85) for name in "abc"), Machine("contrary", 0.2, 0.2)]
    found = worth_of(simulate(rng(11), crew), Consensus())
    assert found["contrary"].verdict is Worth.HARMFUL
    assert found["contrary"].words.startswith("makes it worse: macro F1 -")


def test_too_little_gold_is_said_and_nothing_else() -> None:
    votes = simulate(rng(9), CREW, gold=12)
    assert {one.words for one in worth_of(votes, Consensus()).values()} == {"too few gold texts to tell (n=12)"}
    alone = simulate(rng(9), CREW[:1])
    assert worth_of(alone, Consensus())["expert"].verdict is Worth.ALONE


def test_a_copy_adds_nothing_and_errs_together_with_what_it_copies() -> None:
    crew = [Machine("a"), Machine("copy", copies="a", strays=0.2), Machine("b"), Machine("c")]
    votes = simulate(rng(10), crew)
    found = worth_of(votes, estimate(votes, families(votes, {}))[0])
    assert "a" in found["copy"].together and "copy" in found["a"].together
    assert found["b"].together == ()
