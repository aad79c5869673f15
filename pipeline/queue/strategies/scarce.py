"""The strategy `scarce`: texts that probably have a label with too few gold texts."""

from __future__ import annotations

import numpy as np

from pipeline.measure.arrays import Floats
from pipeline.queue.candidates import Candidates
from pipeline.queue.sampling import by_rank, either, proportional
from pipeline.queue.strategies.protocol import Chances

#: likelihood of a label that only a machine asserts, and of one that a filter rejected
_ASSERTED, _DOUBTED = 0.6, 0.2
#: likelihood for the text nearest to the label's centre, where the champion does not know the label
_NEAREST = 0.5


class Scarce:
    """Texts by the square of their likelihood and its rank, for each label with too few gold texts.

    Both keep the many texts with a small likelihood from outweighing the few with a great one. Labels with fewer gold
    texts get more texts.
    """

    def weigh(self, candidates: Candidates, size: float, _rng: np.random.Generator) -> Chances:
        """See Strategy."""
        n = len(candidates)
        shortage = candidates.shortage if candidates.shortage is not None else np.zeros(len(candidates.labels))
        if n == 0 or not shortage.any():
            return Chances(np.zeros(n), np.zeros(n), lambda _: "", note="every label has enough gold texts")
        likely = likelihood(candidates)
        chances = np.stack(
            [
                proportional(by_rank(likely[:, j] ** 2), size * shortage[j] / shortage.sum())
                for j in range(len(shortage))
            ]
        )
        label = chances.argmax(axis=0)

        def reason(row: int) -> str:
            j = int(label[row])
            return f"{candidates.labels[j]} needs more gold texts and is likely here ({likely[row, j]:.2f})"

        rows = np.arange(n)
        return Chances(either(chances), likely[rows, label] * shortage[label], reason, label=label)


def likelihood(candidates: Candidates) -> Floats:
    """Likelihood of each label for each text, [n, m]: by the champion, by the assertions of machines, by similarity."""
    standing = candidates.asserted & ~candidates.demoted
    likely = np.where(standing, _ASSERTED, np.where(candidates.demoted, _DOUBTED, 0.0))
    likely = np.maximum(likely, np.where(candidates.decisions == 1, _ASSERTED, 0.0))
    if candidates.probabilities is not None:
        likely = np.fmax(likely, candidates.probabilities)
    for j, centre in candidates.centres.items():
        if candidates.vectors is None or _knows(candidates, j):
            continue
        near = candidates.vectors @ centre
        present = candidates.vectors.any(axis=1)
        middle, top = (float(np.quantile(near[present], q)) for q in (0.5, 1.0)) if present.any() else (0.0, 0.0)
        if top > middle:
            likely[:, j] = np.maximum(likely[:, j], _NEAREST * np.clip((near - middle) / (top - middle), 0, 1))
    return np.asarray(likely)


def _knows(candidates: Candidates, label: int) -> bool:
    return candidates.probabilities is not None and not np.isnan(candidates.probabilities[:, label]).all()
