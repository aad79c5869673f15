"""Figures of a model for a page: kept scores, curves, slices, and the examples of the taxonomy as probes."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.learning.figures import model_figures
from pipeline.learning.probes.examples import probe
from pipeline.learning.scores import SCORES, ScoredTexts, read_scores, write_scores
from pipeline.measure.arrays import UNKNOWN
from pipeline.models.artefact import LabelSettings, Manifest, TrainedModel
from pipeline.models.backends import backend_of
from pipeline.taxonomy import Taxonomy, parse_taxonomy

_TAXONOMY = """
labels:
  - key: late
    definition: {en: The bus was late, ms: Bas lewat}
    exemplars: {en: [the bus was late again, a late bus], ms: [bas lambat betul]}
    near_misses: {en: [{text: I woke up late, why: a person was late}]}
  - key: praise
    definition: {en: Thanks, ms: Terima kasih}
    exemplars: {en: [thank you driver]}
"""


@pytest.fixture
def scores() -> ScoredTexts:
    """Two labels on 120 texts in two languages and two sources; one label is known of half the texts."""
    rng = np.random.default_rng(4)
    truth = (rng.random((120, 2)) < 0.4).astype(np.int8)
    probabilities = np.clip(truth * 0.5 + rng.random((120, 2)) * 0.5, 0, 1)
    truth[60:, 1] = UNKNOWN
    return ScoredTexts(
        labels=("late", "praise"),
        ids=[uuid.UUID(int=i) for i in range(120)],
        probabilities=probabilities,
        truth=truth,
        given=probabilities >= 0.5,
        languages=["ms"] * 80 + ["en"] * 40,
        sources=["forum,survey"] * 50 + ["forum"] * 65 + [""] * 5,
        test_set=3,
    )


def test_scores_come_back_as_they_were_written(scores: ScoredTexts, tmp_path: Path) -> None:
    write_scores(tmp_path, scores)
    back = read_scores(tmp_path)
    assert back is not None
    assert (back.labels, back.ids, back.languages, back.sources, back.test_set) == (
        scores.labels,
        scores.ids,
        scores.languages,
        scores.sources,
        3,
    )
    assert np.array_equal(back.truth, scores.truth)
    assert np.array_equal(back.given, scores.given)
    assert back.probabilities == pytest.approx(scores.probabilities, abs=1e-6)


def test_scores_hold_no_more_than_a_few_bytes_a_text(scores: ScoredTexts, tmp_path: Path) -> None:
    assert write_scores(tmp_path, scores).stat().st_size < 120 * 60


def test_a_folder_without_scores_and_one_with_a_broken_file_are_told_apart(tmp_path: Path) -> None:
    assert read_scores(tmp_path) is None
    (tmp_path / SCORES).write_bytes(b"not an archive")
    with pytest.raises(ModelError, match="not the scores of a model"):
        read_scores(tmp_path)


def test_scores_are_no_part_of_the_model(scores: ScoredTexts, tmp_path: Path) -> None:
    """So a model that was trained before they were kept is still whole when they are added."""
    (tmp_path / "weights").write_text("1")
    before = backend_of("transformers").hash_of(tmp_path)
    write_scores(tmp_path, scores)
    assert backend_of("transformers").hash_of(tmp_path) == before


def test_figures_have_a_curve_for_each_label_on_the_texts_where_it_is_known(scores: ScoredTexts) -> None:
    figures = model_figures(scores, {"late": 0.5, "praise": 0.5}, rng=np.random.default_rng(1))
    assert (figures["texts"], figures["test_set"]) == (120, 3)
    assert set(figures["curves"]) == {"late", "praise"}
    assert sum(part["texts"] for part in figures["curves"]["late"]["reliability"]) == 120
    assert sum(part["texts"] for part in figures["curves"]["praise"]["reliability"]) == 60
    assert figures["curves"]["late"]["precision_recall"][-1]["recall"] == 1.0


def test_slices_are_languages_and_sources_with_enough_texts(scores: ScoredTexts) -> None:
    figures = model_figures(scores, {"late": 0.5, "praise": 0.5}, rng=np.random.default_rng(1))
    assert [(part["kind"], part["name"], part["texts"]) for part in figures["slices"]] == [
        ("language", "ms", 80),
        ("language", "en", 40),
        ("source", "forum", 115),
        ("source", "survey", 50),
    ]


class _Says:
    """A classifier that gives "late" wherever the word stands."""

    backend = "linear"
    labels = ("late",)

    def decisions(self, texts: list[str]) -> np.ndarray:
        return np.array([[4.0 if "late" in text else -4.0] for text in texts])


def _model() -> TrainedModel:
    manifest = Manifest.model_validate(
        {
            "version": "labels-linear-x",
            "purpose": "sfw",
            "backend": "linear",
            "created_at": "2026-01-01T00:00:00Z",
            "code_version": "",
            "taxonomy_version": "",
            "exclusive": False,
            "objective": "f1",
            "labels": (LabelSettings(key="late", slope=1.0, offset=0.0, threshold=0.5),),
            "config": {},
            "data": {},
            "metrics": {},
        }
    )
    return TrainedModel(_Says(), manifest)  # type: ignore[arg-type]


def test_a_probe_names_the_exemplars_missed_and_the_near_misses_taken() -> None:
    taxonomy: Taxonomy = parse_taxonomy(_TAXONOMY.encode())
    report = probe(_model(), taxonomy)
    [late] = report.labels
    assert (late.exemplars, late.found, late.near_misses, late.left) == (3, 2, 1, 0)
    assert report.unknown == ("praise",)
    assert [(miss.kind, miss.variety, miss.text, miss.why) for miss in report.misses] == [
        ("exemplar", "ms", "bas lambat betul", None),
        ("near_miss", "en", "I woke up late", "a person was late"),
    ]
    assert report.misses[1].probability > 0.9
