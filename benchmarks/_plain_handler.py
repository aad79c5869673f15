"""The peer of `benchmarks/moderation.py`: a plain FastAPI handler around scikit-learn's `predict_proba`.

It is what most people would write first: character n-grams, a logistic regression a label, one request at a time.

    python benchmarks/_plain_handler.py PORT
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from pipeline.taxonomy import load_taxonomy
from saring.demo.plant import read_corpus


class Question(BaseModel):
    """A request."""

    input: str | list[str]


def main() -> None:
    """Train on the demo corpus, then serve."""
    keys = load_taxonomy().keys
    lines = [line for line in read_corpus() if line.labels]
    model = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        OneVsRestClassifier(LogisticRegression(max_iter=1_000)),
    )
    model.fit([line.text for line in lines], [[int(key in line.labels) for key in keys] for line in lines])
    app = FastAPI()

    @app.get("/health")
    def health() -> str:
        return "ok"

    @app.post("/v1/moderations")
    def moderate(question: Question) -> dict[str, Any]:
        texts = [question.input] if isinstance(question.input, str) else question.input
        scores = model.predict_proba(texts)
        return {"results": [dict(zip(keys, row.tolist(), strict=True)) for row in scores]}

    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
