"""The bidirectional Mistral answers as the original implementation does, and behaves as transformers' models do."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import torch
from transformers import MistralConfig

from pipeline.models.mistral import MODELING_FILE, MistralForSequenceClassification, is_mistral


def small(**changes: object) -> MistralForSequenceClassification:
    torch.manual_seed(0)
    values = {
        "vocab_size": 60,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_labels": 3,
        "pad_token_id": 0,
        "problem_type": "multi_label_classification",
    } | changes
    return MistralForSequenceClassification(MistralConfig(**values)).eval()


IDS = torch.tensor([[1, 9, 23, 41, 7, 12], [1, 33, 8, 0, 0, 0]])
MASK = (IDS != 0).long()


@pytest.mark.shared
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ["full", "sliding-window-in-config"])
def test_logits_are_those_of_the_original(shared_dir: Path, name: str, attention: str) -> None:
    folder = shared_dir / "reference" / "bidirectional-mistral" / name
    expected = json.loads((folder / "expected.json").read_text())
    model, loading = MistralForSequenceClassification.from_pretrained(
        folder, attn_implementation=attention, output_loading_info=True
    )
    assert not any(loading.values())
    ids, mask = torch.tensor(expected["input_ids"]), torch.tensor(expected["attention_mask"])
    with torch.no_grad():
        padded = model(input_ids=ids, attention_mask=mask).logits
        alone = [model(input_ids=row[: int(kept.sum())][None]).logits[0] for row, kept in zip(ids, mask, strict=True)]
    torch.testing.assert_close(padded, torch.tensor(expected["logits"]), atol=1e-4, rtol=0)
    unpadded = torch.tensor(expected["logits_unpadded"]).reshape(len(ids), -1)
    torch.testing.assert_close(torch.stack(alone), unpadded, atol=1e-4, rtol=0)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_first_token_sees_the_last_however_far_past_a_sliding_window(attention: str) -> None:
    model = small(sliding_window=2, attn_implementation=attention, initializer_range=0.5)
    changed = IDS[:1].clone()
    changed[0, -1] = 55
    with torch.no_grad():
        assert not torch.allclose(model(IDS[:1]).logits, model(changed).logits, atol=1e-3)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_padding_on_either_side_changes_nothing(attention: str) -> None:
    model = small(attn_implementation=attention, initializer_range=0.5)
    left, left_mask = torch.roll(IDS[1], 3)[None], torch.roll(MASK[1], 3)[None]
    with torch.no_grad():
        alone = model(IDS[1:, :3]).logits
        torch.testing.assert_close(model(IDS, attention_mask=MASK).logits[1:], alone, atol=1e-5, rtol=0)
        torch.testing.assert_close(model(left, attention_mask=left_mask).logits, alone, atol=1e-5, rtol=0)


def test_unknown_labels_have_no_part_in_the_loss() -> None:
    model = small()
    labels = torch.tensor([[1, -1, 0], [-1, -1, 1]])
    output = model(IDS, attention_mask=MASK, labels=labels)
    p = torch.sigmoid(output.logits)
    by_hand = -torch.stack([p[0, 0].log(), (1 - p[0, 2]).log(), p[1, 2].log()]).mean()
    torch.testing.assert_close(output.loss, by_hand)
    nothing = model(IDS, attention_mask=MASK, labels=torch.full((2, 3), -1)).loss
    assert nothing.item() == 0
    nothing.backward()  # still a loss that can be gone down
    with pytest.raises(ValueError, match="shape"):
        model(IDS, attention_mask=MASK, labels=torch.tensor([0, 1]))


def test_one_label_a_text_uses_cross_entropy() -> None:
    model = small(problem_type="single_label_classification")
    output = model(IDS, attention_mask=MASK, labels=torch.tensor([2, -1]))
    torch.testing.assert_close(output.loss, -output.logits[0].log_softmax(-1)[2])


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    gradients = []
    for checkpointing in (False, True):
        model = small()
        if checkpointing:
            model.activation_checkpointing_enable()
        model.train()
        model(IDS, attention_mask=MASK, labels=torch.tensor([[1, 0, -1], [0, 1, 1]])).loss.backward()
        gradients.append(model.model.layers[0].self_attn.q_proj.weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_saving_and_loading_keeps_the_answers(tmp_path: Path) -> None:
    model = small(id2label={0: "hate", 1: "racist", 2: "safe for work"})
    model.save_pretrained(tmp_path)
    again = MistralForSequenceClassification.from_pretrained(tmp_path)
    assert is_mistral(again.config)
    assert again.config.problem_type == "multi_label_classification"
    with torch.no_grad():
        torch.testing.assert_close(again(IDS, attention_mask=MASK).logits, model(IDS, attention_mask=MASK).logits)


def test_probabilities_are_calibrated_and_labels_given_by_threshold() -> None:
    model = small(id2label={0: "hate", 1: "racist", 2: "safe for work"})
    logits = torch.tensor([[2.0, -1.0, 0.5]])
    torch.testing.assert_close(model.probabilities(logits), torch.sigmoid(logits))
    model.config.saring = {
        "calibration": {name: {"slope": 2.0, "offset": -1.0} for name in model.config.id2label.values()},
        "thresholds": {"hate": 0.99, "racist": 0.01, "safe for work": 0.5},
    }
    torch.testing.assert_close(model.probabilities(logits), torch.sigmoid(2 * logits - 1))
    assert model.given_labels(logits) == [["racist", "safe for work"]]
    model.config.saring["exclusive"] = True
    torch.testing.assert_close(model.probabilities(logits).sum(), torch.tensor(1.0))
    assert model.given_labels(logits) == [["hate"]]


def test_hidden_states_are_given_on_request() -> None:
    assert len(small()(IDS, attention_mask=MASK, output_hidden_states=True).hidden_states) == 3
    assert isinstance(small()(IDS, return_dict=False), tuple)


def test_the_modelling_file_stands_alone() -> None:
    tree = ast.parse(MODELING_FILE.read_text())
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert imported == {"__future__", "typing", "torch", "transformers"}
