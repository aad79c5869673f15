"""Votes that may be wrong, beside a model's scores: the errors of each rater, and what is probably true.

The method is that of Raykar et al. 2010, "Learning From Crowds" (section 2), for one label and a model that is given: a
text has the label with a probability that is a logistic curve of its score; each rater says yes to a text without the
label, and no to a text with it, with two probabilities of their own. Expectation-maximisation finds the curve and these
probabilities together. With one vote a text it is a logistic curve that ends above 0 and below 1, by the noise of
either answer: so noise that hits one answer more often than the other is known as such, and the answers of both kinds
are ranked by one measure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.measure.arrays import Booleans, Floats, Ints

#: steps of expectation-maximisation, at most; and the change of a probability below which they end
_STEPS, _SETTLED = 200, 1e-4
#: votes that the prior of all raters together counts as, and the errors that it expects
_PRIOR, _EXPECTED = 20.0, 0.05
#: votes that the mean of all raters counts as for each of them
_SHRUNK = 20.0
#: largest share of errors: a rater is never worse than a coin
_WORST = 0.45


@dataclass(frozen=True, slots=True)
class Votes:
    """The votes of raters on one label; arrays of one length, in any order."""

    #: row of the text, from 0
    rows: Ints
    #: number of the rater, from 0
    raters: Ints
    #: True: yes
    yes: Booleans


@dataclass(frozen=True, slots=True)
class Believed:
    """The result of `believe`."""

    #: [texts]: the probability that a text has the label, given its score and its votes
    probability: Floats
    #: [texts]: the same by its score alone
    by_score: Floats
    #: [raters]: the probability of a yes to a text without the label
    false_yes: Floats
    #: [raters]: the probability of a no to a text with the label
    false_no: Floats
    #: of the logistic curve
    slope: float
    offset: float

    def of_others(self, scores: Floats, votes: Votes) -> Floats:
        """[texts]: the probability of the label for other texts, by their scores and the votes on them."""
        evidence = _evidence(votes, self.false_yes, self.false_no, len(scores))
        return _sigmoid(self.slope * scores + self.offset + evidence)


def believe(scores: Floats, votes: Votes, *, raters: int | None = None) -> Believed:
    """Find the errors of raters, and the probability of the label for each text.

    Args:
        scores: [texts], log-odds or any other decisions of a model that did not learn from the texts.
        votes: the votes on these texts; a text may have none.
        raters: number of raters; None: the number of the last one with a vote, and one.
    """
    texts = len(scores)
    raters = int(votes.raters.max(initial=-1)) + 1 if raters is None else raters
    middle, spread = float(np.mean(scores)), float(np.std(scores)) or 1.0
    x = np.column_stack([(scores - middle) / spread, np.ones(texts)])
    asked = np.bincount(votes.rows, minlength=texts) > 0
    share = _sums(votes.rows, votes.yes, texts) / np.maximum(1, np.bincount(votes.rows, minlength=texts))
    truth = np.where(asked, 0.9 * share + 0.05, 0.5)
    curve: Floats = np.zeros(2)
    false_yes: Floats = np.full(raters, _EXPECTED)
    false_no: Floats = np.full(raters, _EXPECTED)
    for _ in range(_STEPS):
        false_yes = _rates(votes.raters, 1 - truth[votes.rows], votes.yes, raters)
        false_no = _rates(votes.raters, truth[votes.rows], ~votes.yes, raters)
        curve = _logistic(x[asked], truth[asked], curve)
        before, truth = truth, _sigmoid(x @ curve + _evidence(votes, false_yes, false_no, texts))
        if np.abs(truth - before).max(initial=0.0) < _SETTLED:
            break
    slope = float(curve[0]) / spread
    return Believed(truth, _sigmoid(x @ curve), false_yes, false_no, slope, float(curve[1]) - slope * middle)


def _evidence(votes: Votes, false_yes: Floats, false_no: Floats, texts: int) -> Floats:
    """[texts]: the log-odds that the votes add."""
    of_yes = np.log(1 - false_no) - np.log(false_yes)
    of_no = np.log(false_no) - np.log(1 - false_yes)
    return _sums(votes.rows, np.where(votes.yes, of_yes[votes.raters], of_no[votes.raters]), texts)


def _rates(raters: Ints, weights: Floats, wrong: Booleans, count: int) -> Floats:
    """[raters]: the share of the weight that is wrong, drawn to that of all raters."""
    pooled = (_PRIOR * _EXPECTED + weights[wrong].sum()) / (_PRIOR + weights.sum())
    rates = (_SHRUNK * pooled + _sums(raters, weights * wrong, count)) / (_SHRUNK + _sums(raters, weights, count))
    return np.asarray(np.clip(rates, 1e-3, _WORST))


def _logistic(x: Floats, target: Floats, start: Floats) -> Floats:
    """The curve through soft targets, by Newton's method with a little ridge; [2]: slope, offset."""
    curve = start
    ridge = np.diag([1e-3, 1e-6])
    for _ in range(20):
        p = _sigmoid(x @ curve)
        slope = x.T @ (target - p) - ridge @ curve
        bend = (x * (p * (1 - p))[:, None]).T @ x + ridge
        step = np.linalg.solve(bend, slope)
        curve = curve + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-6:
            break
    return np.array([max(curve[0], 1e-6), curve[1]])


def _sums(places: Ints, values: Floats | Booleans, count: int) -> Floats:
    return np.asarray(np.bincount(places, weights=values, minlength=count), dtype=np.float64)


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -40, 40))))
