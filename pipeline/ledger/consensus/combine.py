"""Decisions of a consensus on many texts at once, equal to those of `resolve` from the machines' votes."""

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
    """Decisions from the votes."""

    #: [texts, labels]: probability of each label; nan where no vote counts
    probability: Floats
    #: [texts, labels]: 1, 0, or -1 where it is not decided
    decided: LabelMatrix


def combine(votes: Votes, consensus: Consensus) -> Combined:
    """Combine the votes on every text, label by label, as `Consensus.decide` does."""
    shape = (votes.texts, len(votes.labels))
    probability, decided = np.full(shape, np.nan), np.full(shape, UNKNOWN, dtype=np.int8)
    for column, label in enumerate(votes.labels):
        model = consensus.labels.get(label) if consensus.method is Method.DAWID_SKENE else None
        voices = voices_on(votes, column, consensus)
        left = np.ones(votes.texts, dtype=np.bool_)
        for kind in WEIGHED_KINDS:
            own = np.array([voice_kind is kind for voice_kind in voices.kinds], dtype=np.bool_)
            for columns, weighed in _parts(voices, own, model):
                rows = left & (voices.votes[:, columns].sum(axis=1) > 0)
                verdicts = voices.said[np.ix_(rows, columns)]
                names = [voices.names[i] for i in np.flatnonzero(columns)]
                likely, decisions = _weighed(verdicts, names, weighed) if weighed is not None else _majority(verdicts)
                probability[rows, column], decided[rows, column] = likely, decisions
                left &= ~rows
    return Combined(probability, decided)


def _parts(voices: Voices, own: Booleans, model: LabelModel | None) -> list[tuple[Booleans, LabelModel | None]]:
    """The voices of a kind that count first, and the voices that count where the first have no vote."""
    if model is None:
        return [(own, None)]
    known = np.array([name in model.skills for name in voices.names], dtype=np.bool_)
    informative = np.array([name in model.skills and model.skills[name].informative for name in voices.names], np.bool_)
    return [(own & informative, model), (own & ~known, None)]


def _majority(verdicts: LabelMatrix) -> tuple[Floats, LabelMatrix]:
    yes, no = (verdicts == 1).sum(axis=1), (verdicts == 0).sum(axis=1)
    likely = np.where(yes + no > 0, yes / np.maximum(yes + no, 1), 0.5)
    return likely, np.where(yes > no, 1, np.where(yes < no, 0, UNKNOWN)).astype(np.int8)


def _weighed(verdicts: LabelMatrix, names: list[str], model: LabelModel) -> tuple[Floats, LabelMatrix]:
    asserted = np.array([model.skills[name].weight(asserted=True) for name in names])
    denied = np.array([model.skills[name].weight(asserted=False) for name in names])
    evidence = (verdicts == 1) * asserted + (verdicts == 0) * denied
    odds = np.log(model.prevalence / (1 - model.prevalence)) + evidence.sum(axis=1)
    likely = np.where((verdicts != UNKNOWN).any(axis=1), 1 / (1 + np.exp(-odds)), 0.5)
    # A label is not decided if no voice supports the decision.
    yes = (likely >= SURE) & (evidence > 0).any(axis=1)
    no = (likely <= 1 - SURE) & (evidence < 0).any(axis=1)
    return likely, np.where(yes, 1, np.where(no, 0, UNKNOWN)).astype(np.int8)
