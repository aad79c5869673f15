"""A written rule for raters who may not be reading, with reasons in words.

Signs are of two sorts. *Wrong*: known tasks missed, the others' consensus missed, wrong ticks left standing. *Hurried*:
too fast, the same answer over and over, every tick accepted. Each compares a rater with the others, allowing for how
much raters differ anyway (beta-binomial) and for how many raters are looked at (Bonferroni).

A rater is flagged as careless if

- they miss known tasks far more often than the others, whatever else; or
- they miss known tasks and the consensus, which are checked on different texts; or
- they show a wrong sign and a hurried one; or
- they show two hurried signs, or most of their answers took less time than anybody needs to read, and too few of
  their answers can be checked to say that they are right all the same.

So whoever is merely fast, or merely trusts good ticks, is not flagged.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.measure.arrays import UNKNOWN, Booleans, Ints, LabelMatrix
from sync.quality.answers import Answers, right
from sync.quality.outliers import LEAST_OTHERS, tails
from sync.quality.pace import IMPOSSIBLE_SECONDS, LEAST_SHOWN, LEAST_TIMED

#: how unlikely a rater like the others must be to look like this, over all raters
_UNLIKELY, _VERY_UNLIKELY = 0.01, 0.001
#: shares of right tasks below the others' middle: too small a difference is no sign however sure
_LOWER, _FAR_LOWER = 0.15, 0.25
#: checked answers, below which nothing is said of how right a rater is
_LEAST_CHECKED = 8
#: checked answers from which on they can clear a rater
_ENOUGH_CHECKED = 20
#: answers below which no habit can be seen
_LEAST_ANSWERS = 20
#: share of answers too fast to have been read
_IMPOSSIBLE_SHARE, _UNREAD_SHARE = 0.2, 0.5
#: robust standard deviations of the others' log times, and the least that a standard deviation is taken to be:
#: people differ by a third or so even where the few that we see do not
_FAST, _LEAST_LOG_SPREAD = -3.0, 0.3
_PERMUTATIONS = 499
#: a run is long from here on, and if twice as long as shuffled answers have it
_LONG_RUN = 8
#: one answer makes up so much of all
_SAME_SHARE = 0.8
#: changes so few of the ticks, as a share of what the others change
_FEW_CHANGES = 1 / 3


class Sign(enum.StrEnum):
    """An observation about a rater."""

    MISSES_KNOWN = "misses known tasks"
    FAR_OFF = "misses known tasks far more than others"
    AGAINST_CONSENSUS = "against the consensus"
    ADOPTS_WRONG = "leaves wrong ticks"
    FAST = "too fast"
    UNREAD = "faster than anybody reads"
    REPEATS = "repeats an answer"
    ACCEPTS = "accepts every tick"


_WRONG = frozenset({Sign.MISSES_KNOWN, Sign.FAR_OFF, Sign.AGAINST_CONSENSUS, Sign.ADOPTS_WRONG})


@dataclass(frozen=True, slots=True)
class Finding:
    """One sign and the figures behind it, in words."""

    sign: Sign
    words: str


@dataclass(frozen=True, slots=True)
class Care:
    """The rule's result for one rater."""

    rater: str
    careless: bool
    findings: tuple[Finding, ...]
    #: answers that could be checked against known labels or the others' consensus
    checked: int


def carelessness(answers: Answers, consensus: LabelMatrix | None, *, rng: np.random.Generator) -> list[Care]:
    """Apply the rule to every rater.

    Args:
        answers: the table.
        consensus: what the others say of each row, if it could be worked out.
        rng: shuffles answers, to see how long runs are by chance.
    """
    signs = [
        *_misses(answers, answers.truth, Sign.MISSES_KNOWN, "known tasks right"),
        *_adopts_wrong(answers, consensus),
        *_fast(answers),
        *_repeats(answers, rng),
        *_accepts(answers),
    ]
    if consensus is not None:
        # what is known is mostly what others agree on: held against a rater once, not under two names
        elsewhere = np.where((answers.truth != UNKNOWN).any(axis=1)[:, None], UNKNOWN, consensus)
        signs += _misses(answers, elsewhere, Sign.AGAINST_CONSENSUS, "tasks right by the others' consensus")
    checked = _checked(answers, consensus)
    cares = []
    for number, rater in enumerate(answers.raters):
        findings = tuple(finding for whose, finding in signs if whose == number)
        kinds = {finding.sign for finding in findings}
        wrong, hurried = kinds & _WRONG, kinds - _WRONG
        unproven = int(checked[number]) < _ENOUGH_CHECKED
        twice_wrong = {Sign.MISSES_KNOWN, Sign.AGAINST_CONSENSUS} <= kinds
        unread = Sign.UNREAD in kinds or len(hurried) >= 2
        careless = Sign.FAR_OFF in kinds or twice_wrong or bool(wrong and hurried) or (unread and unproven)
        cares.append(Care(rater, careless, findings, int(checked[number])))
    return cares


def longest_run(codes: Ints) -> Ints:
    """Length of the longest run of equal values in each row of [rows, answers]."""
    places = np.broadcast_to(np.arange(codes.shape[1]), codes.shape)
    begins = np.concatenate([np.ones((len(codes), 1), dtype=bool), codes[:, 1:] != codes[:, :-1]], axis=1)
    run = places - np.maximum.accumulate(np.where(begins, places, 0), axis=1) + 1
    longest: Ints = run.max(axis=1)
    return longest


def _misses(answers: Answers, reference: LabelMatrix, sign: Sign, what: str) -> list[tuple[int, Finding]]:
    comparable, fits = right(answers, reference)
    hits, of = _per_rater(answers, comparable & fits), _per_rater(answers, comparable)

    def judge(own: int, own_all: int, lower: float, _upper: float, middle: float, raters: int) -> Finding | None:
        below = middle - own / own_all
        if lower >= _UNLIKELY / raters or below < _LOWER:
            return None
        words = f"{own} of {own_all} {what}, where others have about {middle:.0%}"
        if sign is Sign.MISSES_KNOWN and lower < _VERY_UNLIKELY / raters and below >= _FAR_LOWER:
            return Finding(Sign.FAR_OFF, words)
        return Finding(sign, words)

    return _compare(hits, of, _LEAST_CHECKED, judge)


def _adopts_wrong(answers: Answers, consensus: LabelMatrix | None) -> list[tuple[int, Finding]]:
    reference = answers.truth
    if consensus is not None:
        reference = np.where(reference == UNKNOWN, consensus, reference)
    predicted = (answers.predicted != UNKNOWN) & (answers.said != UNKNOWN) & answers.shown[:, None]
    wrong = predicted & (reference != UNKNOWN) & (answers.predicted != reference)
    left = wrong & (answers.said == answers.predicted)
    hits, of = _per_rater(answers, left.any(axis=1)), _per_rater(answers, wrong.any(axis=1))

    def judge(own: int, own_all: int, _lower: float, upper: float, middle: float, raters: int) -> Finding | None:
        if upper >= _UNLIKELY / raters or own / own_all - middle < _FAR_LOWER:
            return None
        words = f"left wrong ticks in {own} of {own_all} tasks that had them, where others do in about {middle:.0%}"
        return Finding(Sign.ADOPTS_WRONG, words)

    return _compare(hits, of, _LEAST_CHECKED, judge)


def _accepts(answers: Answers) -> list[tuple[int, Finding]]:
    hits, of = _per_rater(answers, answers.shown & answers.kept), _per_rater(answers, answers.shown)

    def judge(own: int, own_all: int, _lower: float, upper: float, middle: float, raters: int) -> Finding | None:
        if upper >= _UNLIKELY / raters or 1 - own / own_all > _FEW_CHANGES * (1 - middle):
            return None
        words = f"kept the ticks of {own} of {own_all} tasks as they were, where others keep about {middle:.0%}"
        return Finding(Sign.ACCEPTS, words)

    return _compare(hits, of, max(LEAST_SHOWN, _LEAST_ANSWERS), judge)


def _compare(
    hits: Ints, of: Ints, least: int, judge: Callable[[int, int, float, float, float, int], Finding | None]
) -> list[tuple[int, Finding]]:
    """Hold each rater's share against the others'; those with fewer than `least` answers are left out."""
    able = np.flatnonzero(of >= least)
    flagged = []
    for number in able:
        others = [other for other in able if other != number]
        if len(others) < LEAST_OTHERS:
            continue
        own, own_all = int(hits[number]), int(of[number])
        lower, upper, middle = tails(own, own_all, others_hits=hits[others].tolist(), others_of=of[others].tolist())
        finding = judge(own, own_all, lower, upper, middle, len(able))
        if finding is not None:
            flagged.append((int(number), finding))
    return flagged


def _fast(answers: Answers) -> list[tuple[int, Finding]]:
    timed = np.isfinite(answers.seconds)
    own = {
        number: answers.seconds[timed & (answers.rater == number)]
        for number in range(len(answers.raters))
        if (timed & (answers.rater == number)).sum() >= LEAST_TIMED
    }
    middles = {number: float(np.median(np.log(np.maximum(seconds, 0.1)))) for number, seconds in own.items()}
    flagged = []
    for number, seconds in own.items():
        impossible = float((seconds < IMPOSSIBLE_SECONDS).mean())
        if impossible >= _IMPOSSIBLE_SHARE:
            words = f"{impossible:.0%} of the answers took less than {IMPOSSIBLE_SECONDS} s"
            sign = Sign.UNREAD if impossible >= _UNREAD_SHARE else Sign.FAST
            flagged.append((number, Finding(sign, words)))
            continue
        others = np.array([middle for other, middle in middles.items() if other != number])
        if len(others) < LEAST_OTHERS:
            continue
        centre = float(np.median(others))
        spread = max(_LEAST_LOG_SPREAD, 1.4826 * float(np.median(np.abs(others - centre))))
        if (middles[number] - centre) / spread < _FAST:
            words = f"{np.exp(middles[number]):.1f} s a task, where others take about {np.exp(centre):.1f} s"
            flagged.append((number, Finding(Sign.FAST, words)))
    return flagged


def _repeats(answers: Answers, rng: np.random.Generator) -> list[tuple[int, Finding]]:
    """A run that shuffling would not make, or one answer that is far more frequent than the others give it."""
    if not len(answers):
        return []
    _, code = np.unique(answers.said == 1, axis=0, return_inverse=True)
    counts = np.zeros((len(answers.raters), int(code.max()) + 1), dtype=np.int64)
    np.add.at(counts, (answers.rater, code), 1)
    total = counts.sum(axis=1)
    flagged: dict[int, Finding] = {}
    for number in np.flatnonzero(total >= _LEAST_ANSWERS):
        order = np.argsort(answers.at[answers.rater == number], kind="stable")
        own = code[answers.rater == number][order]
        longest = int(longest_run(own[None, :])[0])
        if longest < _LONG_RUN:
            continue
        by_chance = longest_run(rng.permuted(np.tile(own, (_PERMUTATIONS, 1)), axis=1))
        if longest > by_chance.max() and longest >= 2 * float(by_chance.mean()):
            words = f"the same answer {longest} times on end, where chance makes it {float(by_chance.mean()):.0f}"
            flagged[int(number)] = Finding(Sign.REPEATS, words)
    for number in np.flatnonzero(total >= _LEAST_ANSWERS):
        favourite = int(counts[number].argmax())
        others = [other for other in np.flatnonzero(total >= _LEAST_ANSWERS) if other != number]
        own, own_all = int(counts[number, favourite]), int(total[number])
        if len(others) < LEAST_OTHERS or own / own_all < _SAME_SHARE:
            continue
        _, upper, middle = tails(
            own,
            own_all,
            others_hits=counts[others, favourite].tolist(),
            others_of=total[others].tolist(),
        )
        if upper < _UNLIKELY / len(answers.raters):
            words = f"the same answer in {own} of {own_all} tasks, where others give it to about {middle:.0%}"
            flagged[int(number)] = Finding(Sign.REPEATS, words)
    return list(flagged.items())


def _per_rater(answers: Answers, rows: Booleans) -> Ints:
    return np.bincount(answers.rater[rows], minlength=len(answers.raters)).astype(np.int64)


def _checked(answers: Answers, consensus: LabelMatrix | None) -> Ints:
    """The number of answers of each rater that can be compared: with the better supplied of the two references."""
    known = _per_rater(answers, right(answers, answers.truth)[0])
    if consensus is None:
        return known
    return np.maximum(known, _per_rater(answers, right(answers, consensus)[0]))
