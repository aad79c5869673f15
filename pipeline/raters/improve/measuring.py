"""Two prompts on the same gold texts: F1 by label, with paired bootstrap intervals. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.ledger.consensus.combine import Combined
from pipeline.ledger.consensus.compare import Contest, contest
from pipeline.measure.arrays import UNKNOWN
from pipeline.raters.improve.asking import Verdicts
from pipeline.raters.improve.gold import GoldText


def compare_prompts(
    present: Verdicts,
    proposed: Verdicts,
    texts: Sequence[GoldText],
    labels: Sequence[str],
    *,
    rng: np.random.Generator,
) -> Contest:
    """Measure two prompts on gold texts. A text without a verdict gets no label from that prompt.

    Args:
        present: verdicts of the first prompt.
        proposed: verdicts of the second one.
        texts: gold that neither was made from.
        labels: labels of the prompts.
        rng: draws the resamples.
    """
    truth = np.full((len(texts), len(labels)), UNKNOWN, dtype=np.int8)
    for row, text in enumerate(texts):
        for column, label in enumerate(labels):
            if label in text.asserted or label in text.denied:
                truth[row, column] = int(label in text.asserted)
    both = [_decisions(verdicts, texts, labels) for verdicts in (present, proposed)]
    return contest(both[0], both[1], truth, labels, rng=rng, ranked=False)


def _decisions(verdicts: Verdicts, texts: Sequence[GoldText], labels: Sequence[str]) -> Combined:
    given = np.array(
        [[label in verdicts.given.get(text.id, ()) for label in labels] for text in texts], dtype=np.int8
    ).reshape(len(texts), len(labels))
    return Combined(given.astype(np.float64), given)
