"""The `linear` backend: a linear support vector machine for each label over n-grams, trained in seconds on a CPU.

One-vs-rest with each label's unknowns left out of its own training. The hinge loss with hashed character n-grams is the
strong baseline of Joachims (1998); its decisions become probabilities by calibration (see `calibration`). What sources
add is kept apart (see `source_effects`).
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelError, NotEnoughLabels, first_line
from pipeline.measure.arrays import UNKNOWN, Booleans, Floats, LabelMatrix, Scores
from pipeline.models.features import NgramConfig, Ngrams
from pipeline.models.folding import NEWEST, NONE, VERSIONS
from pipeline.models.naive_bayes import even_within, ratios
from pipeline.models.plain_arrays import NotPlainError, finite, read_plain
from pipeline.models.protocol import Encode
from pipeline.models.source_effects import (
    SourceEffects,
    columns_of,
    fit_source_effects,
    number_sources,
    restore_source_effects,
)
from pipeline.plural import counted
from pipeline.progress import Progress, silent

if TYPE_CHECKING:
    import scipy.sparse as sp

#: longest n-gram, and most bits of a hash, of a model that is read: more would fill the memory
_LONGEST_NGRAM, _MOST_BITS = 32, 26
#: texts that are embedded between two reports of progress
_EMBEDDED = 2_000
#: the file that holds all of it
ARRAYS = "model.skops"


@dataclass(frozen=True, slots=True)
class LinearConfig:
    """Settings of the linear classifier."""

    ngrams: NgramConfig = field(default_factory=NgramConfig)
    #: inverse strength of the L2 penalty
    C: float = 0.5
    #: the same for the view of naive Bayes, which is averaged with the plain one; 0: the plain one alone
    naive_bayes: float = 0.1
    #: size of the column that names a text's source in training; 0: no source effects
    source_scale: float = 0.3
    #: part of its guessed source's effect that a text is given; less ranks better within sources, more across them
    source_share: float = 0.6
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
        sources: SourceEffects | None = None,
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
        self._sources = sources

    @property
    def labels(self) -> tuple[str, ...]:
        """Keys, in the order of the columns of `decisions`."""
        return self._labels

    def encoding(self, wrap: Callable[[Encode], Encode]) -> LinearClassifier:
        """See WithVectors."""
        if self._encode is None or self._encoder is None:
            return self
        return LinearClassifier(
            self._labels,
            self._ngrams,
            self._weights,
            self._intercepts,
            encoder=self._encoder,
            encode=wrap(self._encode),
            fold=self._fold,
            sources=self._sources,
        )

    def decisions(self, texts: Sequence[str]) -> Scores:
        """Signed distances from each label's hyperplane: [texts, labels]."""
        size = self._ngrams.buckets
        guess = None if self._sources is None else self._sources.weights
        own, of_sources = self._ngrams.weigh_both(_folded(texts, self._fold), self._weights[:size], guess)
        scores = own.astype(np.float64) + self._intercepts
        if self._sources is not None and of_sources is not None:
            scores += self._sources.expected(of_sources)
        if self._encode is not None and self._encoder is not None and texts:
            scores += self._encode(texts) @ self._weights[size:]
        return np.asarray(scores)

    def parts(self, text: str) -> tuple[tuple[str, ...], Scores, Scores]:
        """The words of a text, each word's part of the decisions, and the rest; all add up to `decisions`.

        The words are those of the text, or, where spellings of several become one, as the model reads them.

        Returns:
            The words; [words, labels]; [labels], which holds the intercepts, and the parts of the vector and of the
            source, if there are any.
        """
        size = self._ngrams.buckets
        folded = VERSIONS[self._fold](text)
        words, parts = self._ngrams.weigh_words(folded, self._weights[:size])
        rest = self._intercepts.astype(np.float64)
        if self._sources is not None:
            guessed = self._ngrams.weigh_both([folded], self._weights[:size], self._sources.weights)[1]
            rest = rest + self._sources.expected(np.asarray(guessed))[0]
        if self._encode is not None and self._encoder is not None:
            rest = rest + (self._encode([text]) @ self._weights[size:])[0]
        written = text.split()
        return tuple(written if len(written) == len(words) else words), parts, np.asarray(rest)

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
            **({} if self._sources is None else self._sources.state()),
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
    encode_learnt: Encode | None = None,
    sources: Sequence[str] = (),
    progress: Progress = silent,
) -> LinearClassifier:
    """Train on repaired, masked texts.

    Args:
        texts: the training texts.
        truth: [texts, labels]; unknowns are left out of that label's training.
        labels: keys of the columns of `truth`.
        config: the settings.
        encode: gives the vectors, if `config.encoder` is set.
        encode_learnt: gives those of the training texts, zeros for a text that has none; None: as `encode`.
        sources: the source of each text, for source effects; none: there are no effects.
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

    ngrams = Ngrams(config.ngrams)
    progress(0, len(labels), "training")
    progress(0, None, f"counting the n-grams of {counted(len(texts), 'text')}")
    features = ngrams.fit(_folded(texts, config.fold), config.workers)
    dense: NDArray[np.float32] | None = None
    mean: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
    if encode is not None and config.encoder is not None:
        dense, mean = _centred(_vectors_of(texts, encode_learnt or encode, progress))

    # a text without a name is of no source
    named = sources if sources and config.source_scale else [""] * len(texts)
    numbers, count = number_sources(named)

    def fit_label(column: NDArray[np.int8]) -> tuple[NDArray[np.float32], float, Floats]:
        known = np.flatnonzero(column != UNKNOWN)
        truth, own = column[known] == 1, numbers[known]
        rows = features[known]
        beside = [] if dense is None else [sp.csr_matrix(dense[known])]
        # A label that one source knows has no effects to tell apart.
        apart = count > 0 and len(np.unique(own)) > 1
        if apart:
            beside.append(columns_of(own, count, config.source_scale))
        weighed = _fit_view(rows, beside, truth, config.C)
        if config.naive_bayes:
            scale = ratios(rows, truth, even_within(own, truth))
            second = _fit_view(rows, beside, truth, config.naive_bayes, scale)
            weighed = (weighed + second) / 2
        size = features.shape[1] + (0 if dense is None else dense.shape[1])
        effects = weighed[size:-1] * config.source_scale * config.source_share if apart else np.zeros(count)
        return weighed[:size].astype(np.float32), float(weighed[-1]), effects

    progress(0, len(labels), "training")
    weights, intercepts, effects = [], [], []
    # Labels are fitted one after the other: liblinear has one random generator for the whole process, so with threads
    # the same texts would give another model each time.
    for fitted, column in enumerate(truth.T, start=1):
        weight, intercept, of_sources = fit_label(column)
        weights.append(weight)
        intercepts.append(intercept)
        effects.append(of_sources)
        progress(fitted, len(labels), "training")
    # The weights of centred vectors, as those of vectors as they come.
    intercepts = [b - float(mean @ w[features.shape[1] :]) for w, b in zip(weights, intercepts, strict=True)]
    guess = None
    if count and np.any(effects):
        progress(0, None, f"learning to tell {counted(count, 'source')} apart")
        guess = fit_source_effects(features, numbers, np.array(effects).T, rng=np.random.default_rng(0))
    return LinearClassifier(
        labels,
        ngrams,
        np.ascontiguousarray(np.array(weights, dtype=np.float32).T),
        np.array(intercepts),
        encoder=config.encoder,
        encode=encode,
        fold=config.fold,
        sources=guess,
    )


def _vectors_of(texts: Sequence[str], encode: Encode, progress: Progress) -> NDArray[np.float32]:
    """Vectors of all texts, a part at a time, so that whoever waits sees how far it is.

    The order is random, since the last ones that are asked for may get none.
    """
    order = np.random.default_rng(0).permutation(len(texts))
    parts = []
    for start in range(0, len(texts), _EMBEDDED):
        progress(start, len(texts), "embedding")
        parts.append(encode([texts[row] for row in order[start : start + _EMBEDDED]]))
    vectors = np.concatenate(parts)
    placed = np.empty_like(vectors)
    placed[order] = vectors
    return placed


def _centred(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors less their mean, and the mean: one of zeros, of a text without a vector, is then as good as the mean."""
    has = np.asarray(vectors.any(1))
    mean = vectors[has].mean(0) if has.any() else np.zeros(vectors.shape[1], dtype=np.float32)
    return np.where(has[:, None], vectors - mean, 0).astype(np.float32), mean


def _fit_view(
    rows: sp.csr_matrix,
    beside: Sequence[sp.csr_matrix],
    truth: Booleans,
    strength: float,
    scale: NDArray[np.float32] | None = None,
) -> Floats:
    """Weights and, last, the intercept, in units of the decisions' spread: views are averaged as equals.

    Args:
        rows: the n-grams: [texts, buckets].
        beside: other features, which no scale touches.
        truth: whether the label is true of each text.
        strength: inverse strength of the penalty.
        scale: of each bucket; the weights found are those of the plain n-grams.
    """
    import scipy.sparse as sp
    from sklearn.svm import LinearSVC

    if scale is not None:
        rows = sp.csr_matrix((rows.data * scale[rows.indices], rows.indices, rows.indptr), shape=rows.shape)
    features = sp.hstack([rows, *beside], format="csr") if beside else rows
    # The solver visits rows in random order: a fixed seed makes it repeatable.
    model = LinearSVC(C=strength, dual=True, tol=1e-2, max_iter=2_000, random_state=0)
    model.fit(features, truth)
    weights = np.append(model.coef_[0], model.intercept_[0]).astype(np.float64)
    spread = float(np.std(features @ weights[:-1]))
    if scale is not None:
        weights[: len(scale)] *= scale
    return weights / (spread or 1.0)


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
        weights, intercepts = finite(state["weights"], np.float32), finite(state["intercepts"], np.float64)
        idf = [finite(state[name], np.float64) for name in ("char_idf", "word_idf")]
        encoder = state["encoder"]
        # models from before there was a fold do not name one
        fold = state.get("fold", NONE)
        sources = restore_source_effects(state)
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
    if sources is not None and sources.effects.shape[1] != len(labels):
        raise ModelError("the parts of the model's state do not fit together: train it again")
    return LinearClassifier(
        labels, Ngrams(config, idf), weights, intercepts, encoder=encoder, encode=encode, fold=fold, sources=sources
    )


def _pair(value: Any) -> tuple[int, int]:
    least, most = value
    if type(least) is not int or type(most) is not int or not 1 <= least <= most <= _LONGEST_NGRAM:
        raise ValueError("lengths of n-grams are out of range")
    return least, most


def _bits(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _MOST_BITS:
        raise ValueError("bits of the hash are out of range")
    return value


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
