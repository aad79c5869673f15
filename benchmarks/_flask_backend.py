"""The peer of `ml_backend.py`: a backend as label-studio-ml's examples are, a plain Flask app around the same model.

    python benchmarks/_flask_backend.py MODEL_FOLDER PORT each|once

`each` makes the model object anew for each request, as label-studio-ml does; `once` keeps one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from flask import Flask, request

from pipeline.models.artefact import load_model
from pipeline.texts.labelled_files import clean


def main() -> None:
    """Serve with Flask's own threaded server, as `label-studio-ml start` does."""
    folder, port, each = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "each"
    kept = None if each else load_model(folder)
    app = Flask(__name__)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "UP"}

    @app.post("/predict")
    def predict() -> dict[str, object]:
        model = kept or load_model(folder)
        texts = [clean(task["data"]["text"]) for task in request.get_json()["tasks"]]
        probabilities = model.probabilities(texts)
        return {
            "results": [
                {
                    "result": [
                        {"from_name": "labels", "to_name": "text", "type": "choices", "value": {"choices": labels}}
                    ],
                    "score": float(scores.max()),
                    "model_version": model.manifest.version,
                }
                for labels, scores in zip(model.given(probabilities), probabilities, strict=True)
            ]
        }

    app.run("127.0.0.1", port, threaded=True)


if __name__ == "__main__":
    main()
