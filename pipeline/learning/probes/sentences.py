"""Probe sentences: pairs of sentences that look alike, of which one has a label and the other does not.

Each pair tests one function, such as negation (functional tests: Röttger et al. 2021, "HateCheck"; Ribeiro et al. 2020,
"CheckList"). The two sentences share most of their words, so that a model cannot tell them apart by the subject
(contrast sets: Gardner et al. 2020). A model gets a pair right if it gives the sentence with the label the higher
probability of it. No threshold plays a part in that: like the other checks of the gate, it asks what a model can tell
apart, and not where its thresholds lie.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import orjson

from pipeline.learning.evaluate import given_matrix
from pipeline.measure.arrays import Booleans, Floats
from pipeline.models.artefact import TrainedModel
from pipeline.taxonomy import Bilingual


@dataclass(frozen=True, slots=True)
class ProbePair:
    """Two sentences that look alike."""

    label: str
    #: what the pair tests
    function: str
    #: `ms`, `manglish`, `en`
    variety: str
    #: the sentence that has the label, repaired and masked as training texts are
    has: str
    #: the sentence that does not have it
    lacks: str
    #: the file that it is from, as messages name it, and the line in it
    file: str = ""
    line: int = 0


@dataclass(frozen=True)
class ProbeSentences:
    """All pairs that models are tried on."""

    pairs: tuple[ProbePair, ...] = ()
    #: what each function means, for people
    functions: Mapping[str, Bilingual] = field(default_factory=dict)

    @cached_property
    def version(self) -> str:
        """Hash of the pairs, whatever file they are from."""
        content = [[pair.label, pair.function, pair.variety, pair.has, pair.lacks] for pair in self.pairs]
        return hashlib.blake2b(orjson.dumps(sorted(content)), digest_size=6).hexdigest()

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Every sentence once."""
        return tuple(dict.fromkeys(text for pair in self.pairs for text in (pair.has, pair.lacks)))

    def of_labels(self, labels: Sequence[str]) -> tuple[ProbePair, ...]:
        """The pairs of these labels."""
        known = frozenset(labels)
        return tuple(pair for pair in self.pairs if pair.label in known)


@dataclass(frozen=True, slots=True)
class Tried:
    """A model's answers to pairs. Columns of arrays: the sentence that has the label, then the one that lacks it."""

    pairs: Sequence[ProbePair]
    #: probabilities [pairs, 2] of the pair's label
    probabilities: Floats
    #: [pairs, 2]: the model gives the label, by its threshold
    given: Booleans

    @property
    def right(self) -> Booleans:
        """[pairs]: the sentence with the label has the higher probability. Equal ones are not right."""
        return np.asarray(self.probabilities[:, 0] > self.probabilities[:, 1])


def try_pairs(model: TrainedModel, pairs: Sequence[ProbePair]) -> Tried:
    """Ask a model about pairs, all of labels that it knows."""
    if not pairs:
        return Tried((), np.zeros((0, 2)), np.zeros((0, 2), dtype=bool))
    scores = model.probabilities([text for pair in pairs for text in (pair.has, pair.lacks)])
    given = given_matrix(model, scores)
    columns = np.repeat([model.labels.index(pair.label) for pair in pairs], 2)
    rows = np.arange(len(columns))
    return Tried(pairs, scores[rows, columns].reshape(-1, 2), given[rows, columns].reshape(-1, 2))
