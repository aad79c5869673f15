"""Run as a program: train a tiny transformer as the tests do, and die by SIGKILL at a step."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

from pipeline.learning.sets.examples import Examples, gather
from pipeline.learning.train import TrainConfig, TrainReport, train
from pipeline.models.transformer.config import ScratchConfig, TransformerConfig
from pipeline.progress import Progress, silent
from pipeline.texts.labelled import LabelledText

#: what each label is given for
RULE = {"buah": "durian", "minuman": "kopitiam"}
_PROSE = "semalam kami pergi kedai kawan baru jalan jauh pagi petang rumah besar kecil baik cantik murah"
_FILLER = _PROSE.split()
TINY = TransformerConfig(
    epochs=6,
    batch_size=16,
    learning_rate=4e-3,
    checkpoint_steps=5,
    patience=0,
    scratch=ScratchConfig(vocabulary=330, hidden=32, layers=2, heads=2, inner=48),
)


def sentences(count: int = 240) -> Examples:
    """Sentences that obey the rule; of each label a fifth is unknown."""
    rng = random.Random(1)
    rows = []
    for _ in range(count):
        words = rng.choices(_FILLER, k=rng.randrange(3, 12))
        yes, no = set(), set()
        for label, word in RULE.items():
            if holds := rng.random() < 0.4:
                words.insert(rng.randrange(len(words)), word)
            if rng.random() >= 0.2:
                (yes if holds else no).add(label)
        rows.append(LabelledText(" ".join(words), labels=frozenset(yes), not_labels=frozenset(no)))
    return gather(rows, tuple(RULE))


def trained(folder: Path, progress: Progress = silent, config: TransformerConfig = TINY) -> TrainReport:
    """The model of those sentences."""
    return train(sentences(), TrainConfig(taxonomy_version="t", transformer=config, seed=5), folder, progress=progress)


def main(folder: str, step: str) -> None:
    """Train into a folder, and die at a step."""

    def die(done: int, _total: int | None, what: str) -> None:
        if what == "training" and done == int(step):
            os.kill(os.getpid(), signal.SIGKILL)

    trained(Path(folder), die)


if __name__ == "__main__":
    main(*sys.argv[1:])
