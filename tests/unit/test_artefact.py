"""A model as a folder: the same when read back, and refused if it isn't what was written."""

from __future__ import annotations

import json
import pickle
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.svm import LinearSVC

from pipeline.errors import ModelError, NotEnoughLabels
from pipeline.models.artefact import (
    MANIFEST,
    LabelSettings,
    Manifest,
    TrainedModel,
    load_model,
    read_manifest,
    save_model,
)
from pipeline.models.backends import file_hash
from pipeline.models.features import NgramConfig
from pipeline.models.find import folder_of, load_named, newest, open_model
from pipeline.models.linear import ARRAYS, LinearClassifier, LinearConfig, fit_linear, restore_linear
from pipeline.models.protocol import Encode

_SMALL = NgramConfig(char_bits=10, word_bits=9)
_TEXTS = ["durian sedap", "teh tarik", "durian runtuh", "kopi panas", "pasar durian", "hujan petang"]
_TRUTH = np.array([[1, 0], [0, 1], [1, 0], [0, 1], [1, -1], [0, 0]], dtype=np.int8)


def fitted(encoder: str | None = None) -> LinearClassifier:
    config = LinearConfig(ngrams=_SMALL, encoder=encoder, workers=1)
    return fit_linear(_TEXTS, _TRUTH, ("buah", "minuman"), config, encode=encode if encoder else None)


def encode(texts: object) -> np.ndarray:
    lengths = [[len(text), 1.0] for text in texts]  # type: ignore[attr-defined]
    return np.asarray(lengths, dtype=np.float32)


def described(exclusive: bool = False, **changed: object) -> Manifest:
    labels = (
        LabelSettings(key="buah", slope=2.0, offset=0.1, threshold=0.6),
        LabelSettings(key="minuman", slope=1.5, offset=-0.2, threshold=0.4),
    )
    fields = {
        "version": "sfw-linear-20260101",
        "purpose": "sfw",
        "backend": "linear",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "code_version": "0",
        "taxonomy_version": "t",
        "exclusive": exclusive,
        "objective": "f1",
        "labels": labels,
        "config": {},
        "data": {},
        "metrics": {},
    }
    return Manifest.model_validate(fields | changed)


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    return TrainedModel(fitted(), described())


@pytest.fixture
def folder(model: TrainedModel, tmp_path: Path) -> Path:
    return save_model(model, tmp_path / "models")[1]


def test_a_model_read_back_gives_the_same_probabilities(model: TrainedModel, tmp_path: Path) -> None:
    saved, folder = save_model(model, tmp_path / "models")
    loaded = load_model(folder)
    texts = [*_TEXTS, "sesuatu yang lain", "DURIAN", ""]
    assert np.array_equal(loaded.probabilities(texts), model.probabilities(texts))
    assert loaded.manifest == saved.manifest == read_manifest(folder)
    assert folder.name == saved.manifest.version
    assert folder.name.startswith("sfw-linear-20260101-")
    assert saved.manifest.artefact_hash == file_hash(folder / ARRAYS)
    assert loaded.labels == ("buah", "minuman")
    assert loaded.thresholds == {"buah": 0.6, "minuman": 0.4}
    assert [child.name for child in (tmp_path / "models").iterdir()] == [folder.name]


def test_the_same_model_again_leaves_the_arrays_that_serve_where_they_lie(model: TrainedModel, tmp_path: Path) -> None:
    first, folder = save_model(model, tmp_path)
    before = (folder / ARRAYS).stat().st_ino
    measured = TrainedModel(model.classifier, described(metrics={"texts": 7}))
    again, same = save_model(measured, tmp_path)
    assert same == folder
    assert (folder / ARRAYS).stat().st_ino == before
    assert again.manifest.artefact_hash == first.manifest.artefact_hash
    assert load_model(folder).manifest.metrics == {"texts": 7}


def test_the_same_model_again_mends_a_damaged_folder(model: TrainedModel, tmp_path: Path) -> None:
    _, folder = save_model(model, tmp_path)
    (folder / ARRAYS).write_bytes(b"cut short")
    save_model(model, tmp_path)
    assert load_model(folder).labels == model.labels
    assert [child.name for child in tmp_path.iterdir()] == [folder.name]


def test_no_text_is_no_error(model: TrainedModel) -> None:
    found = model.probabilities([])
    assert found.shape == (0, 2)
    assert model.given(found) == []


def test_a_model_with_vectors_needs_their_encoder(tmp_path: Path) -> None:
    model = TrainedModel(fitted("stub"), described(encoder="stub"))
    _, folder = save_model(model, tmp_path)
    with pytest.raises(ModelError, match="SARING_ENCODER=stub"):
        load_model(folder)
    loaded = load_model(folder, encode)
    assert np.array_equal(loaded.probabilities(_TEXTS), model.probabilities(_TEXTS))


def test_a_model_is_loaded_by_name_with_the_encoder_that_it_was_trained_with(tmp_path: Path) -> None:
    model = TrainedModel(fitted("stub"), described(encoder="stub"))
    _, folder = save_model(model, tmp_path)
    asked: list[str] = []

    def encoders(name: str) -> Encode:
        asked.append(name)
        return encode

    for loaded in (load_named(folder.name, tmp_path, encoders), open_model(folder, encoders)):
        assert np.array_equal(loaded.probabilities(_TEXTS), model.probabilities(_TEXTS))
    assert asked == ["stub", "stub"]
    with pytest.raises(ModelError, match="SARING_ENCODER=stub"):
        load_named(folder.name, tmp_path)
    _, plain = save_model(TrainedModel(fitted(), described()), tmp_path)
    open_model(plain, encoders)
    assert asked == ["stub", "stub"]


def test_labels_are_given_from_their_thresholds_on(model: TrainedModel) -> None:
    given = model.given(np.array([[0.6, 0.4], [0.59, 0.39], [0.1, 0.9]]))
    assert given == [["buah", "minuman"], [], ["minuman"]]


def test_an_exclusive_model_gives_exactly_one_and_its_probabilities_sum_to_1() -> None:
    model = TrainedModel(fitted(), described(exclusive=True))
    probabilities = model.probabilities([*_TEXTS, "zzz", ""])
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(8))
    assert [len(labels) for labels in model.given(probabilities)] == [1] * 8
    assert model.given(np.array([[0.5, 0.49]])) == [["buah"]]


@pytest.mark.parametrize("place", [0, 0.25, 0.5, 0.75, -1])
def test_one_other_byte_in_the_arrays_is_refused(folder: Path, place: float) -> None:
    content = bytearray((folder / ARRAYS).read_bytes())
    content[int(place * len(content)) if place >= 0 else -1] ^= 1
    (folder / ARRAYS).write_bytes(content)
    refused(folder, "changed since it was trained")


def test_arrays_cut_short_or_lost_are_refused(folder: Path) -> None:
    content = (folder / ARRAYS).read_bytes()
    (folder / ARRAYS).write_bytes(content[: len(content) // 2])
    refused(folder, "changed since it was trained")
    (folder / ARRAYS).unlink()
    refused(folder, f"{ARRAYS} is missing")


def test_without_a_manifest_there_is_no_model(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    refused(folder, "there is no model")
    refused(folder / "none", "there is no model")


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b"\xff\xfe\x00", b'{"version": "v"}', b"null"])
def test_a_manifest_of_garbage_is_refused(folder: Path, garbage: bytes) -> None:
    (folder / MANIFEST).write_bytes(garbage)
    refused(folder, "this is not the manifest of a model")


def test_a_type_that_models_never_hold_is_refused_unread(folder: Path) -> None:
    plant(folder, skops.io.dumps({"labels": LinearSVC(), "weights": Planted()}))
    refused(folder, "holds types that are not allowed in a model")
    assert not Planted.made


def test_a_pickle_is_never_read(folder: Path) -> None:
    plant(folder, pickle.dumps(Planted()))
    refused(folder, "not the arrays of a model")
    assert not Planted.made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["buah"]}, "do not fit together"),
        ({"labels": ["buah", "lain"]}, "have different labels"),
        ({"weights": np.zeros((3, 2), dtype=np.float32)}, "do not fit together"),
        ({"weights": [1.0, 2.0]}, "do not fit together"),
        ({"char_idf": np.ones(3)}, "do not fit together"),
        ({"ngrams": None}, "not that of a linear classifier"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(
    model: TrainedModel, folder: Path, change: dict[str, object], message: str
) -> None:
    plant(folder, skops.io.dumps(dict(model.classifier.state()) | change))
    refused(folder, message)


def test_a_state_without_its_parts_is_refused() -> None:
    with pytest.raises(ModelError, match="not that of a linear classifier"):
        restore_linear({})


def test_a_backend_of_another_version_is_refused_by_name(tmp_path: Path) -> None:
    _, folder = save_model(TrainedModel(fitted(), described(backend="quantum")), tmp_path)
    refused(folder, "'quantum' is not known")


def test_a_label_nobody_asserts_or_nobody_denies_cannot_be_fitted() -> None:
    for column, missing in ((0, "asserts"), (1, "denies")):
        truth = np.full((6, 1), column, dtype=np.int8)
        with pytest.raises(NotEnoughLabels, match=f"{missing} 'buah'"):
            fit_linear(_TEXTS, truth, ("buah",), LinearConfig(ngrams=_SMALL, workers=1))


def test_models_are_found_by_version_its_beginning_and_path(model: TrainedModel, tmp_path: Path) -> None:
    _, first = save_model(model, tmp_path)
    later = described(version="sfw-linear-20260202", created_at=datetime(2026, 2, 2, tzinfo=UTC))
    _, second = save_model(TrainedModel(model.classifier, later), tmp_path)
    other = described(version="sentiment-linear-20260303", purpose="sentiment")
    save_model(TrainedModel(model.classifier, other), tmp_path)
    assert folder_of(first.name, tmp_path) == first
    assert folder_of("sfw-linear-202602", tmp_path) == second
    assert folder_of(str(second), tmp_path / "elsewhere") == second
    assert newest(tmp_path, "sfw")[0] == second
    assert newest(tmp_path, "sentiment")[1].purpose == "sentiment"
    with pytest.raises(ModelError, match="'sfw' is the beginning of several models"):
        folder_of("sfw", tmp_path)
    for nothing in ("emotion", str(tmp_path / "none"), "../sfw"):
        with pytest.raises(ModelError, match="no model"):
            folder_of(nothing, tmp_path)
    with pytest.raises(ModelError, match="saring train"):
        newest(tmp_path / "none", "sfw")


class Planted:
    """What a hostile file would have made."""

    made: list[bool] = []  # noqa: RUF012

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.made.append, (True,)


def plant(folder: Path, content: bytes) -> None:
    """Put other arrays into a model, with a manifest that vouches for them."""
    (folder / ARRAYS).write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"artefact_hash": file_hash(folder / ARRAYS)}))


def refused(folder: Path, message: str) -> None:
    with pytest.raises(ModelError, match=re.escape(message)) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value) or "model's state" in str(caught.value)
