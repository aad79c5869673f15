"""Rules of small-text and scikit-activeml as rules of a replay: their own code chooses, with our model and seeds.

`make bench-peers` puts both into `out/peers/active`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

from pipeline.measure.arrays import Floats, Ints
from pipeline.queue.queries import Known

_FOLDER = Path(__file__).resolve().parents[1] / "out" / "peers" / "active"
#: models of a committee, as many as ours
_COMMITTEE = 5


class _OfRows(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """The model of a replay for texts that are given by number, since scikit-activeml takes no sparse features.

    Arguments have the names of scikit-learn, because scikit-activeml gives them by name.
    """

    def __init__(self, features: Any = None) -> None:
        self.features = features

    def fit(self, X: Floats, y: Floats) -> _OfRows:  # noqa: N803
        """Learn; of one answer alone there is nothing to learn."""
        self.classes_ = np.unique(y)
        self.model_ = None
        if len(self.classes_) > 1:
            model = LogisticRegression(max_iter=200, tol=1e-3, class_weight="balanced")
            self.model_ = model.fit(self._rows(X), y)
        return self

    def predict_proba(self, X: Floats) -> Floats:  # noqa: N803
        """[texts, answers]."""
        if self.model_ is None:
            return np.ones((len(X), 1))
        return np.asarray(self.model_.predict_proba(self._rows(X)))

    def predict(self, X: Floats) -> Floats:  # noqa: N803
        """[texts]."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def _rows(self, numbers: Floats) -> Any:
        return self.features[np.asarray(numbers)[:, 0].astype(np.int64)]


class _Learnt:
    """The part of a classifier that small-text asks for, from the probabilities that the replay has already."""

    def __init__(self, yes: Floats) -> None:
        self.yes = yes

    def predict_proba(self, _dataset: object) -> Floats:
        """[texts, answers]."""
        return np.column_stack([1 - self.yes, self.yes])


def _imported() -> None:
    if not _FOLDER.is_dir():
        raise SystemExit("small-text and scikit-activeml are not there: run 'make bench-peers'")
    if str(_FOLDER) not in sys.path:
        sys.path.append(str(_FOLDER))


def _small_text(name: str) -> Callable[[Known, int, np.random.Generator], Ints]:
    def query(known: Known, size: int, rng: np.random.Generator) -> Ints:
        _imported()
        import small_text

        yes = np.nan_to_num(known.probabilities[:, 0], nan=0.0)
        # the first of equal ones would be taken otherwise, in the order of the file
        shuffled = rng.permutation(len(yes))
        free, bought = np.arange(len(yes)), np.arange(0)
        chosen = getattr(small_text, name)().query(_Learnt(yes[shuffled]), free, free, bought, bought, n=size)
        return np.asarray(shuffled[chosen])

    return query


def _scikit_activeml(
    make: Callable[[Any, int], Any], committee: bool = False
) -> Callable[[Known, int, np.random.Generator], Ints]:
    def query(known: Known, size: int, rng: np.random.Generator) -> Ints:
        _imported()
        from skactiveml import pool
        from skactiveml.classifier import SklearnClassifier

        seed = int(rng.integers(1 << 31))
        numbers = np.arange(known.space.shape[0], dtype=np.float64)[:, None]
        answers = np.full(len(numbers), np.nan)
        answers[known.bought] = known.truth[:, 0]

        def model(estimator: object) -> Any:
            return SklearnClassifier(estimator, classes=[0, 1], random_state=seed)

        asked = {"X": numbers, "y": answers, "candidates": known.free, "batch_size": size}
        if committee:
            from sklearn.ensemble import BaggingClassifier

            asked["ensemble"] = model(BaggingClassifier(_OfRows(known.space), _COMMITTEE, random_state=seed))
        else:
            asked["clf"] = model(_OfRows(known.space))
        chosen = make(pool, seed).query(**asked)
        return np.asarray(np.searchsorted(known.free, chosen))

    return query


#: rules by name, of one label
PEERS: Mapping[str, Callable[[Known, int, np.random.Generator], Ints]] = {
    "small_text_ties": _small_text("BreakingTies"),
    "small_text_entropy": _small_text("PredictionEntropy"),
    "skactiveml_margin": _scikit_activeml(
        lambda pool, seed: pool.UncertaintySampling(method="margin_sampling", random_state=seed)
    ),
    "skactiveml_committee": _scikit_activeml(
        lambda pool, seed: pool.QueryByCommittee(random_state=seed), committee=True
    ),
    "skactiveml_falcun": _scikit_activeml(lambda pool, seed: pool.Falcun(random_state=seed)),
}
