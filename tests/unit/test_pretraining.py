"""Masked next-token prediction: what is masked, what predicts it, and from what is learnt."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ModelError, TrainingError, UsageError
from pipeline.learning.unlabelled import read_texts
from pipeline.models.pretraining.mntp import Masker, unigram_loss
from pipeline.models.pretraining.network import Shape, load_network, new_network
from pipeline.models.pretraining.texts import divide, texts_hash
from pipeline.models.pretraining.tokens import Encoded, encode, mask_id_of
from pipeline.models.transformer.base import train_tokenizer
from pipeline.texts.rejects import RejectSink

TEXTS = [f"saya makan nasi lemak di kedai nombor {i} dengan kawan" for i in range(60)]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, 400)


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.05, 0.95))
def test_only_tokens_of_the_text_are_masked_and_what_they_were_is_kept(tokenizer, seed: int, share: float) -> None:
    encoded = encode(tokenizer, [*TEXTS[:5], "a"], 12)
    masker = Masker(encoded, mask_id=tokenizer.mask_token_id, pad_id=0, share=share)
    rows = np.array([5, 0, 3])
    batch = masker.batch(rows, torch.Generator().manual_seed(seed))
    assert not batch.masked[:, 0].any()
    assert not (batch.masked & (batch.attention == 0)).any()
    assert (batch.ids[batch.masked] == tokenizer.mask_token_id).all()
    restored = batch.ids.masked_scatter(batch.masked, batch.targets)
    for at, i in enumerate(rows):
        assert restored[at, : len(encoded.ids[i])].tolist() == encoded.ids[i].tolist()
    again = masker.batch(rows, torch.Generator().manual_seed(seed))
    assert torch.equal(again.ids, batch.ids)


def test_the_share_of_masked_tokens_is_what_was_asked_for(tokenizer) -> None:
    encoded = encode(tokenizer, TEXTS, 32)
    masker = Masker(encoded, mask_id=tokenizer.mask_token_id, pad_id=0, share=0.2)
    batch = masker.batch(np.arange(60), torch.Generator().manual_seed(1))
    maskable = sum(free.sum() for free in encoded.maskable)
    assert batch.masked.sum() / maskable == pytest.approx(0.2, abs=0.05)


def test_a_masked_token_is_predicted_from_the_token_before_it(tokenizer) -> None:
    model = new_network(Shape(1, 64, 400), tokenizer, 32, seed=1).eval()
    ids = torch.tensor([[1, 20, 4, 30], [1, 4, 40, 4]])
    attention = torch.ones_like(ids)
    masked = ids == 4
    with torch.no_grad():
        logits = model(ids, attention, masked)
        everything = model.lm_head(model.model(input_ids=ids, attention_mask=attention).last_hidden_state)
    torch.testing.assert_close(logits, torch.stack([everything[0, 1], everything[1, 0], everything[1, 2]]))


def test_a_network_from_scratch_depends_on_its_seed_alone(tokenizer) -> None:
    one, same, other = (new_network(Shape(1, 64, 400), tokenizer, 32, seed) for seed in (1, 1, 2))
    weights = [model.model.layers[0].mlp.up_proj.weight for model in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_mask_token_is_the_given_one_or_the_tokenizers_own_or_a_blank(tokenizer) -> None:
    assert mask_id_of(tokenizer, None) == tokenizer.mask_token_id
    assert mask_id_of(tokenizer, "_") == tokenizer.get_vocab()["_"]
    with pytest.raises(UsageError, match="--mask-token"):
        mask_id_of(tokenizer, "<blank>")
    without = train_tokenizer(TEXTS, 400)
    without.mask_token = None
    before = without("a_b")["input_ids"]
    assert mask_id_of(without, None) == without.get_vocab()["_"]
    assert without("a_b")["input_ids"] == before


def test_unigram_loss_is_the_cross_entropy_of_smoothed_counts() -> None:
    free = np.array([False, True, True])
    learnt = Encoded([np.array([0, 1, 1]), np.array([0, 1, 2])], [free, free])
    held_out = Encoded([np.array([0, 2, 1])], [free])
    # counts with one added: 1, 4, 2 of 7
    expected = -(math.log(2 / 7) + math.log(4 / 7)) / 2
    assert unigram_loss(learnt, held_out, 3) == pytest.approx(expected)


@given(st.permutations(range(60)))
def test_what_is_held_out_depends_on_the_texts_alone(order: list[int]) -> None:
    learnt, held_out = divide([TEXTS[i] for i in order] + TEXTS[:7])
    assert (learnt, held_out) == divide(TEXTS)
    assert len(held_out) == 10
    assert sorted(learnt + held_out) == sorted(TEXTS)
    assert texts_hash(learnt, held_out) != texts_hash(held_out, learnt)


def test_few_texts_are_refused() -> None:
    with pytest.raises(TrainingError, match="too few"):
        divide(["satu"] * 100)


def test_files_are_read_masked_and_without_their_test_split(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"text": "hubungi saya di 012-3456789"}\n'
        '{"text": "untuk ujian", "split": "test"}\n'
        '{"text": 3}\nbukan json\n{"text": "..."}\n'
    )
    (tmp_path / "b.txt").write_text("baris pertama\n\nbaris kedua\n")
    sink = RejectSink()
    texts = list(read_texts([str(tmp_path / "a.jsonl"), str(tmp_path / "b.txt")], sink))
    assert texts[1:] == ["baris pertama", "baris kedua"]
    assert "3456789" not in texts[0]
    assert sink.counts == {"missing field": 1, "not valid JSON": 1, "no words": 1}


def test_only_a_mistral_is_taken_for_a_base(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        load_network(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="bert"):
        load_network(tmp_path)
