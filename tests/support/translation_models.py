"""Small translation models, made and trained here: they know the sentences of `PAIRS` by heart, in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    M2M100Config,
    M2M100ForConditionalGeneration,
    NllbTokenizer,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

#: English and Malay
PAIRS = (
    ("good morning", "selamat pagi"),
    ("thank you very much", "terima kasih banyak banyak"),
    ("I like rain", "saya suka hujan"),
    ("the food at that shop is very good, come and eat", "makanan di kedai itu sedap sangat, jom makan"),
)
_CODES = {"en": "eng_Latn", "ms": "zsm_Latn"}
_STEPS = 400
_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def make_t5(folder: Path, told: str, *, steps: int = _STEPS) -> Path:
    """A model of the T5 family in `folder`, which knows the first two sentences in Malay.

    Args:
        folder: where it is written.
        told: what stands before a text.
        steps: of training; after none, whatever it says finds no end.
    """
    special = ["<pad>", "</s>", "<unk>"]
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.train_from_iterator(
        [*_sentences(), told],
        trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="<unk>"),
    )
    order = sorted(made.get_vocab().items(), key=lambda pair: pair[1])
    tokenizer = T5Tokenizer(vocab=[(piece, 0.0 if piece in special else -3.0) for piece, _ in order], extra_ids=0)
    torch.manual_seed(1)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=48,
            d_kv=12,
            d_ff=96,
            num_layers=1,
            num_heads=4,
            dropout_rate=0.0,
            decoder_start_token_id=0,
        )
    )
    inputs = tokenizer([told + english for english, _ in PAIRS[:2]], return_tensors="pt", padding=True)
    labels = tokenizer([malay for _, malay in PAIRS[:2]], return_tensors="pt", padding=True)["input_ids"]
    return _learn(model, tokenizer, inputs, labels, folder, steps)


def make_nllb(folder: Path) -> Path:
    """A model in `folder` that is told both languages by tokens."""
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.train_from_iterator(_sentences(), trainers.BpeTrainer(vocab_size=200, special_tokens=_SPECIAL))
    path = folder.parent / f"{folder.name}-bpe"
    path.mkdir()
    made.model.save(str(path))
    merges = (path / "merges.txt").read_text().splitlines()[1:]
    tokenizer = NllbTokenizer(
        vocab=made.get_vocab(),
        merges=[tuple(line.split(" ")) for line in merges],
        extra_special_tokens=[*_CODES.values()],
    )
    torch.manual_seed(1)
    model = M2M100ForConditionalGeneration(
        M2M100Config(
            vocab_size=len(tokenizer),
            d_model=48,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=96,
            decoder_ffn_dim=96,
            dropout=0.0,
            attention_dropout=0.0,
            encoder_layerdrop=0.0,
            decoder_layerdrop=0.0,
            max_position_embeddings=128,
            pad_token_id=1,
            bos_token_id=0,
            eos_token_id=2,
            decoder_start_token_id=2,
        )
    )
    sources, targets = [], []
    for one, other in (("en", "ms"), ("ms", "en")):
        tokenizer.src_lang = _CODES[one]
        code = tokenizer.convert_tokens_to_ids(_CODES[other])
        for english, malay in PAIRS:
            source, target = (english, malay) if one == "en" else (malay, english)
            sources.append(tokenizer(source)["input_ids"])
            targets.append([code, *tokenizer(target, add_special_tokens=False)["input_ids"], 2])
    inputs = tokenizer.pad({"input_ids": sources}, return_tensors="pt")
    labels = tokenizer.pad({"input_ids": targets}, return_tensors="pt")["input_ids"]
    return _learn(model, tokenizer, inputs, labels, folder, _STEPS)


def _sentences() -> Sequence[str]:
    return [sentence for pair in PAIRS for sentence in pair]


def _learn(model: Any, tokenizer: Any, inputs: Any, labels: torch.Tensor, folder: Path, steps: int) -> Path:
    labels = labels.masked_fill(labels == tokenizer.pad_token_id, -100)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    loss = torch.tensor(0.0)
    for _ in range(steps):
        loss = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], labels=labels).loss
        if loss < 0.01:
            break
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    assert loss < 0.05, f"not learnt: {float(loss)}"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
