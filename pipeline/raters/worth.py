"""Worth of each rater: its skill for each label, and the consensus without it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.consensus.combine import Combined, combine
from pipeline.ledger.consensus.compare import Contest, contest
from pipeline.ledger.consensus.fit import without
from pipeline.ledger.consensus.rule import Consensus
from pipeline.ledger.consensus.voices import assertions, paired_rows
from pipeline.ledger.consensus.votes import LEAST_GOLD, Votes
from pipeline.ledger.decisions import TRUSTED
from pipeline.ledger.resolve import WEIGHED_KINDS
from pipeline.measure.arrays import UNKNOWN, LabelMatrix
from pipeline.measure.intervals import Estimate, wilson

#: difference of macro F1 that is too small to matter
NOTHING = 0.01
#: least share of common assertions at which one rater can replace another
LIKE = 0.5
#: least correlation of the errors of two raters at which they err together
TOGETHER = 0.5
#: least number of errors of each for that
LEAST_ERRORS = 20


class Worth(enum.StrEnum):
    """Advice on a rater."""

    WORTH = "worth"
    NOTHING_NEW = "nothing new"
    HARMFUL = "harmful"
    TOO_EARLY = "too early"
    ALONE = "alone"
    NO_VOTE = "no vote"


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens and cost of a rater's answers."""

    #: number of texts that it judged
    texts: int
    tokens: int | None = None
    #: in the currency of the prices
    cost: float | None = None

    @property
    def per_thousand(self) -> float | None:
        """Cost of 1,000 texts."""
        return None if self.cost is None or not self.texts else 1_000 * self.cost / self.texts


@dataclass(frozen=True, slots=True)
class LabelSkill:
    """Skill of a rater for one label, measured on gold. None: there is no gold text of that kind."""

    positives: int
    negatives: int
    sensitivity: Estimate | None
    specificity: Estimate | None


@dataclass(frozen=True, slots=True)
class RaterWorth:
    """Figures of one version of a rater."""

    kind: RaterKind
    name: str
    version: str
    #: number of texts that it judged
    judged: int
    #: number of texts in the sample with gold from other raters
    gold: int
    labels: Mapping[str, LabelSkill]
    #: means over the labels with gold texts of that kind; the labels have intervals
    macro_sensitivity: float | None
    macro_specificity: float | None
    #: share of its verdicts that agree with the other raters' consensus
    agreement: Estimate | None
    #: macro F1 of the consensus without it, with it, and the difference
    without: Contest | None
    spent: Spent | None
    #: raters that make the same errors
    together: tuple[str, ...]
    verdict: Worth
    #: the verdict as a phrase, with figures
    words: str


def worth(votes: Votes, consensus: Consensus, spent: Mapping[RaterRef, Spent], *, seed: int = 0) -> list[RaterWorth]:
    """Measure every rater of the table, those with a vote first.

    Args:
        votes: the votes, with gold.
        consensus: the consensus in force.
        spent: known costs.
        seed: seed of the resamples, the same for every rater, so that their figures can be compared.
    """
    voters = votes.voters()
    whole = combine(votes, consensus)
    measured = [_measure(votes, ref, voters, consensus, whole, spent.get(ref), seed) for ref in votes.raters]
    order = {kind: place for place, kind in enumerate((*WEIGHED_KINDS, *RaterKind))}
    return sorted(
        measured,
        key=lambda rater: (rater.verdict is Worth.NO_VOTE, order[rater.kind], rater.name, rater.version),
    )


def _measure(
    votes: Votes,
    ref: RaterRef,
    voters: list[RaterRef],
    consensus: Consensus,
    whole: Combined,
    spent: Spent | None,
    seed: int,
) -> RaterWorth:
    rows = votes.of(ref)
    verdicts, known = votes.said[rows], votes.known[rows]
    labels = {label: _skill(verdicts[:, i], known[:, i]) for i, label in enumerate(votes.labels)}
    gold = int(((known != UNKNOWN) & (verdicts != UNKNOWN)).any(axis=1).sum())
    compared, others = None, whole
    if ref in voters:
        fewer = votes.without(ref)
        others = combine(fewer, without(consensus, votes, ref))
        if gold and len(voters) > 1:
            rng = np.random.default_rng(seed)
            truth = _seen_by(votes, ref)
            compared = contest(others, whole, truth, votes.labels, rng=rng, ranked=False)
    decided = others.decided[votes.text[rows]]
    both = (verdicts != UNKNOWN) & (decided != UNKNOWN)
    verdict, words = _verdict(votes, ref, voters, gold, compared, spent)
    return RaterWorth(
        kind=ref.kind,
        name=ref.name,
        version=ref.version,
        judged=int(np.unique(votes.text[rows]).size),
        gold=gold,
        labels=labels,
        macro_sensitivity=_mean([skill.sensitivity for skill in labels.values()]),
        macro_specificity=_mean([skill.specificity for skill in labels.values()]),
        agreement=wilson(int((verdicts == decided)[both].sum()), int(both.sum())),
        without=compared,
        spent=spent,
        together=tuple(other.name for other in voters if other != ref and err_together(votes, ref, other)),
        verdict=verdict,
        words=words,
    )


def _seen_by(votes: Votes, ref: RaterRef) -> LabelMatrix:
    """Gold of the texts that a rater judged: on other texts it makes no difference."""
    seen = np.zeros(votes.texts, dtype=np.bool_)
    seen[votes.text[votes.of(ref) & votes.votes]] = True
    return np.where(seen[:, None], votes.truth, UNKNOWN).astype(np.int8)


def _skill(verdicts: LabelMatrix, known: LabelMatrix) -> LabelSkill:
    judged = verdicts != UNKNOWN
    yes, no = judged & (known == 1), judged & (known == 0)
    return LabelSkill(
        positives=int(yes.sum()),
        negatives=int(no.sum()),
        sensitivity=wilson(int((verdicts[yes] == 1).sum()), int(yes.sum())),
        specificity=wilson(int((verdicts[no] == 0).sum()), int(no.sum())),
    )


def _mean(estimates: list[Estimate | None]) -> float | None:
    values = [estimate.value for estimate in estimates if estimate is not None]
    return float(np.mean(values)) if values else None


def _verdict(
    votes: Votes, ref: RaterRef, voters: list[RaterRef], gold: int, compared: Contest | None, spent: Spent | None
) -> tuple[Worth, str]:
    if ref.kind in TRUSTED:
        return Worth.NO_VOTE, "outranks the consensus"
    if ref.kind not in WEIGHED_KINDS:
        return Worth.NO_VOTE, "is not part of the consensus"
    if ref not in voters:
        return Worth.NO_VOTE, "a newer version replaces it"
    if len(voters) == 1:
        return Worth.ALONE, "the only rater so far: nothing to compare it with"
    if gold < LEAST_GOLD or compared is None or not compared.f1:
        return Worth.TOO_EARLY, f"too few gold texts to tell (n={gold})"
    gap = compared.macro_f1.difference
    figures = f"macro F1 {gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
    if gap.low > 0:
        price = spent.per_thousand if spent is not None else None
        paid = f", for {price:.2f} per 1,000 texts" if price else ""
        return Worth.WORTH, f"worth {'paying for' if price else 'keeping'}: {figures}{paid}"
    if gap.high < 0:
        return Worth.HARMFUL, f"makes it worse: {figures}"
    if max(abs(gap.low), abs(gap.high)) <= NOTHING or gap.high <= NOTHING:
        like = _most_similar(votes, ref, voters)
        return Worth.NOTHING_NEW, f"adds nothing that {like}: {figures}"
    return Worth.TOO_EARLY, f"no difference shows on {compared.texts:,} gold texts: {figures}"


def _most_similar(votes: Votes, ref: RaterRef, voters: list[RaterRef]) -> str:
    """The end of the sentence "adds nothing that ...": the most similar other rater, if similar enough, or all."""

    def share(other: RaterRef) -> float:
        both, either = assertions(votes, ref, other)
        return both / either if either else 0.0

    best = max((other for other in voters if other != ref), key=lambda other: (share(other), other))
    return f"{best.name} does not" if share(best) >= LIKE else "the others do not"


def err_together(votes: Votes, rater: RaterRef, other: RaterRef) -> bool:
    """True where two raters are wrong on the same gold texts more often than independent raters would be."""
    first, second = paired_rows(votes, rater, other)
    known = votes.known[first]
    both = (known != UNKNOWN) & (votes.said[first] != UNKNOWN) & (votes.said[second] != UNKNOWN)
    wrong = (votes.said[first] != known)[both]
    also = (votes.said[second] != known)[both]
    if min(wrong.sum(), also.sum(), (~wrong).sum(), (~also).sum()) < LEAST_ERRORS:
        return False
    return bool(np.corrcoef(wrong, also)[0, 1] >= TOGETHER)
