"""Fine-tune a bidirectional Mistral beside a plain Hugging Face `Trainer`: the same network, data and batch size.

`ours`      `pipeline.models.training.run_loop`: batches of like lengths, a checkpoint an epoch
`trainer`   `transformers.Trainer` with a collator that pads each batch to its longest text, in random order
`sorted`    the same `Trainer` with its own `group_by_length`, which is what our bucketing stands beside

All three learn from the same tokens with the same masked loss, for the same number of epochs; samples/s counts the
examples, not the padding. Tokenising is timed apart. Every way is measured once to warm up and then `--repeats` times
in turn; the best counts. The texts are drawn to have the lengths of social text (log-normal, median 18 words).

Where there is a CUDA device, a network of 191 million parameters is trained in bfloat16 as well,
with its share of the device's peak: 6 FLOPs a parameter and token (Kaplan et al. 2020, section 2.1) besides those of
attention, over `--peak-tflops`.

    python benchmarks/transformer_training.py [--texts 2000] [--hidden 128] [--layers 2] [--threads 1]
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from _measure import emit
from torch import Tensor
from transformers import MistralConfig, PrinterCallback, Trainer, TrainingArguments

from pipeline.models.mistral import MistralForSequenceClassification
from pipeline.models.training.loop import LoopConfig, best_device, run_loop
from pipeline.models.training.order import Rows
from pipeline.models.transformer.base import train_tokenizer
from pipeline.models.transformer.loss import masked_loss
from pipeline.models.transformer.tokens import Tokens, batch_of, tokenise

LABELS = 11
_LONGEST = 128
#: 191 million parameters, with as many words
_WORDS = 36_000
_LARGE = {"hidden_size": 1024, "num_hidden_layers": 12, "num_attention_heads": 16, "intermediate_size": 2816}


def main() -> None:
    """Measure, and print a line a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=2_000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="Of the device in bfloat16, dense.")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()

    texts = made_up(given.texts, np.random.default_rng(1))
    tokenizer = train_tokenizer(texts[:2_000], 4096)
    start = time.perf_counter()
    tokens = tokenise(tokenizer, texts, _LONGEST)
    tokenising = time.perf_counter() - start
    truth = torch.from_numpy(np.random.default_rng(2).choice([-1, 0, 1], (given.texts, LABELS)).astype(np.int8))
    shape = {
        "hidden_size": given.hidden,
        "num_hidden_layers": given.layers,
        "num_attention_heads": 4,
        "intermediate_size": 2 * given.hidden,
    }
    ways: dict[str, Callable[[], float]] = {
        "ours": lambda: ours(network(shape, len(tokenizer)), tokens, truth, given),
        "trainer": lambda: trainer(network(shape, len(tokenizer)), tokens, truth, given, grouped=False),
        "sorted": lambda: trainer(network(shape, len(tokenizer)), tokens, truth, given, grouped=True),
    }
    best = dict.fromkeys(ways, np.inf)
    for repeat in range(given.repeats + 1):
        for name, way in ways.items():
            took = way()
            if repeat:
                best[name] = min(best[name], took)
    for name, took in best.items():
        emit(
            "transformer_training",
            {
                "way": name,
                "samples_per_s": round(given.texts * given.epochs / took, 1),
                "of_trainer": round(best["trainer"] / took, 3),
                "seconds": round(took, 3),
                "texts": given.texts,
                "mean_tokens": round(sum(map(len, tokens)) / len(tokens), 1),
                "batch_size": given.batch_size,
                "parameters": count(network(shape, len(tokenizer))),
                "threads": given.threads,
                "device": best_device().type,
                "tokenising_s": round(tokenising, 3),
            },
        )
    if torch.cuda.is_available():
        on_device(tokens, truth, given)


def made_up(count_: int, rng: np.random.Generator) -> list[str]:
    """Texts of words that do not exist, as long as people's posts."""
    letters = np.array(list("aeioukmnprstbdgl"))
    words = ["".join(rng.choice(letters, size)) for size in rng.integers(2, 9, 3_000)]
    sizes = np.clip(rng.lognormal(np.log(18), 0.8, count_).astype(int), 1, 120)
    # Frequent words are few (Zipf).
    return [" ".join(words[i] for i in np.minimum(rng.zipf(1.3, size) - 1, 2_999)) for size in sizes]


def network(shape: dict[str, Any], vocabulary: int, *, labels: int = LABELS) -> Any:
    """A new network, the same each time."""
    torch.manual_seed(0)
    return MistralForSequenceClassification(
        MistralConfig(
            vocab_size=vocabulary,
            num_labels=labels,
            num_key_value_heads=shape["num_attention_heads"],
            head_dim=shape["hidden_size"] // shape["num_attention_heads"],
            max_position_embeddings=512,
            sliding_window=None,
            pad_token_id=2,
            problem_type="multi_label_classification",
            **shape,
        )
    )


def count(model: Any) -> int:
    """Parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def ours(model: Any, tokens: Tokens, truth: Tensor, given: argparse.Namespace) -> float:
    """Seconds that our loop takes, a checkpoint at the end of each epoch included."""
    device = best_device()
    on_it = truth.to(device)

    def loss_of(rows: Rows) -> tuple[Tensor, float]:
        logits = model(**batch_of(tokens, rows, 2, device)).logits
        return masked_loss(logits, on_it[torch.from_numpy(rows).to(device)])

    config = LoopConfig(epochs=given.epochs, batch_size=given.batch_size, checkpoint_steps=0)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        run_loop(
            model,
            [len(text_tokens) for text_tokens in tokens],
            loss_of,
            config,
            device=device,
            checkpoints=Path(folder),
        )
        return time.perf_counter() - start


class _Rows(torch.utils.data.Dataset[dict[str, Any]]):
    def __init__(self, tokens: Tokens, truth: Tensor) -> None:
        self.tokens, self.truth = tokens, truth

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"input_ids": self.tokens[i], "labels": self.truth[i], "length": len(self.tokens[i])}


def trainer(
    model: Any, tokens: Tokens, truth: Tensor, given: argparse.Namespace, *, grouped: bool, half: bool | None = None
) -> float:
    """Seconds that a plain Trainer takes, a checkpoint at the end of each epoch included.

    `half` says whether it computes in bfloat16; None: on a CUDA device.
    """

    def collate(rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        batch = batch_of([row["input_ids"] for row in rows], range(len(rows)), 2, torch.device("cpu"))
        return batch | {"labels": torch.stack([row["labels"] for row in rows])}

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=given.epochs,
            per_device_train_batch_size=given.batch_size,
            learning_rate=5e-5,
            warmup_steps=round(0.06 * given.epochs * len(tokens) / given.batch_size),
            save_strategy="epoch",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
            remove_unused_columns=False,
            train_sampling_strategy="group_by_length" if grouped else "random",
            length_column_name="length",
            bf16=torch.cuda.is_available() if half is None else half,
            use_cpu=bool(half) and not torch.cuda.is_available(),
            dataloader_pin_memory=torch.cuda.is_available(),
            seed=1,
        )
        made = Trainer(model=model, args=arguments, train_dataset=_Rows(tokens, truth), data_collator=collate)
        # The callback would write on standard output.
        made.remove_callback(PrinterCallback)
        start = time.perf_counter()
        made.train()
        return time.perf_counter() - start


def on_device(tokens: Tokens, truth: Tensor, given: argparse.Namespace) -> None:
    """191 million parameters on a GPU, and its share of the peak."""
    model = network(_LARGE, _WORDS)
    ours(network(_LARGE, _WORDS), tokens[:256], truth[:256], given)
    took = ours(model, tokens, truth, given)
    words = sum(map(len, tokens)) * given.epochs
    # The embedding is looked up, not multiplied.
    multiplied = count(model) - _WORDS * _LARGE["hidden_size"]
    attention = (
        12 * _LARGE["num_hidden_layers"] * _LARGE["hidden_size"] * sum(len(text_tokens) ** 2 for text_tokens in tokens)
    )
    flops = 6 * multiplied * words + attention * given.epochs
    emit(
        "transformer_training",
        {
            "way": "ours_191m",
            "samples_per_s": round(len(tokens) * given.epochs / took, 1),
            "tokens_per_s": round(words / took),
            "share_of_peak": round(flops / took / (given.peak_tflops * 1e12), 4),
            "peak_tflops": given.peak_tflops,
            "parameters": count(model),
            "batch_size": given.batch_size,
            "device": torch.cuda.get_device_name(),
        },
    )


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
