"""Pre-train a small network by masked next-token prediction, beside plain Hugging Face Trainer on the same network.

Both start from the same weights, see the same encoded texts, and take the same number of steps of as many texts with
the same learning rate. The peer is `transformers.Trainer` with `DataCollatorForLanguageModeling` (a share of the tokens
is masked, all of them by the mask token) and transformers' own `MistralForCausalLM` with causal attention turned off:
its loss shifts the labels by one, so it learns the same thing. Its batches are drawn at random, as they are by default;
ours hold texts of like length. It computes the output layer for every token, ours for the masked ones.

`tokens_per_s` counts tokens of texts, not padding, over the whole training: batching, masking and the optimiser
included, checkpoints (ours) and logs (its) left out. `loss` is in nats for each masked token of the same held-out
texts, the same tokens masked for both. `processor_seconds` hardly depends on what else the machine does. Each way is
run `--repeats` times in turn, and the median counts.

    python benchmarks/pretrain.py [--texts 4000] [--steps 60] [--device cpu|cuda] [--data FILE]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from _measure import emit, require, shared_data
from transformers import (
    DataCollatorForLanguageModeling,
    MistralForCausalLM,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from pipeline.learning.unlabelled import read_texts
from pipeline.models.pretraining.mntp import Masker, held_out_loss, unigram_loss
from pipeline.models.pretraining.network import MistralForMaskedNextToken, Shape, new_network
from pipeline.models.pretraining.texts import divide
from pipeline.models.pretraining.tokens import Encoded, encode
from pipeline.models.training.loop import LoopConfig, run_loop
from pipeline.models.transformer.base import quiet, train_tokenizer
from pipeline.texts.rejects import RejectSink

_SHARE, _BATCH, _RATE, _SEED = 0.2, 32, 1e-3, 7
Way = Callable[[MistralForMaskedNextToken, Encoded, Any, int, torch.device], None]


def ours(model: MistralForMaskedNextToken, encoded: Encoded, tokenizer: Any, steps: int, device: torch.device) -> None:
    """Train in place, as `saring pretrain` does."""
    masker = Masker(encoded, mask_id=tokenizer.mask_token_id, pad_id=tokenizer.pad_token_id, share=_SHARE)
    config = LoopConfig(
        epochs=1_000,
        max_steps=steps,
        batch_size=_BATCH,
        learning_rate=_RATE,
        patience=0,
        checkpoint_steps=0,
        seed=_SEED,
    )
    run_loop(model, encoded.lengths, lambda rows: masker.batch(rows).loss(model), config, device=device)


def trainer(
    model: MistralForMaskedNextToken, encoded: Encoded, tokenizer: Any, steps: int, device: torch.device
) -> None:
    """Train in place with transformers' Trainer."""
    peer = MistralForCausalLM(copy.deepcopy(model.config))
    peer.load_state_dict(model.state_dict(), strict=False)
    collator = DataCollatorForLanguageModeling(
        tokenizer, mlm=True, mlm_probability=_SHARE, mask_replace_prob=1.0, random_replace_prob=0.0
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=_BATCH,
            learning_rate=_RATE,
            warmup_steps=round(0.06 * steps),
            weight_decay=0.01,
            lr_scheduler_type="linear",
            max_grad_norm=1.0,
            seed=_SEED,
            bf16=device.type == "cuda",
            use_cpu=device.type == "cpu",
            report_to=[],
            logging_strategy="no",
            save_strategy="no",
            disable_tqdm=True,
        )
        rows: Any = [{"input_ids": ids.tolist()} for ids in encoded.ids]
        run = Trainer(model=peer, args=arguments, data_collator=collator, train_dataset=rows)
        run.remove_callback(PrinterCallback)
        run.train()
    model.load_state_dict(peer.cpu().state_dict(), strict=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="Texts as JSON lines. Default: the stream of the shared data.")
    parser.add_argument("--texts", type=int, default=4_000)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    device, shape, length = torch.device(given.device), Shape(layers=2, hidden=128, vocabulary=4_000), 128
    path = given.data or shared_data() / "raw_stream.jsonl.gz"
    require([path])
    learnt, held_out = divide(islice(read_texts([str(path)], RejectSink()), given.texts))
    tokenizer = train_tokenizer(learnt, shape.vocabulary)
    encoded, asked = encode(tokenizer, learnt, length), encode(tokenizer, held_out, length)
    asker = Masker(asked, mask_id=tokenizer.mask_token_id, pad_id=tokenizer.pad_token_id, share=_SHARE)
    start = new_network(shape, tokenizer, length, _SEED)
    # Tokens in so many steps, on average.
    tokens = given.steps * _BATCH * encoded.lengths.mean()
    ways: dict[str, Way] = {"saring": ours, "trainer": trainer}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    losses: dict[str, float] = {}
    for _ in range(given.repeats):
        for name, train in ways.items():
            model = copy.deepcopy(start)
            began, busy = time.perf_counter(), time.process_time()
            with quiet():
                train(model, encoded, tokenizer, given.steps, device)
            seconds[name].append(time.perf_counter() - began)
            processor[name].append(time.process_time() - busy)
            losses[name] = held_out_loss(model.to(device).train(False), asker, asked, _SEED)
    for name in ways:
        taken = statistics.median(seconds[name])
        emit(
            "pretrain",
            {
                "way": name,
                "device": given.device,
                "threads": torch.get_num_threads(),
                "parameters": sum(parameter.numel() for parameter in start.parameters()),
                "texts": len(learnt),
                "steps": given.steps,
                "seconds": taken,
                "processor_seconds": statistics.median(processor[name]),
                "tokens_per_s": float(tokens / taken),
                "loss": losses[name],
                "unigram_loss": unigram_loss(encoded, asked, len(tokenizer)),
                "seconds_of_each": [round(number, 2) for number in seconds[name]],
            },
        )


if __name__ == "__main__":
    main()
