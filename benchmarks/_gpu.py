"""Work on a graphics card: training beside Hugging Face Trainer, share of the card's peak, encoding, bfloat16.

`benchmarks/gpu.sh` runs it, with the other scripts that use a card. Parts:

`card`      the card, its peak in bfloat16 by the table below, and what a large matrix product reaches
`training`  a bidirectional Mistral of 191 million parameters, and a network of the shape of XLM-R-base (Conneau et al.
            2020): samples/s of our loop, of `transformers.Trainer`, and of the Trainer with batches of like lengths
`encoder`   a network of the shape of bge-m3 (Chen et al. 2024; XLM-R-large with 8,192 places), of random weights, since
            weights do not change the time: texts/s of our encoder, and of sentence-transformers by default and with our
            batch size
`quality`   a small network on the demo corpus: macro average precision on held-out texts, trained in float32 and in
            bfloat16 by the Trainer, and by our loop, with the same first weights

Share of the peak, or MFU (Chowdhery et al. 2022, *PaLM*, appendix B): (6 N T + 12 L H sum(t^2)) / seconds / peak, where
N are the parameters that are multiplied (all but the table of words), T the tokens of all texts without padding, t
those of one text, L layers and H their width. Work on padding and the optimiser's count as nothing.

    python benchmarks/_gpu.py card|training|encoder|quality [--tiny] [--peak-tflops 989]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from _measure import emit
from sklearn.metrics import average_precision_score
from transformer_training import count, made_up, network, ours, trainer
from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification, XLMRobertaModel

from pipeline.models.training.loop import best_device
from pipeline.models.transformer.base import train_tokenizer
from pipeline.models.transformer.loss import masked_loss
from pipeline.models.transformer.tokens import Tokens, batch_of, tokenise

_CORPUS = Path(__file__).resolve().parents[1] / "saring" / "demo" / "corpus"
#: TFLOPS of dense matrix products in bfloat16 by the makers' data sheets, by a part of the name; the first that fits
PEAKS = (
    ("B200", 2250.0),
    ("H200", 989.0),
    ("H100 PCIe", 756.0),
    ("H100 NVL", 835.0),
    ("H100", 989.0),
    ("A100", 312.0),
    ("L40S", 362.0),
    ("L4", 121.0),
    ("A10G", 70.0),
    ("A10", 125.0),
    ("RTX 4090", 165.0),
    ("RTX 3090", 71.0),
)
_LONGEST = 128


@dataclass(frozen=True)
class Size:
    """The size of everything that is measured."""

    texts: int
    batch: int
    #: of the bidirectional Mistral
    mistral: dict[str, int]
    mistral_words: int
    #: of the network that is shaped like XLM-R-base
    base: dict[str, int]
    #: of the network that is shaped like bge-m3
    large: dict[str, int]
    words: int
    places: int
    encoded: int
    matrix: int
    repeats: int
    epochs: int


FULL = Size(
    texts=6_400,
    batch=64,
    mistral={"hidden_size": 1024, "num_hidden_layers": 12, "num_attention_heads": 16, "intermediate_size": 2816},
    mistral_words=36_000,
    base={"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    large={"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
    words=250_002,
    places=8_194,
    encoded=8_192,
    matrix=8_192,
    repeats=2,
    epochs=8,
)
_SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
TINY = Size(
    texts=24,
    batch=8,
    mistral=_SMALL,
    mistral_words=600,
    base=_SMALL,
    large=_SMALL,
    words=600,
    places=260,
    encoded=24,
    matrix=64,
    repeats=1,
    epochs=1,
)


def main() -> None:
    """Measure one part, and print a line of JSON for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts: dict[str, Callable[[Size, float | None], None]] = {
        "card": card,
        "training": training,
        "encoder": encoder,
        "quality": quality,
    }
    parser.add_argument("part", choices=parts)
    parser.add_argument("--tiny", action="store_true", help="Try the script itself, on any machine.")
    parser.add_argument("--peak-tflops", type=float, help="Of the card in bfloat16, dense. Default: by its name.")
    given = parser.parse_args()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    if given.tiny:
        torch.set_num_threads(1)
    parts[given.part](TINY if given.tiny else FULL, given.peak_tflops or peak_of(device_name()))


def device_name() -> str:
    """The card's name; else the kind of device."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else best_device().type


def peak_of(name: str) -> float | None:
    """TFLOPS of a card in bfloat16; None: it is not in the table."""
    return next((peak for part, peak in PEAKS if part in name), None)


def share_of_peak(
    multiplied: int, lengths: Sequence[int], layers: int, width: int, seconds: float, peak: float | None
) -> float | None:
    """The share of a card's peak that a training reached, as the module says; None: its peak is not known.

    Args:
        multiplied: parameters without the table of words.
        lengths: tokens of each text, as often as it was trained on.
        layers, width: of the network.
        seconds: that the training took.
        peak: of the card, in TFLOPS.
    """
    if peak is None:
        return None
    flops = 6 * multiplied * sum(lengths) + 12 * layers * width * sum(length**2 for length in lengths)
    return flops / seconds / (peak * 1e12)


def card(size: Size, peak: float | None) -> None:
    """Name the card, and multiply two large matrices on it."""
    device = best_device()
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    left, right = (torch.randn(size.matrix, size.matrix, device=device, dtype=kind) for _ in range(2))
    best = np.inf
    for _ in range(10 * size.repeats):
        wait(device)
        start = time.perf_counter()
        left @ right
        wait(device)
        best = min(best, time.perf_counter() - start)
    reached = 2 * size.matrix**3 / best / 1e12
    emit(
        "gpu: card",
        {
            "device": device_name(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "memory_gb": torch.cuda.get_device_properties(0).total_memory / 1e9 if device.type == "cuda" else None,
            "peak_tflops": peak,
            "matrix_product_tflops": reached,
            "of_peak": reached / peak if peak else None,
        },
    )


def wait(device: torch.device) -> None:
    """Until the card has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


class _Masked(XLMRobertaForSequenceClassification):
    """XLM-R with the loss that our loop has: unknown labels are left out. Trainer asks the network for its loss."""

    def forward(self, labels: torch.Tensor | None = None, **inputs: Any) -> Any:
        output = super().forward(**inputs)
        if labels is not None:
            total, known = masked_loss(output.logits, labels)
            output.loss = total / max(known, 1)
        return output


def xlm_r(shape: dict[str, int], words: int) -> Any:
    """A new classifier of the shape of XLM-R, the same each time."""
    torch.manual_seed(0)
    return _Masked(
        XLMRobertaConfig(vocab_size=words, max_position_embeddings=514, num_labels=11, pad_token_id=2, **shape)
    )


def training(size: Size, peak: float | None) -> None:
    """Train each network in each way."""
    texts = made_up(size.texts, np.random.default_rng(1))
    tokens = tokenise(train_tokenizer(texts[:2_000], 4096 if size is FULL else 300), texts, _LONGEST)
    truth = torch.from_numpy(np.random.default_rng(2).choice([-1, 0, 1], (size.texts, 11)).astype(np.int8))
    given = argparse.Namespace(epochs=1, batch_size=size.batch)
    networks: dict[str, tuple[Callable[[], Any], dict[str, int]]] = {
        "mistral_191m": (lambda: network(size.mistral, size.mistral_words), size.mistral),
        "xlm_r_base": (lambda: xlm_r(size.base, size.words), size.base),
    }
    ways: dict[str, Callable[[Any, Tokens, torch.Tensor], float]] = {
        "ours": lambda model, rows, answers: ours(model, rows, answers, given),
        "trainer": lambda model, rows, answers: trainer(model, rows, answers, given, grouped=False),
        "trainer_sorted": lambda model, rows, answers: trainer(model, rows, answers, given, grouped=True),
    }
    for name, (make, shape) in networks.items():
        model = make()
        parameters = count(model)
        multiplied = parameters - model.get_input_embeddings().weight.numel()
        seconds = dict.fromkeys(ways, np.inf)
        for way in ways.values():  # to warm up: kernels are chosen and compiled for the first batches
            way(make(), tokens[: 4 * size.batch], truth[: 4 * size.batch])
        for _ in range(size.repeats):
            for way_name, way in ways.items():
                seconds[way_name] = min(seconds[way_name], way(make(), tokens, truth))
        lengths = [len(row) for row in tokens]
        for way_name, took in seconds.items():
            emit(
                "gpu: training",
                {
                    "network": name,
                    "way": way_name,
                    "samples_per_s": size.texts / took,
                    "tokens_per_s": sum(lengths) / took,
                    "of_trainer": seconds["trainer"] / took,
                    "share_of_peak": share_of_peak(
                        multiplied, lengths, shape["num_hidden_layers"], shape["hidden_size"], took, peak
                    ),
                    "peak_tflops": peak,
                    "parameters": parameters,
                    "batch_size": size.batch,
                    "texts": size.texts,
                    "mean_tokens": float(np.mean(lengths)),
                    "precision": "bfloat16" if torch.cuda.is_available() else "float32",
                    "device": device_name(),
                },
            )


def encoder(size: Size, _: float | None) -> None:
    """Encode the same texts in each way."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling, Transformer

    from pipeline.vectors.encoders.sentence import SentenceTransformersEncoder

    texts = made_up(size.encoded, np.random.default_rng(3))
    with tempfile.TemporaryDirectory() as folder:
        bare, whole = Path(folder, "bare"), Path(folder, "whole")
        torch.manual_seed(0)
        config = XLMRobertaConfig(
            vocab_size=size.words, max_position_embeddings=size.places, pad_token_id=2, type_vocab_size=1, **size.large
        )
        XLMRobertaModel(config).save_pretrained(bare)
        train_tokenizer(texts[:2_000], 4096 if size is FULL else 300).save_pretrained(bare)
        reader = Transformer(str(bare), max_seq_length=min(512, size.places - 4))
        width = size.large["hidden_size"]
        SentenceTransformer(modules=[reader, Pooling(width, pooling_mode="cls"), Normalize()]).save(str(whole))
        own = SentenceTransformersEncoder(str(whole))
        library = SentenceTransformer(str(whole))
        batch = 256 if library.device.type == "cuda" else 32

        def by_library(rows: Sequence[str], size_: int) -> Any:
            return library.encode(list(rows), batch_size=size_, normalize_embeddings=True, show_progress_bar=False)

        ways: dict[str, Callable[[Sequence[str]], Any]] = {
            "ours": own.encode,
            "library": lambda rows: by_library(rows, 32),
            "library_large_batch": lambda rows: by_library(rows, batch),
        }
        some = texts[: size.encoded // 8]
        far = float(np.abs(np.asarray(own.encode(some)) - np.asarray(by_library(some, batch))).max())
        seconds = dict.fromkeys(ways, np.inf)
        for _repeat in range(size.repeats):
            for name, way in ways.items():
                start = time.perf_counter()
                way(texts)
                seconds[name] = min(seconds[name], time.perf_counter() - start)
        for name, took in seconds.items():
            emit(
                "gpu: encoder",
                {
                    "way": name,
                    "texts_per_s": size.encoded / took,
                    "of_library": seconds["library"] / took,
                    "largest_difference": far,
                    "parameters": count(library),
                    "texts": size.encoded,
                    "device": device_name(),
                },
            )


def quality(size: Size, _: float | None) -> None:
    """Train the same small network in each precision, and measure it on the same held-out texts."""
    each = 150 if size is FULL else 8
    files = sorted(_CORPUS.glob("*.jsonl"))
    rows = [json.loads(line) for path in files for line in path.read_text("utf-8").splitlines()[:each]]
    keys = sorted({label for row in rows for label in row["labels"]})
    order = np.random.default_rng(4).permutation(len(rows))
    answers = np.array([[key in rows[i]["labels"] for key in keys] for i in order], dtype=np.int8)
    texts = [str(rows[i]["text"]) for i in order]
    cut = len(texts) * 4 // 5
    tokenizer = train_tokenizer(texts[:cut], 4_000 if size is FULL else 400)
    tokens = tokenise(tokenizer, texts, _LONGEST)
    shape = (
        {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
        if size is FULL
        else _SMALL
    )
    truth = torch.from_numpy(answers[:cut])
    given = argparse.Namespace(epochs=size.epochs, batch_size=16)
    on_card = torch.cuda.is_available()
    ways: dict[str, tuple[str, Callable[[Any], float]]] = {
        "trainer_float32": (
            "float32",
            lambda model: trainer(model, tokens[:cut], truth, given, grouped=False, half=False),
        ),
        "trainer_bfloat16": (
            "bfloat16",
            lambda model: trainer(model, tokens[:cut], truth, given, grouped=False, half=True),
        ),
        "ours": ("bfloat16" if on_card else "float32", lambda model: ours(model, tokens[:cut], truth, given)),
    }
    scores: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for name, (_precision, way) in ways.items():
        model = network(shape, len(tokenizer), labels=len(keys))
        seconds[name] = way(model)
        scores[name] = held_out(model, tokens[cut:], answers[cut:])
    for name, (precision, _way) in ways.items():
        emit(
            "gpu: quality",
            {
                "way": name,
                "precision": precision,
                "macro_average_precision": scores[name],
                "difference_to_float32": scores[name] - scores["trainer_float32"],
                "seconds": seconds[name],
                "texts": cut,
                "held_out": len(texts) - cut,
                "epochs": size.epochs,
                "device": device_name(),
            },
        )


def held_out(model: Any, tokens: Tokens, answers: np.ndarray) -> float:
    """Macro average precision of a network, in float32, over labels that have a positive and a negative text."""
    device = best_device()
    model.to(device).train(False)
    logits = []
    with torch.no_grad():
        for start in range(0, len(tokens), 64):
            rows = range(start, min(start + 64, len(tokens)))
            logits.append(model(**batch_of(tokens, np.array(rows), 2, device)).logits.float().cpu().numpy())
    decisions = np.concatenate(logits)
    usable = [i for i in range(answers.shape[1]) if 0 < answers[:, i].sum() < len(answers)]
    return float(np.mean([average_precision_score(answers[:, i], decisions[:, i]) for i in usable]))


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
