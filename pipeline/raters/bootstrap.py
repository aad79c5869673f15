"""The bootstrap rater: a classifier of vectors that is trained on the taxonomy's exemplars only.

It judges until an LLM or a person does, so that the loop runs without any configuration. It learns from a few dozen
texts for each label, so `resolve()` prefers the judgements of any LLM.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import EncoderError
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement
from pipeline.raters.protocol import NoVerdict, TextToJudge
from pipeline.taxonomy import Taxonomy
from pipeline.vectors.encoders.protocol import Encoder, Vectors

#: least probability of an asserted label, and largest of a denied one; between them the rater gives no verdict
ASSERT_FROM = 0.5
DENY_TO = 0.1
#: name of the method; it changes with the method, so that old judgements belong to another version of the rater
_METHOD = "exemplar-regression-1"


@dataclass(frozen=True, slots=True)
class _Taught:
    #: [exemplars, dimension]
    exemplars: Vectors
    mean: Vectors
    #: [labels, dimension] and [labels]
    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]


class BootstrapRater:
    """One logistic regression for each label over the vectors of exemplars; near-misses are negatives.

    Exemplars of other labels are negatives too. Labels overlap (a racist text is often hateful), so only some negatives
    are certain: exemplars of labels that exclude the label, of benign labels against violations and the reverse, and
    the label's near-misses. All other negatives have half the weight.
    """

    needs_vectors = True

    def __init__(self, taxonomy: Taxonomy, encoder: Encoder) -> None:
        self._taxonomy = taxonomy
        self._encoder = encoder
        self._texts = [(label.key, text) for label in taxonomy for text in label.all_exemplars()]
        self._misses = [(label.key, miss.text) for label in taxonomy for miss in label.all_near_misses()]
        content = f"{_METHOD}\0{taxonomy.version}\0{encoder.name}"
        self._ref = RaterRef(
            RaterKind.BOOTSTRAP, "bootstrap", hashlib.blake2b(content.encode(), digest_size=6).hexdigest()
        )

    @property
    def ref(self) -> RaterRef:
        """Kind, name and version: the version changes with the taxonomy, the encoder and the method."""
        return self._ref

    @property
    def details(self) -> Mapping[str, Any]:
        """Method, encoder and taxonomy."""
        return {"method": _METHOD, "encoder": self._encoder.name, "taxonomy": self._taxonomy.version}

    def probabilities(self, vectors: Vectors) -> NDArray[np.float64]:
        """Probability of each label, in the taxonomy's order: [texts, labels]. Not calibrated on real texts.

        Args:
            vectors: unit vectors of shape [texts, dimension].
        """
        taught = self._taught
        logits = (vectors - taught.mean) @ taught.coefficients.T + taught.intercepts
        return np.asarray(1 / (1 + np.exp(-logits)))

    def judge(self, texts: Sequence[TextToJudge]) -> Iterator[NewJudgement | NoVerdict]:
        """Assert the likely labels and deny the unlikely ones; labels between get no verdict."""
        if not texts:
            return
        if any(text.vector is None for text in texts):
            raise EncoderError("the bootstrap rater needs vectors: run `saring embed` first")
        vectors = np.stack([text.vector for text in texts if text.vector is not None])
        nearest = (vectors @ self._taught.exemplars.T).argmax(axis=1)
        keys = self._taxonomy.keys
        for text, row, near in zip(texts, self.probabilities(vectors), nearest, strict=True):
            scores = {key: round(float(p), 4) for key, p in zip(keys, row, strict=True)}
            asserted = self._consistent({key: p for key, p in scores.items() if p >= ASSERT_FROM})
            label, exemplar = self._texts[near]
            yield NewJudgement(
                text_id=text.id,
                asserted=frozenset(asserted),
                denied=frozenset(key for key, p in scores.items() if p <= DENY_TO),
                scores=scores,
                explanation=f"nearest exemplar, of {label}: {exemplar}",
            )

    def _consistent(self, scores: Mapping[str, float]) -> list[str]:
        """Keep the likelier one of labels that exclude each other."""
        kept: list[str] = []
        for key in sorted(scores, key=lambda key: -scores[key]):
            excluded = {other for k in kept for other in self._taxonomy[k].excludes}
            if key not in excluded and not (set(self._taxonomy[key].excludes) & set(kept)):
                kept.append(key)
        return kept

    @cached_property
    def _taught(self) -> _Taught:
        """The trained regressions, made when the first text is judged, because embedding the exemplars takes time."""
        vectors = self._encoder.encode([text for _, text in (*self._texts, *self._misses)])
        exemplars = vectors[: len(self._texts)]
        mean = exemplars.mean(axis=0)
        coefficients, intercepts = self._fit(vectors - mean, [key for key, _ in self._misses])
        return _Taught(exemplars, mean, coefficients, intercepts)

    def _fit(self, centred: Vectors, miss_of: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        # They take a second to load, and whoever only asks for the rater's name never gets here.
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        owner = [key for key, _ in self._texts]
        coefficients, intercepts = [], []
        for label in self._taxonomy:
            positive = np.array([key == label.key for key in owner] + [False] * len(miss_of))
            certain = np.array(
                [key in label.excludes or self._taxonomy[key].benign != label.benign for key in owner]
                + [key == label.key for key in miss_of]
            )
            weight = np.where(positive | certain, 1.0, 0.5)
            weight[positive] *= weight[~positive].sum() / weight[positive].sum() / 3
            model = LogisticRegression(C=30.0, max_iter=500)
            with warnings.catch_warnings():
                warnings.simplefilter("error", ConvergenceWarning)
                model.fit(centred, positive, sample_weight=weight)
            coefficients.append(model.coef_[0])
            intercepts.append(model.intercept_[0])
        return np.array(coefficients), np.array(intercepts)
