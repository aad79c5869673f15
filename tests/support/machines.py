"""Machines of known skill, the votes that they give, and gold for some of the texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.consensus.votes import Votes
from pipeline.measure.arrays import UNKNOWN

LABELS = ("hate", "porn", "safe for work")
SHARES = np.array([0.2, 0.1, 0.5])


@dataclass(frozen=True)
class Machine:
    """How something labels."""

    name: str
    sensitivity: float = 0.85
    specificity: float = 0.95
    #: share of the texts that it judges
    covers: float = 1.0
    #: gives this label and denies the others, whatever the text
    always: int | None = None
    #: repeats another machine's words, but for this share of them
    copies: str | None = None
    strays: float = 0.0
    kind: RaterKind = RaterKind.LLM
    version: str = "1"

    @property
    def ref(self) -> RaterRef:
        return RaterRef(self.kind, self.name, self.version)


def simulate(rng: np.random.Generator, machines: Sequence[Machine], *, texts: int = 3_000, gold: int = 800) -> Votes:
    """The votes of machines that err independently, except where one copies another."""
    true = (rng.random((texts, len(LABELS))) < SHARES).astype(np.int8)
    words: dict[str, np.ndarray] = {}
    text, rater, said = [], [], []
    for number, machine in enumerate(machines):
        right = np.where(true == 1, machine.sensitivity, machine.specificity)
        word = np.where(rng.random(true.shape) < right, true, 1 - true)
        if machine.always is not None:
            word = np.tile(np.arange(len(LABELS)) == machine.always, (texts, 1))
        if machine.copies is not None:
            stray = rng.random(true.shape) < machine.strays
            word = np.where(stray, word, words[machine.copies])
        words[machine.name] = word.astype(np.int8)
        seen = np.flatnonzero(rng.random(texts) < machine.covers)
        text.append(seen)
        rater.append(np.full(len(seen), number))
        said.append(words[machine.name][seen])
    truth = np.where((np.arange(texts) < gold)[:, None], true, UNKNOWN).astype(np.int8)
    rows, heard = np.concatenate(text), np.concatenate(said)
    return Votes(
        labels=LABELS,
        raters=tuple(machine.ref for machine in machines),
        texts=texts,
        text=rows,
        rater=np.concatenate(rater),
        said=heard,
        heard=heard,
        votes=np.ones(len(rows), dtype=np.bool_),
        known=truth[rows],
        truth=truth,
    )
