"""The `linear` backend: a linear support vector machine for each label over n-grams, trained in seconds on a CPU.

One-vs-rest with each label's unknowns left out of its own training. The hinge loss with hashed character n-grams is the
strong baseline of Joachims (1998); its decisions become probabilities by calibration (see `calibration`).
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelError, NotEnoughLabels, first_line
from pipeline.measure.arrays import UNKNOWN, LabelMatrix, Scores
from pipeline.models.features import NgramConfig, Ngrams
from pipeline.models.folding import NEWEST, NONE, VERSIONS
from pipeline.models.plain_arrays import NotPlainError, read_plain
from pipeline.models.protocol import Encode
from pipeline.plural import counted
from pipeline.progress import Progress, silent

#: longest n-gram, and most bits of a hash, of a model that is read: more would fill the memory
_LONGEST_NGRAM, _MOST_BITS = 32, 26
#: the file that holds all of it
ARRAYS = "model.skops"


@dataclass(frozen=True, slots=True)
class LinearConfig:
    """Settings of the linear classifier."""

    ngrams: NgramConfig = field(default_factory=NgramConfig)
    #: inverse strength of the L2 penalty
    C: float = 0.3
    #: name of the encoder whose vectors stand beside the n-grams; None: n-grams only
    encoder: str | None = None
    #: processes that hash the texts
    workers: int = 2
    #: how the spellings of a word become one; see `folding.VERSIONS`
    fold: str = NEWEST


class LinearClassifier:
    """See the module; made by `fit_linear` or `restore_linear`."""

    backend = "linear"

    def __init__(
        self,
        labels: Sequence[str],
        ngrams: Ngrams,
        weights: NDArray[np.float32],
        intercepts: NDArray[np.float64],
        *,
        encoder: str | None = None,
        encode: Encode | None = None,
        fold: str = NONE,
    ) -> None:
        if encoder is not None and encode is None:
            raise ModelError(f"the model needs the vectors of encoder {encoder!r}: set SARING_ENCODER={encoder}")
        self._labels = tuple(labels)
        self._ngrams = ngrams
        self._weights = weights
        self._intercepts = intercepts
        self._encoder = encoder
        self._encode = encode
        self._fold = fold

    @property
    def labels(self) -> tuple[str, ...]:
        """Keys, in the order of the columns of `decisions`."""
        return self._labels

    def decisions(self, texts: Sequence[str]) -> Scores:
        """Signed distances from each label's hyperplane: [texts, labels]."""
        size = self._ngrams.buckets
        scores = (
            self._ngrams.weigh(_folded(texts, self._fold), self._weights[:size]).astype(np.float64) + self._intercepts
        )
        if self._encode is not None and self._encoder is not None and texts:
            scores += self._encode(texts) @ self._weights[size:]
        return np.asarray(scores)

    def state(self) -> Mapping[str, Any]:
        """See Classifier."""
        char_idf, word_idf = self._ngrams.idf
        return {
            "labels": list(self._labels),
            "ngrams": asdict(self._ngrams.config),
            "char_idf": char_idf.astype(np.float32),
            "word_idf": word_idf.astype(np.float32),
            "weights": self._weights,
            "intercepts": self._intercepts,
            "encoder": self._encoder,
            "fold": self._fold,
        }

    def write(self, folder: Path) -> None:
        """See Classifier: one file of arrays, never a pickle."""
        # Importing skops loads all of scikit-learn and SciPy, which most commands do not need.
        import skops.io

        skops.io.dump(dict(self.state()), folder / ARRAYS, compression=zipfile.ZIP_DEFLATED)


def fit_linear(
    texts: Sequence[str],
    truth: LabelMatrix,
    labels: Sequence[str],
    config: LinearConfig,
    *,
    encode: Encode | None = None,
    progress: Progress = silent,
) -> LinearClassifier:
    """Train on repaired, masked texts.

    Args:
        texts: the training texts.
        truth: [texts, labels]; unknowns are left out of that label's training.
        labels: keys of the columns of `truth`.
        config: the settings.
        encode: gives the vectors, if `config.encoder` is set.
        progress: told of each label.

    Raises:
        NotEnoughLabels: a label has no positive or no negative text.
    """
    for label, column in zip(labels, truth.T, strict=True):
        if not (column == 1).any() or not (column == 0).any():
            missing = "asserts" if not (column == 1).any() else "denies"
            raise NotEnoughLabels(f"no training text {missing} {label!r}: add such texts, or leave the label out")
    # Who only reads a model back need not wait for these.
    import scipy.sparse as sp
    from sklearn.svm import LinearSVC

    ngrams = Ngrams(config.ngrams)
    progress(0, len(labels), "training")
    progress(0, None, f"counting the n-grams of {counted(len(texts), 'text')}")
    features = ngrams.fit(_folded(texts, config.fold), config.workers)
    dense = None
    if encode is not None and config.encoder is not None:
        progress(0, None, f"embedding {counted(len(texts), 'text')}")
        dense = encode(texts)

    def fit_label(column: NDArray[np.int8]) -> tuple[NDArray[np.float32], float]:
        known = column != UNKNOWN
        rows = features[known]
        if dense is not None:
            rows = sp.hstack([rows, sp.csr_matrix(dense[known])], format="csr")
        # The solver visits rows in random order: a fixed seed makes it repeatable.
        model = LinearSVC(C=config.C, dual=True, tol=1e-2, max_iter=2_000, random_state=0)
        model.fit(rows, column[known])
        return model.coef_[0].astype(np.float32), float(model.intercept_[0])

    progress(0, len(labels), "training")
    weights, intercepts = [], []
    # Labels are fitted one after the other: liblinear has one random generator for the whole process, so with threads
    # the same texts would give another model each time.
    for fitted, column in enumerate(truth.T, start=1):
        weight, intercept = fit_label(column)
        weights.append(weight)
        intercepts.append(intercept)
        progress(fitted, len(labels), "training")
    return LinearClassifier(
        labels,
        ngrams,
        np.ascontiguousarray(np.array(weights, dtype=np.float32).T),
        np.array(intercepts),
        encoder=config.encoder,
        encode=encode,
        fold=config.fold,
    )


def _folded(texts: Sequence[str], version: str) -> list[str]:
    fold = VERSIONS[version]
    return [fold(text) for text in texts]


def restore_linear(state: Mapping[str, Any], encode: Encode | None = None) -> LinearClassifier:
    """The classifier whose `state` this is.

    Raises:
        ModelError: the state isn't one of a linear classifier, or its parts don't fit together.
    """
    try:
        given = state["ngrams"]
        config = NgramConfig(
            _pair(given["char_range"]), _bits(given["char_bits"]), _pair(given["word_range"]), _bits(given["word_bits"])
        )
        labels = list(state["labels"])
        weights, intercepts = _numbers(state["weights"], np.float32), _numbers(state["intercepts"], np.float64)
        idf = [_numbers(state[name], np.float64) for name in ("char_idf", "word_idf")]
        encoder = state["encoder"]
        # models from before there was a fold do not name one
        fold = state.get("fold", NONE)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(
            f"the model's state is not that of a linear classifier ({first_line(error)}): train it again"
        ) from error
    if not isinstance(fold, str) or fold not in VERSIONS:
        raise ModelError(
            f"the model folds its texts in a way that this Saring does not know ({fold!r}): upgrade Saring"
        )
    sizes = (2**config.char_bits, 2**config.word_bits)
    flat = weights.ndim != 2 or any(array.ndim != 1 for array in (intercepts, *idf))
    rows, columns = (0, 0) if flat else weights.shape
    fits = rows == sum(sizes) if encoder is None else rows > sum(sizes)
    named = all(isinstance(label, str) for label in labels) and isinstance(encoder, str | None)
    if flat or not named or not fits or tuple(map(len, idf)) != sizes or not columns == len(labels) == len(intercepts):
        raise ModelError("the parts of the model's state do not fit together: train it again")
    return LinearClassifier(labels, Ngrams(config, idf), weights, intercepts, encoder=encoder, encode=encode, fold=fold)


def _pair(value: Any) -> tuple[int, int]:
    least, most = value
    if type(least) is not int or type(most) is not int or not 1 <= least <= most <= _LONGEST_NGRAM:
        raise ValueError("lengths of n-grams are out of range")
    return least, most


def _bits(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _MOST_BITS:
        raise ValueError("bits of the hash are out of range")
    return value


def _numbers(value: Any, kind: Any) -> NDArray[Any]:
    numbers = np.asarray(value)
    if numbers.dtype.kind not in "fiu" or not np.isfinite(numbers).all():
        raise ValueError("an array does not hold finite numbers")
    return np.asarray(numbers, dtype=kind)


def read_linear(folder: Path, encode: Encode | None = None) -> LinearClassifier:
    """The classifier that `LinearClassifier.write` wrote there. The caller checks that the file is unchanged.

    Raises:
        ModelError: the file holds other types than plain arrays, or the arrays do not fit together.
    """
    arrays = folder / ARRAYS
    try:
        return restore_linear(read_plain(arrays), encode)
    except NotPlainError:
        # skops knows better what it is, and takes seconds to say so.
        import skops.io
    except OSError as error:
        raise ModelError(f"{arrays}: cannot be read ({first_line(error)}): fetch or train the model again") from error
    try:
        unknown = skops.io.get_untrusted_types(file=arrays)
        if not unknown:
            return restore_linear(skops.io.load(arrays), encode)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{arrays}: not the arrays of a model ({first_line(error)}): fetch or train the model again"
        ) from error
    names = ", ".join(sorted(first_line(ValueError(name)) for name in unknown)[:3])
    raise ModelError(f"{arrays} holds types that are not allowed in a model ({names}): fetch it again")
