"""What each rater is worth: how well it knows each label, and what the consensus would be without it."""

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

#: a difference of macro F1 that nobody would pay for
NOTHING = 0.01
#: share of common assertions from which on one rater can be named in place of another
LIKE = 0.5
#: two raters err together from this correlation of their errors on ...
TOGETHER = 0.5
#: ... so many errors of each
LEAST_ERRORS = 20


class Verdict(enum.StrEnum):
    """What to do with a rater."""

    WORTH = "worth"
    NOTHING_NEW = "nothing new"
    HARMFUL = "harmful"
    TOO_EARLY = "too early"
    ALONE = "alone"
    NO_VOTE = "no vote"


@dataclass(frozen=True, slots=True)
class Spent:
    """What a rater's answers cost."""

    #: texts that it judged
    texts: int
    tokens: int | None = None
    #: in the currency of whoever pays
    cost: float | None = None

    @property
    def per_thousand(self) -> float | None:
        """Cost of 1,000 texts."""
        return None if self.cost is None or not self.texts else 1_000 * self.cost / self.texts


@dataclass(frozen=True, slots=True)
class LabelSkill:
    """How well a rater knows one label, on gold. None: no gold text of that sort."""

    positives: int
    negatives: int
    sensitivity: Estimate | None
    specificity: Estimate | None


@dataclass(frozen=True, slots=True)
class RaterWorth:
    """One rater, in one version."""

    kind: RaterKind
    name: str
    version: str
    #: texts that it judged
    judged: int
    #: of those that were read, the ones that somebody trusted decided without its word
    gold: int
    labels: Mapping[str, LabelSkill]
    #: means over the labels with gold of either sort; intervals are those of the labels
    macro_sensitivity: float | None
    macro_specificity: float | None
    #: share of its opinions that are what the other raters' consensus is
    agreement: Estimate | None
    #: macro F1 of the consensus without it, with it, and what it adds
    without: Contest | None
    spent: Spent | None
    #: raters that it errs together with
    together: tuple[str, ...]
    verdict: Verdict
    #: the same in words
    words: str


def worth(votes: Votes, consensus: Consensus, spent: Mapping[RaterRef, Spent], *, seed: int = 0) -> list[RaterWorth]:
    """Measure every rater of the table, those with a vote first.

    Args:
        votes: what was said.
        consensus: the one in force.
        spent: what is known of costs.
        seed: of the resamples; the same for every rater, so that their figures can be compared.
    """
    voters = votes.voters()
    whole = combine(votes, consensus)
    found = [_one(votes, ref, voters, consensus, whole, spent.get(ref), seed) for ref in votes.raters]
    order = {kind: place for place, kind in enumerate((*WEIGHED_KINDS, *RaterKind))}
    return sorted(found, key=lambda one: (one.verdict is Verdict.NO_VOTE, order[one.kind], one.name, one.version))


def _one(
    votes: Votes,
    ref: RaterRef,
    voters: list[RaterRef],
    consensus: Consensus,
    whole: Combined,
    spent: Spent | None,
    seed: int,
) -> RaterWorth:
    mine = votes.of(ref)
    said, known = votes.said[mine], votes.known[mine]
    labels = {label: _skill(said[:, i], known[:, i]) for i, label in enumerate(votes.labels)}
    gold = int(((known != UNKNOWN) & (said != UNKNOWN)).any(axis=1).sum())
    compared, others = None, whole
    if ref in voters:
        fewer = votes.without(ref)
        others = combine(fewer, without(consensus, votes, ref))
        if gold and len(voters) > 1:
            rng = np.random.default_rng(seed)
            truth = _seen_by(votes, ref)
            compared = contest(others, whole, truth, votes.labels, rng=rng, ranked=False)
    decided = others.decided[votes.text[mine]]
    both = (said != UNKNOWN) & (decided != UNKNOWN)
    verdict, words = _verdict(votes, ref, voters, gold, compared, spent)
    return RaterWorth(
        kind=ref.kind,
        name=ref.name,
        version=ref.version,
        judged=int(np.unique(votes.text[mine]).size),
        gold=gold,
        labels=labels,
        macro_sensitivity=_mean([one.sensitivity for one in labels.values()]),
        macro_specificity=_mean([one.specificity for one in labels.values()]),
        agreement=wilson(int((said == decided)[both].sum()), int(both.sum())),
        without=compared,
        spent=spent,
        together=tuple(other.name for other in voters if other != ref and err_together(votes, ref, other)),
        verdict=verdict,
        words=words,
    )


def _seen_by(votes: Votes, ref: RaterRef) -> LabelMatrix:
    """Gold of the texts that a rater judged: elsewhere it can make no difference."""
    seen = np.zeros(votes.texts, dtype=np.bool_)
    seen[votes.text[votes.of(ref) & votes.votes]] = True
    return np.where(seen[:, None], votes.truth, UNKNOWN).astype(np.int8)


def _skill(said: LabelMatrix, known: LabelMatrix) -> LabelSkill:
    spoken = said != UNKNOWN
    yes, no = spoken & (known == 1), spoken & (known == 0)
    return LabelSkill(
        positives=int(yes.sum()),
        negatives=int(no.sum()),
        sensitivity=wilson(int((said[yes] == 1).sum()), int(yes.sum())),
        specificity=wilson(int((said[no] == 0).sum()), int(no.sum())),
    )


def _mean(found: list[Estimate | None]) -> float | None:
    values = [one.value for one in found if one is not None]
    return float(np.mean(values)) if values else None


def _verdict(
    votes: Votes, ref: RaterRef, voters: list[RaterRef], gold: int, compared: Contest | None, spent: Spent | None
) -> tuple[Verdict, str]:
    if ref.kind in TRUSTED:
        return Verdict.NO_VOTE, "outranks the consensus"
    if ref.kind not in WEIGHED_KINDS:
        return Verdict.NO_VOTE, "has no part in the consensus"
    if ref not in voters:
        return Verdict.NO_VOTE, "a newer version speaks for it"
    if len(voters) == 1:
        return Verdict.ALONE, "the only one that speaks: nothing to compare it with"
    if gold < LEAST_GOLD or compared is None or not compared.f1:
        return Verdict.TOO_EARLY, f"too few gold texts to tell (n={gold})"
    gap = compared.macro_f1.difference
    figures = f"macro F1 {gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
    if gap.low > 0:
        price = spent.per_thousand if spent is not None else None
        paid = f", for {price:.2f} per 1,000 texts" if price else ""
        return Verdict.WORTH, f"worth {'paying for' if price else 'keeping'}: {figures}{paid}"
    if gap.high < 0:
        return Verdict.HARMFUL, f"makes it worse: {figures}"
    if max(abs(gap.low), abs(gap.high)) <= NOTHING or gap.high <= NOTHING:
        like = _likest(votes, ref, voters)
        return Verdict.NOTHING_NEW, f"adds nothing that {like}: {figures}"
    return Verdict.TOO_EARLY, f"no difference shows on {compared.texts:,} gold texts: {figures}"


def _likest(votes: Votes, ref: RaterRef, voters: list[RaterRef]) -> str:
    """The other voter that asserts the most of what it asserts, if it is near enough, and what it does not."""

    def share(other: RaterRef) -> float:
        both, either = assertions(votes, ref, other)
        return both / either if either else 0.0

    best = max((one for one in voters if one != ref), key=lambda one: (share(one), one))
    return f"{best.name} does not" if share(best) >= LIKE else "the others do not"


def err_together(votes: Votes, one: RaterRef, other: RaterRef) -> bool:
    """Whether two raters are wrong on the same texts more than independent raters would be, as far as gold tells."""
    first, second = paired_rows(votes, one, other)
    known = votes.known[first]
    both = (known != UNKNOWN) & (votes.said[first] != UNKNOWN) & (votes.said[second] != UNKNOWN)
    wrong = (votes.said[first] != known)[both]
    also = (votes.said[second] != known)[both]
    if min(wrong.sum(), also.sum(), (~wrong).sum(), (~also).sum()) < LEAST_ERRORS:
        return False
    return bool(np.corrcoef(wrong, also)[0, 1] >= TOGETHER)
