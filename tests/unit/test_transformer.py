"""The transformers backend: its loss, its training, its folder, and its 8-bit form."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification, RobertaConfig

from pipeline.errors import ModelError, TrainingError
from pipeline.learning.quantise import quantise_model
from pipeline.learning.train import TrainReport
from pipeline.models.artefact import MANIFEST, load_model, read_manifest
from pipeline.models.backends import backend_of
from pipeline.models.mistral import MistralForSequenceClassification
from pipeline.models.transformer.base import load_base, longest_text, train_tokenizer
from pipeline.models.transformer.classifier import TransformerClassifier
from pipeline.models.transformer.finetune import macro_average_precision
from pipeline.models.transformer.int8 import WEIGHTS, Int8Classifier, Int8Embedding, Int8Linear, quantise_rows
from pipeline.models.transformer.loss import masked_loss, positive_weights
from tests.support.transformer_training import RULE, TINY, sentences, trained

_ROOT = Path(__file__).resolve().parents[2]
_LABELS = tuple(RULE)
_TEXTS = ["kami pergi beli durian murah", "", "pagi petang rumah", "DURIAN di kopitiam", "jauh " * 900, "🥭 \x00"]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def report(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> TrainReport:
    return trained(tmp_path_factory.mktemp("models"))


@pytest.fixture
def folder(report: TrainReport, tmp_path: Path) -> Path:
    return Path(shutil.copytree(report.path, tmp_path / report.path.name))


def refused(folder: Path, message: str) -> None:
    with pytest.raises(ModelError, match=re.escape(message)) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def vouch(folder: Path) -> None:
    """Have the manifest vouch for what lies in the folder now."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    digest = backend_of(manifest["backend"]).hash_of(folder)
    (folder / MANIFEST).write_text(json.dumps(manifest | {"artefact_hash": digest}))


# the loss


def test_what_is_unknown_has_no_gradient_at_all() -> None:
    logits = torch.tensor([[2.0, float("inf"), -1.0], [0.5, -3.0, 4.0]], requires_grad=True)
    truth = torch.tensor([[1, -1, 0], [-1, -1, 1]], dtype=torch.int8)
    loss, known = masked_loss(logits, truth, torch.tensor([3.0, 1.0, 1.0]))
    loss.backward()
    assert known == 3
    assert logits.grad is not None
    assert ((logits.grad != 0) == (truth >= 0)).all()
    # by hand: a positive that counts three times, a negative, a positive
    expected = 3 * np.log1p(np.exp(-2.0)) + np.log1p(np.exp(-1.0)) + np.log1p(np.exp(-4.0))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@given(st.lists(st.lists(st.sampled_from([-1, 0, 1]), min_size=3, max_size=3), min_size=1, max_size=20))
def test_the_loss_is_the_same_whatever_the_unknown_scores_are(rows: list[list[int]]) -> None:
    truth = torch.tensor(rows, dtype=torch.int8)
    logits = torch.arange(truth.numel(), dtype=torch.float32).reshape(truth.shape) / 7
    other = torch.where(truth < 0, torch.full_like(logits, 99.0), logits)
    first, known = masked_loss(logits, truth)
    assert float(first) == float(masked_loss(other, truth)[0])
    assert known == int((truth >= 0).sum())


def test_scarce_labels_are_weighed_up_to_a_cap() -> None:
    truth = np.array([[1, 1, -1, 0]] + [[0, 1, -1, 0]] * 4 + [[0, 0, -1, 0]] * 25, dtype=np.int8)
    assert positive_weights(truth, 10.0).tolist() == [10.0, 5.0, 1.0, 10.0]


def test_the_score_is_of_what_is_known_and_can_be_measured() -> None:
    truth = np.array([[1, 1, -1], [0, 1, -1], [-1, -1, 1]], dtype=np.int8)
    scores = np.array([[0.9, 0.1, 0.0], [0.2, 0.2, 0.0], [0.99, 0.3, 0.0]])
    assert macro_average_precision(scores, truth) == 1.0
    assert macro_average_precision(scores, truth - 2) == 0.0


# training


def test_a_planted_rule_is_learnt_from_nothing(report: TrainReport) -> None:
    assert report.evaluation.overall.macro_average_precision.value > 0.95
    found = report.model.probabilities(["kami beli durian pagi", "jalan ke kopitiam petang", "rumah besar"])
    assert report.model.given(found) == [["buah"], ["minuman"], []]
    config = report.model.manifest.config
    assert (config["base"], config["seed"], config["max_length"]) == ("scratch", 5, 128)
    assert report.model.manifest.version.startswith("sfw-transformers-")
    # no trace is left of what a killed training would have gone on from
    assert not list(report.path.parent.glob(".training/*/"))


def test_a_killed_training_goes_on_to_the_same_model(report: TrainReport, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    program = [sys.executable, "-m", "tests.support.transformer_training", str(tmp_path), "18"]
    died = subprocess.run(program, cwd=_ROOT, env=environment, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert [path.name[0] for path in tmp_path.iterdir()] == ["."]
    steps: list[int] = []

    def note(done: int, _total: int | None, what: str) -> None:
        if what == "training":
            steps.append(done)

    resumed = trained(tmp_path, note)
    assert steps[0] == 16
    assert resumed.model.manifest.version == report.model.manifest.version
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (resumed.path / name).read_bytes() == (report.path / name).read_bytes()


def test_two_processes_do_not_train_the_same_at_once(tmp_path: Path) -> None:
    held: list[FileLock] = []

    def hold(_done: int, _total: int | None, what: str) -> None:
        if what == "training" and not held:
            [lock] = tmp_path.glob(".training/*.lock")
            held.append(FileLock(lock))
            with pytest.raises(TrainingError, match="another process"):
                trained(tmp_path, config=replace(TINY, epochs=1))

    trained(tmp_path, hold, replace(TINY, epochs=1))
    assert held


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder in the layout of the hub, with a head for other labels."""
    folder = tmp_path_factory.mktemp("a-base")
    tokenizer = train_tokenizer(sentences().texts, 330)
    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=24,
        num_labels=7,
    )
    BertForSequenceClassification(shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_any_encoder_is_fine_tuned_and_its_folder_is_read_by_plain_transformers(bert: Path, tmp_path: Path) -> None:
    config = replace(TINY, base=str(bert), epochs=2, max_length=512)
    report = trained(tmp_path, config=config)
    manifest = report.model.manifest
    assert manifest.config["base"] == bert.name
    assert str(bert.parent) not in (report.path / MANIFEST).read_text() + (report.path / "config.json").read_text()
    # more than the network has positions for cannot be asked of it
    assert manifest.config["max_length"] == 24
    loaded = load_model(report.path)
    assert np.array_equal(loaded.probabilities(_TEXTS), report.model.probabilities(_TEXTS))
    plain = AutoModelForSequenceClassification.from_pretrained(report.path)
    assert plain.config.id2label == dict(enumerate(_LABELS))
    assert plain.config.problem_type == "multi_label_classification"


def test_a_mistral_checkpoint_looks_both_ways(report: TrainReport) -> None:
    base = load_base(str(report.path), ["satu"], seed=1)
    assert isinstance(base.model, MistralForSequenceClassification)
    assert base.model.config.id2label == {0: "satu"}
    again = load_base(str(report.path), ["satu"], seed=1)
    assert torch.equal(base.model.score.weight, again.model.score.weight)
    learnt = load_file(report.path / "model.safetensors")
    assert torch.equal(base.model.model.embed_tokens.weight, learnt["model.embed_tokens.weight"])


def test_a_base_that_is_missing_or_a_pickle_is_refused_in_one_line(bert: Path, tmp_path: Path) -> None:
    for name in (str(tmp_path / "none"), str(tmp_path)):
        with pytest.raises(ModelError, match="cannot load the base model") as caught:
            load_base(name, ["satu"], seed=1)
        assert "\n" not in str(caught.value)
    pickled = Path(shutil.copytree(bert, tmp_path / "pickled"))
    (pickled / "model.safetensors").unlink()
    (pickled / "pytorch_model.bin").write_bytes(pickle.dumps(Planted()))
    with pytest.raises(ModelError, match="cannot load the base model"):
        load_base(str(pickled), ["satu"], seed=1)
    assert not Planted.made


def test_positions_of_roberta_begin_behind_the_padding() -> None:
    shape = RobertaConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, pad_token_id=1
    )
    shape.max_position_embeddings = 20
    model = AutoModelForSequenceClassification.from_config(shape)
    tokenizer = train_tokenizer(["satu dua"], 300)
    assert longest_text(model, tokenizer, 512) == 18
    assert longest_text(model, tokenizer, 10) == 10


# scoring


def test_texts_of_any_length_are_scored_alone_as_among_others(report: TrainReport) -> None:
    together = report.model.classifier.decisions(_TEXTS * 20)
    assert np.isfinite(together).all()
    for i, text in enumerate(_TEXTS):
        assert np.allclose(report.model.classifier.decisions([text])[0], together[i], atol=1e-4)
    assert report.model.classifier.decisions([]).shape == (0, len(_LABELS))
    # what lies behind the last token that fits is not seen
    start = "rumah besar " * 80
    ours = report.model.classifier.decisions([start, start + "durian"])
    assert np.allclose(ours[0], ours[1], atol=1e-5)


# the folder


def test_a_model_read_back_is_the_same(report: TrainReport, folder: Path) -> None:
    loaded = load_model(folder)
    assert isinstance(loaded.classifier, TransformerClassifier)
    assert np.array_equal(loaded.probabilities(_TEXTS), report.model.probabilities(_TEXTS))
    assert loaded.manifest == report.model.manifest
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "model.json", "README.md"} <= names


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_one_other_byte_in_any_file_is_refused(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    refused(folder, "changed since it was trained")
    (folder / name).unlink()
    refused(folder, "changed since it was trained")


def test_a_file_more_is_refused_but_for_what_only_tells_of_the_model(folder: Path) -> None:
    (folder / "gate.json").write_text("{}")
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs")
    assert load_model(folder).labels == _LABELS
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Planted()))
    refused(folder, "changed since it was trained")
    # even where somebody vouches for it, it is not read
    vouch(folder)
    assert load_model(folder).labels == _LABELS
    (folder / "model.safetensors").unlink()
    vouch(folder)
    refused(folder, "the model cannot be read")
    assert not Planted.made


@pytest.mark.parametrize(
    "damage",
    [{"hidden_size": "x"}, {"num_attention_heads": None}, {"id2label": [1]}, {"model_type": 7}, {"hidden_act": {}}],
)
def test_a_configuration_that_makes_no_sense_is_refused_in_one_line(folder: Path, damage: dict[str, object]) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    vouch(folder)
    refused(folder, "the model cannot be read")


def test_parts_that_do_not_belong_together_are_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    head = weights.pop("score.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    vouch(folder)
    refused(folder, "do not fit together")
    save_file(
        weights | {"score.weight": head, "more": head.clone()}, folder / "model.safetensors", metadata={"format": "pt"}
    )
    vouch(folder)
    refused(folder, "do not fit together")
    save_file(weights | {"score.weight": head}, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "minuman", "1": "buah"}
    (folder / "config.json").write_text(json.dumps(config))
    vouch(folder)
    refused(folder, "have different labels")


class Planted:
    """What a hostile file would have made."""

    made: list[bool] = []  # noqa: RUF012

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.made.append, (True,)


# 8 bits


@given(st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=4, max_size=4), min_size=1, max_size=6))
def test_no_weight_is_off_by_more_than_half_a_step_of_its_row(rows: list[list[float]]) -> None:
    weight = torch.tensor(rows)
    quantised, scale = quantise_rows(weight)
    assert quantised.dtype == torch.int8
    back = quantised.float() * scale[:, None]
    assert ((back - weight).abs() <= scale[:, None] * 0.5001 + 1e-30).all()
    assert (back[weight == 0] == 0).all()


def test_layers_of_8_bits_give_nearly_what_those_of_32_do() -> None:
    generator = torch.Generator().manual_seed(2)
    layer = torch.nn.Linear(64, 16)
    inputs = torch.randn(3, 5, 64, generator=generator)
    expected = layer(inputs)
    small = Int8Linear(layer.weight, layer.bias)
    # as floats, where a processor has no integer product, and as integers
    for _ in range(2):
        assert (small(inputs) - expected).abs().max() < 0.05 * expected.abs().max()
        small.pack()
    table = torch.nn.Embedding(30, 8)
    ids = torch.tensor([[3, 29], [0, 3]])
    assert torch.allclose(Int8Embedding(table.weight)(ids), table(ids), atol=0.02)


def test_the_8_bit_form_is_a_model_of_its_own_and_hardly_another(report: TrainReport, tmp_path: Path) -> None:
    examples = sentences().take(list(report.test))
    as_it_was = report.model.probabilities(_TEXTS)
    small = quantise_model(report.model, examples, tmp_path, seed=1)
    # the model that it was made from stays
    assert np.array_equal(report.model.probabilities(_TEXTS), as_it_was)
    assert read_manifest(report.path) == report.model.manifest
    manifest = small.model.manifest
    assert manifest.version.startswith("sfw-transformers-int8-")
    assert (manifest.backend, manifest.config["quantised_from"]) == (
        "transformers-int8",
        report.model.manifest.version,
    )
    assert manifest.labels == report.model.manifest.labels
    loaded = load_model(small.folder)
    assert isinstance(loaded.classifier, Int8Classifier)
    assert np.array_equal(loaded.probabilities(_TEXTS), small.model.probabilities(_TEXTS))
    before, after = (one.probabilities(examples.texts) for one in (report.model, loaded))
    assert 0 < np.abs(before - after).max() < 0.1
    assert manifest.metrics["macro_average_precision"]["value"] > 0.95
    # nobody takes the integers for weights, and there is no second rounding
    assert not (small.folder / "model.safetensors").exists()
    with pytest.raises(ModelError, match="only a transformers model"):
        quantise_model(small.model, examples, tmp_path, seed=1)
    content = bytearray((small.folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (small.folder / WEIGHTS).write_bytes(content)
    refused(small.folder, "changed since it was trained")


def test_a_linear_model_is_served_without_torch(tmp_path: Path) -> None:
    program = (
        "import sys; import ml_backend.app, saring.cli.models, saring.cli.predict, saring.workers.stages; "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    environment: dict[str, Any] = os.environ | {"PYTHONPATH": str(_ROOT)}
    assert subprocess.run([sys.executable, "-c", program], env=environment, cwd=tmp_path).returncode == 0
