"""A consensus of many texts at once: what `resolve` would decide of each from its machines' votes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.ledger.consensus.rule import SURE, Consensus, LabelModel, Method
from pipeline.ledger.consensus.voices import Voices, voices_on
from pipeline.ledger.consensus.votes import Votes
from pipeline.ledger.resolve import WEIGHED_KINDS
from pipeline.measure.arrays import UNKNOWN, Booleans, Floats, LabelMatrix


@dataclass(frozen=True, slots=True)
class Combined:
    """What is made of the votes."""

    #: [texts, labels]: how likely each label is; nan where nobody is heard
    probability: Floats
    #: [texts, labels]: 1, 0, or -1 where it is left open
    decided: LabelMatrix


def combine(votes: Votes, consensus: Consensus) -> Combined:
    """Put the votes on every text together, label by label, as `Consensus.decide` does."""
    shape = (votes.texts, len(votes.labels))
    probability, decided = np.full(shape, np.nan), np.full(shape, UNKNOWN, dtype=np.int8)
    for column, label in enumerate(votes.labels):
        model = consensus.labels.get(label) if consensus.method is Method.DAWID_SKENE else None
        voices = voices_on(votes, column, consensus)
        left = np.ones(votes.texts, dtype=np.bool_)
        for kind in WEIGHED_KINDS:
            own = np.array([one is kind for one in voices.kinds], dtype=np.bool_)
            for columns, weighed in _parts(voices, own, model):
                rows = left & (voices.votes[:, columns].sum(axis=1) > 0)
                said = voices.said[np.ix_(rows, columns)]
                names = [voices.names[i] for i in np.flatnonzero(columns)]
                likely, word = _weighed(said, names, weighed) if weighed is not None else _majority(said)
                probability[rows, column], decided[rows, column] = likely, word
                left &= ~rows
    return Combined(probability, decided)


def _parts(voices: Voices, own: Booleans, model: LabelModel | None) -> list[tuple[Booleans, LabelModel | None]]:
    """Which voices of a kind are heard first, and which where those say nothing."""
    if model is None:
        return [(own, None)]
    known = np.array([name in model.skills for name in voices.names], dtype=np.bool_)
    telling = np.array([name in model.skills and model.skills[name].informative for name in voices.names], np.bool_)
    return [(own & telling, model), (own & ~known, None)]


def _majority(said: LabelMatrix) -> tuple[Floats, LabelMatrix]:
    yes, no = (said == 1).sum(axis=1), (said == 0).sum(axis=1)
    likely = np.where(yes + no > 0, yes / np.maximum(yes + no, 1), 0.5)
    return likely, np.where(yes > no, 1, np.where(yes < no, 0, UNKNOWN)).astype(np.int8)


def _weighed(said: LabelMatrix, names: list[str], model: LabelModel) -> tuple[Floats, LabelMatrix]:
    asserted = np.array([model.skills[name].weight(asserted=True) for name in names])
    denied = np.array([model.skills[name].weight(asserted=False) for name in names])
    evidence = (said == 1) * asserted + (said == 0) * denied
    odds = np.log(model.prevalence / (1 - model.prevalence)) + evidence.sum(axis=1)
    likely = np.where((said != UNKNOWN).any(axis=1), 1 / (1 + np.exp(-odds)), 0.5)
    # nothing is believed that no voice speaks for
    yes = (likely >= SURE) & (evidence > 0).any(axis=1)
    no = (likely <= 1 - SURE) & (evidence < 0).any(axis=1)
    return likely, np.where(yes, 1, np.where(no, 0, UNKNOWN)).astype(np.int8)
