"""Planted label errors: how well `saring audit` finds them, beside cleanlab over TF-IDF and logistic regression.

Three labels of the shared sets: hate in Indonesian posts (`id_multi`), sexism in English posts (`edos_en`), and hate in
Malay posts (`hatem_ms`), whose own labels are bad. Errors are planted by a seed, and the area under the ROC curve says
how well each way ranks planted errors before other labels. Real errors that the sets bring along count as right, so no
way can reach 1.

- `uniform`: 5, 10 and 20% of all labels are turned.
- `class-conditional`: one answer is turned often, the other seldom.
- `annotators`: five raters of unequal care answer, and the majority is given.

Ways: `saring` (n-grams, vectors and neighbours), `saring without vectors`, `confident learning` (the order by
self-confidence, Northcutt et al. 2021, over TF-IDF and logistic regression), and, with `--cleanlab`, the best of
cleanlab's own orders over the same probabilities.

    python -m venv /tmp/peer && /tmp/peer/bin/pip install cleanlab==2.9.0
    python benchmarks/audit.py --cleanlab /tmp/peer/bin/python

Prints JSON lines.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from _measure import answers_to, emit
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from pipeline.learning.label_errors import LabelVotes, find_errors
from pipeline.learning.sets.examples import Examples
from pipeline.measure.arrays import Booleans, Floats
from pipeline.settings import Settings
from pipeline.texts.normalise import text_id
from pipeline.vectors.encoders.make import make_encoder
from pipeline.vectors.encoders.protocol import Vectors

SETS = {"id_multi": "hate", "edos_en": "sexist", "hatem_ms": "hate"}
#: shares of no that become yes, and of yes that become no
NOISE = {
    "uniform 5%": (0.05, 0.05),
    "uniform 10%": (0.1, 0.1),
    "uniform 20%": (0.2, 0.2),
    "class-conditional, yes missed": (0.02, 0.3),
    "class-conditional, yes given freely": (0.15, 0.02),
}
#: errors of each of five annotators: a yes to a no, a no to a yes
ANNOTATORS = ((0.02, 0.1), (0.05, 0.2), (0.05, 0.4), (0.25, 0.1), (0.45, 0.45))
_PEER = Path(__file__).with_name("_cleanlab_peer.py")
_OUT = Path(__file__).resolve().parents[1] / "out"


def main() -> None:
    """Measure, and print JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=4_000, help="texts of each set, at most")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--noise", help="only the kinds of noise that begin so")
    parser.add_argument("--without-vectors", action="store_true", help="measure Saring without vectors only")
    parser.add_argument("--cleanlab", type=Path, help="the Python of an environment with cleanlab")
    options = parser.parse_args()
    if options.cleanlab is None:
        emit("audit", {"note": "cleanlab is not measured: name the Python of an environment that has it (--cleanlab)"})
    for name in options.sets.split(","):
        examples = _read(name, SETS[name], options.texts)
        vectors = None if options.without_vectors else _vectors(name, examples.texts)
        truth = examples.truth[:, 0] == 1
        for kind in (*NOISE, "annotators"):
            if options.noise and not kind.startswith(options.noise):
                continue
            areas: dict[str, list[float]] = {}
            began = time.perf_counter()
            for seed in range(options.seeds):
                given, votes = _spoil(truth, kind, np.random.default_rng(seed))
                for way, doubt in _ways(examples, given, votes, vectors, options.cleanlab):
                    areas.setdefault(way, []).append(float(roc_auc_score(given != truth, doubt)))
            _print(name, kind, len(truth), areas, time.perf_counter() - began)


def _ways(
    examples: Examples, given: Booleans, votes: LabelVotes, vectors: Vectors | None, cleanlab: Path | None
) -> Iterator[tuple[str, Floats]]:
    labels = given.astype(np.int8)[:, None]
    spoilt = Examples(examples.ids, examples.texts, labels, examples.labels, examples.splits, examples.languages)
    if vectors is not None:
        yield "saring", find_errors(spoilt, votes, vectors=vectors).errors.wrong[:, 0]
    yield "saring without vectors", find_errors(spoilt, votes).errors.wrong[:, 0]
    words = TfidfVectorizer().fit_transform(examples.texts)
    learner = LogisticRegression(max_iter=1_000, solver="liblinear")
    probabilities = cross_val_predict(learner, words, given, cv=5, method="predict_proba")
    yield "confident learning", 1 - probabilities[np.arange(len(given)), given.astype(int)]
    if cleanlab is not None:
        orders = _cleanlab(cleanlab, probabilities, given)
        for way, doubt in orders.items():
            yield f"cleanlab: {way}", doubt


def _cleanlab(python: Path, probabilities: Floats, given: Booleans) -> Mapping[str, Floats]:
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "asked.npz", Path(folder) / "answered.npz"
        np.savez(asked, probabilities=probabilities, given=given.astype(np.int64))
        subprocess.run([python, _PEER, asked, answered], check=True)
        with np.load(answered) as arrays:
            return {name: arrays[name] for name in arrays.files}


def _spoil(truth: Booleans, kind: str, rng: np.random.Generator) -> tuple[Booleans, LabelVotes]:
    """The labels with planted errors, and the votes that made them."""
    if kind in NOISE:
        given = _answer(truth, NOISE[kind], rng)
        return given, LabelVotes.one_each(given.astype(np.int8)[:, None])
    answers = np.column_stack([_answer(truth, errors, rng) for errors in ANNOTATORS])
    given = answers.sum(axis=1) * 2 > len(ANNOTATORS)
    texts = np.repeat(np.arange(len(truth)), len(ANNOTATORS))
    raters = np.tile(np.arange(len(ANNOTATORS)), len(truth))
    return given, LabelVotes(texts, raters, answers.reshape(-1, 1).astype(np.int8), len(ANNOTATORS))


def _answer(truth: Booleans, errors: tuple[float, float], rng: np.random.Generator) -> Booleans:
    false_yes, false_no = errors
    return np.asarray(truth ^ (rng.random(len(truth)) < np.where(truth, false_no, false_yes)))


def _read(name: str, label: str, most: int) -> Examples:
    seen = answers_to(name, label, most)
    texts = list(seen)
    truth = np.array(list(seen.values()), dtype=np.int8)[:, None]
    return Examples(
        [text_id(text) for text in texts], texts, truth, (label,), [None] * len(texts), ["unknown"] * len(texts)
    )


def _vectors(name: str, texts: Sequence[str]) -> NDArray[np.float32]:
    """The texts' vectors, which are kept in `out/` beside the code."""
    kept = _OUT / f"audit-{name}-{len(texts)}.npy"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        np.save(kept, make_encoder(Settings()).encode(texts).astype(np.float16))
    return np.asarray(np.load(kept), dtype=np.float32)


def _print(name: str, kind: str, texts: int, areas: Mapping[str, list[float]], seconds: float) -> None:
    figures = {way: round(float(np.mean(values)), 4) for way, values in areas.items()}
    spread = {way: round(float(np.std(values)), 4) for way, values in areas.items()}
    peers = [value for way, value in figures.items() if not way.startswith("saring")]
    emit(
        "audit",
        {
            "set": name,
            "label": SETS[name],
            "texts": texts,
            "noise": kind,
            "seeds": len(next(iter(areas.values()))),
            "auroc": figures,
            "deviation": spread,
            "above_best_peer": figures.get("saring", figures["saring without vectors"]) - max(peers),
            "seconds": seconds,
        },
    )


if __name__ == "__main__":
    main()
