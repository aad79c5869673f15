"""Training on sentences with a planted rule, from files' rows to a folder with a card."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import InputError, NotEnoughLabels
from pipeline.learning.card import write_card
from pipeline.learning.evaluate import evaluate_examples, given_matrix
from pipeline.learning.predict import BATCH, predict
from pipeline.learning.sets.balance import Balance
from pipeline.learning.sets.examples import gather
from pipeline.learning.train import TrainConfig, TrainReport, train
from pipeline.models.artefact import TrainedModel, load_model, read_manifest
from pipeline.models.features import NgramConfig
from pipeline.models.linear import LinearConfig
from pipeline.models.thresholds import Objective
from pipeline.texts.labelled import LabelledText

#: what each label is given for
_RULE = {"buah": "durian", "minuman": "kopitiam", "cuaca": "ribut"}
_LABELS = tuple(_RULE)
_PROSE = (
    "semalam kami pergi kedai kawan baru jalan jauh pagi petang rumah besar kecil baik cantik murah lambat cepat "
    "ramai budak sekolah cikgu bas kereta motor laut bukit pulau kampung bandar cerita lagu filem buku main bola"
)
_FILLER = _PROSE.split()
_CONFIG = TrainConfig(
    taxonomy_version="t", linear=LinearConfig(ngrams=NgramConfig(char_bits=12, word_bits=11), workers=1), seed=5
)


@cache
def sentences(count: int = 400, seed: int = 1) -> tuple[LabelledText, ...]:
    """Sentences that obey the rule; of each label a fifth is unknown."""
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        words = [rng.choice(_FILLER) for _ in range(12)]
        yes: set[str] = set()
        no: set[str] = set()
        for label, word in _RULE.items():
            if holds := rng.random() < 0.3:
                words.insert(rng.randrange(12), word)
            if rng.random() >= 0.2:
                (yes if holds else no).add(label)
        rows.append(
            LabelledText(
                " ".join(words),
                id=str(i),
                labels=frozenset(yes),
                not_labels=frozenset(no),
                language="ms" if i % 3 else "id",
            )
        )
    return tuple(rows)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> TrainReport:
    return train(gather(sentences(), _LABELS), _CONFIG, tmp_path_factory.mktemp("models"), about={"files": ["a.jsonl"]})


def test_a_planted_rule_is_learnt(report: TrainReport) -> None:
    for label, found in report.evaluation.overall.labels.items():
        assert found.average_precision.value > 0.95, label
        assert found.f1.value > 0.9, label
    assert set(report.evaluation.overall.labels) == set(_LABELS)
    assert not report.left_out
    assert sum(report.splits.values()) == len(gather(sentences(), _LABELS))


def test_new_texts_are_told_by_the_rule(report: TrainReport) -> None:
    model = report.model
    probabilities = model.probabilities(
        ["semalam kami beli durian murah", "bas lambat lagi petang", "RIBUT di kopitiam"]
    )
    assert [set(labels) for labels in model.given(probabilities)] == [{"buah"}, set(), {"minuman", "cuaca"}]
    assert ((probabilities > 0) & (probabilities < 1)).all()


def test_the_folder_holds_model_manifest_card_and_plots(report: TrainReport) -> None:
    names = {path.name for path in report.path.iterdir()}
    assert names == {"model.skops", "model.json", "README.md", "precision-recall.png", "reliability.png", "scores.npz"}
    for plot in ("precision-recall.png", "reliability.png"):
        assert (report.path / plot).read_bytes().startswith(b"\x89PNG")
    card = (report.path / "README.md").read_text()
    assert report.model.manifest.version in card
    assert report.model.manifest.artefact_hash in card
    assert all(label in card for label in _LABELS)
    assert f"{report.evaluation.overall.macro_average_precision.value:.3f} [" in card
    assert not any(row.text in card for row in sentences())


def test_the_model_in_the_folder_is_the_model_that_was_measured(report: TrainReport) -> None:
    loaded = load_model(report.path)
    texts = [row.text for row in sentences()]
    assert np.array_equal(loaded.probabilities(texts), report.model.probabilities(texts))
    manifest = read_manifest(report.path)
    assert manifest.metrics == report.evaluation.to_dict()
    assert manifest.data["files"] == ["a.jsonl"]
    assert manifest.data["splits"] == report.splits
    assert manifest.data["counts"]["buah"]["train"][0] > 50
    assert manifest.config["seed"] == 5
    again = evaluate_examples(loaded, gather(sentences(60, seed=2), _LABELS), rng=np.random.default_rng(0))
    assert again.overall.macro_average_precision.value > 0.95


def test_the_same_seed_trains_the_same_model(report: TrainReport, tmp_path: Path) -> None:
    again = train(gather(sentences(), _LABELS), _CONFIG, tmp_path)
    texts = [row.text for row in sentences()]
    assert np.array_equal(again.model.probabilities(texts), report.model.probabilities(texts))
    assert again.evaluation.to_dict() == report.evaluation.to_dict()
    assert again.model.thresholds == report.model.thresholds


def test_the_order_of_labels_changes_nothing_by_label(report: TrainReport, tmp_path: Path) -> None:
    other = train(gather(sentences(), _LABELS[::-1]), _CONFIG, tmp_path)
    assert other.evaluation.to_dict()["labels"] == report.evaluation.to_dict()["labels"]
    assert other.model.thresholds == report.model.thresholds


def test_the_order_of_rows_changes_what_is_held_out_not_at_all_and_the_figures_hardly(
    report: TrainReport, tmp_path: Path
) -> None:
    rows = random.Random(3).sample(sentences(), len(sentences()))
    other = train(gather(rows, _LABELS), _CONFIG, tmp_path)
    assert other.splits == report.splits
    for label, mine in other.evaluation.overall.labels.items():
        theirs = report.evaluation.overall.labels[label]
        assert (mine.positives, mine.negatives) == (theirs.positives, theirs.negatives)
        assert mine.average_precision.value == pytest.approx(theirs.average_precision.value, abs=0.02)
        assert mine.f1.value == pytest.approx(theirs.f1.value, abs=0.05)


def test_unknown_is_not_learnt_as_no(tmp_path: Path) -> None:
    # every drink is of unknown weather, and every storm is stormy: if unknown were "no", drinks would deny storms
    rng = random.Random(2)
    rows = []
    for i in range(300):
        words = [rng.choice(_FILLER) for _ in range(10)]
        if i % 3 == 0:
            rows.append(LabelledText(" ".join([*words, "ribut"]), labels=frozenset({"cuaca"})))
        elif i % 3 == 1:
            rows.append(LabelledText(" ".join(words), not_labels=frozenset({"cuaca"})))
        else:
            rows.append(LabelledText(" ".join([*words, "ribut kopitiam"]), labels=frozenset({"minuman"})))
    rows += [
        replace(row, text=f"{row.text} lagi {i}", not_labels=row.not_labels | {"minuman"})
        for i, row in enumerate(rows[:150])
        if "minuman" not in row.labels
    ]
    report = train(gather(rows, ("cuaca", "minuman")), _CONFIG, tmp_path)
    [probabilities] = report.model.probabilities(["kereta ribut kopitiam"])
    assert probabilities[0] > 0.8


def test_labels_with_too_few_texts_are_left_out_by_name(tmp_path: Path) -> None:
    rows = [*sentences(200), *few(3, "hobi"), *few(30, "yakin", deny=False)]
    rows = [replace(row, split="train" if i % 5 else "test") for i, row in enumerate(rows)]
    # of this one the training texts say nothing at all
    rows += [LabelledText(f"mee segera nombor {word}", labels=frozenset({"uji"}), split="test") for word in _FILLER[:3]]
    examples = gather(rows, (*_LABELS, "hobi", "yakin", "uji", "none"))
    report = train(examples, _CONFIG, tmp_path)
    assert report.model.labels == _LABELS
    assert set(report.left_out) == {"hobi", "yakin", "uji"}
    assert "at least 5 of each in train and 1 of each in dev" in report.left_out["hobi"]
    assert "30" not in report.left_out["hobi"]
    assert report.model.manifest.data["left_out"] == report.left_out
    assert "- hobi:" in (report.path / "README.md").read_text()


def test_without_a_label_that_can_be_learnt_there_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughLabels, match="for example 'minuman': 2 positive"):
        train(gather(sentences(8), _LABELS), _CONFIG, tmp_path / "models")
    with pytest.raises(NotEnoughLabels, match="there are no labelled texts"):
        train(gather([], _LABELS), _CONFIG, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_thresholds_follow_the_objective(report: TrainReport, tmp_path: Path) -> None:
    wary = train(gather(sentences(), _LABELS), replace(_CONFIG, objective=Objective("recall", 1.0)), tmp_path)
    assert wary.model.manifest.objective == "recall=1"
    assert all(label.reached for label in wary.model.manifest.labels)
    texts = [row.text for row in sentences()]
    assert np.array_equal(wary.model.probabilities(texts), report.model.probabilities(texts))


def test_exactly_one_label_of_an_exclusive_model(tmp_path: Path) -> None:
    rows = [
        LabelledText(
            f"{row.text} {_RULE[_LABELS[i % 3]]}",
            labels=frozenset({_LABELS[i % 3]}),
            not_labels=frozenset(_LABELS) - {_LABELS[i % 3]},
        )
        for i, row in enumerate(plain(300))
    ]
    report = train(gather(rows, _LABELS), replace(_CONFIG, exclusive=True, purpose="sentiment"), tmp_path)
    model = load_model(report.path)
    texts = [row.text for row in rows] + ["", "zzz", "durian ribut"]
    probabilities = model.probabilities(texts)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(texts)))
    given = model.given(probabilities)
    assert all(len(labels) == 1 for labels in given)
    assert np.mean([labels == sorted(row.labels) for labels, row in zip(given, rows, strict=False)]) > 0.95
    assert given_matrix(model, probabilities).sum(axis=1).tolist() == [1] * len(texts)
    assert model.manifest.version.startswith("sentiment-linear-")


def test_vectors_stand_beside_the_words(tmp_path: Path) -> None:
    def encode(texts: object) -> np.ndarray:
        # knows what the words don't say
        return np.array([[1, 0] if len(t) % 2 else [0, 1] for t in texts], dtype=np.float32)  # type: ignore[attr-defined]

    rows = [
        LabelledText(
            row.text,
            labels=frozenset({"ganjil"} if len(row.text) % 2 else ()),
            not_labels=frozenset(() if len(row.text) % 2 else {"ganjil"}),
        )
        for row in plain(300)
    ]
    examples = gather(rows, ("ganjil",))
    with_vectors = replace(_CONFIG, linear=replace(_CONFIG.linear, encoder="parity"))
    found = train(examples, with_vectors, tmp_path, encode=encode)
    assert found.evaluation.overall.labels["ganjil"].average_precision.value > 0.99
    assert found.model.manifest.encoder == "parity"
    blind = train(examples, _CONFIG, tmp_path)
    assert blind.evaluation.overall.labels["ganjil"].average_precision.value < 0.9


def test_a_language_with_texts_enough_has_a_slice(report: TrainReport) -> None:
    rows = [*sentences(100, seed=3), *(replace(row, language="en") for row in sentences(10, seed=4))]
    found = evaluate_examples(report.model, gather(rows, _LABELS), rng=np.random.default_rng(0))
    assert set(found.slices) == {"ms", "id"}
    assert sum(one.texts for one in found.slices.values()) + 10 >= found.overall.texts > 100
    assert set(found.to_dict()["languages"]) == {"ms", "id"}


def test_a_slice_in_which_nothing_can_be_measured_is_no_error(report: TrainReport, tmp_path: Path) -> None:
    rows = [
        *sentences(60, seed=3),
        *(
            LabelledText(f"{row.text} {i}", not_labels=frozenset({"buah"}), language="en")
            for i, row in enumerate(plain(40))
        ),
    ]
    found = evaluate_examples(report.model, gather(rows, _LABELS), rng=np.random.default_rng(0))
    assert found.to_dict()["languages"]["en"]["macro_average_precision"]["value"] is None
    write_card(tmp_path, report.model.manifest, found)


def test_a_card_of_texts_that_measure_nothing_says_so(report: TrainReport, tmp_path: Path) -> None:
    found = evaluate_examples(report.model, gather(sentences()[:1], _LABELS), rng=np.random.default_rng(0))
    assert set(found.overall.unmeasured) == set(_LABELS)
    card = write_card(tmp_path, report.model.manifest, found).read_text()
    assert "Not measured, because held-out positives or negatives are missing: buah, minuman, cuaca." in card


def test_texts_of_other_labels_measure_nothing(report: TrainReport) -> None:
    for labels in (("hobi",), _LABELS):
        with pytest.raises(InputError, match="nothing to measure"):
            evaluate_examples(report.model, gather(few(3, "hobi"), labels), rng=np.random.default_rng(0))


def test_predictions_come_in_order_with_what_the_row_had(report: TrainReport) -> None:
    row = LabelledText(
        "durian murah",
        id="7",
        labels=frozenset({"cuaca"}),
        source="set",
        sentiment="positive",
        language="ms",
        extra={"likes": 3},
    )
    rows = [row, *(LabelledText(f"teks {i}", id=str(i)) for i in range(BATCH + 3))]
    found = list(predict(report.model, iter(rows)))
    assert [one["id"] for one in found] == [row.id for row in rows]
    first = found[0]
    assert list(first["scores"]) == list(_LABELS)
    assert first["labels"] == ["buah"]
    assert first["model"] == report.model.manifest.version
    kept = {"id": "7", "text": "durian murah", "source": "set", "sentiment": "positive", "lang": "ms", "likes": 3}
    assert first.items() >= kept.items()
    assert "not_labels" not in first
    assert list(predict(report.model, [])) == []


def test_predictions_do_not_depend_on_what_stands_beside_them(report: TrainReport) -> None:
    model: TrainedModel = report.model
    texts = [row.text for row in sentences(50, seed=9)]
    together = model.probabilities(texts)
    alone = np.concatenate([model.probabilities([text]) for text in texts])
    assert together == pytest.approx(alone, abs=1e-9)


def plain(count: int) -> list[LabelledText]:
    """Sentences without any of the rule's words."""
    rng = random.Random(11)
    return [LabelledText(" ".join(rng.choice(_FILLER) for _ in range(12))) for _ in range(count)]


def few(count: int, label: str, *, deny: bool = True) -> list[LabelledText]:
    rows = [LabelledText(f"{row.text} {label}", labels=frozenset({label})) for row in plain(count)]
    return rows + [LabelledText(f"{row.text} bukan", not_labels=frozenset({label})) for row in plain(count) if deny]


def test_a_balance_leaves_answers_out_of_train_alone(report: TrainReport, tmp_path: Path) -> None:
    balanced = train(gather(sentences(), _LABELS), replace(_CONFIG, balance=Balance(most=40, negatives=1.5)), tmp_path)
    whole, fewer = (one.model.manifest.data for one in (report, balanced))
    for label in _LABELS:
        assert fewer["counts"][label]["train"] == [40, 60]
        for split in ("dev", "test"):
            assert fewer["counts"][label][split] == whole["counts"][label][split]
        lost = fewer["balance"]["left_out"][label]
        assert [lost["yes"] + 40, lost["no"] + 60] == whole["counts"][label]["train"]
    assert "balance" not in whole
    assert balanced.splits["train"] == report.splits["train"] - fewer["balance"]["texts_left_out"]
    assert "at most 40" in (balanced.path / "README.md").read_text(encoding="utf-8")
