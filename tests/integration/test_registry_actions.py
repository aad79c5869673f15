"""What a page or a program asks of the registry: figures of a model, and a change of champion with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pipeline.errors import InputError, ModelError, UsageError
from pipeline.judgement import RaterKind, RaterRef
from pipeline.learning.gate.report import read_gate
from pipeline.learning.scores import SCORES
from pipeline.settings import Settings
from pipeline.taxonomy import load_taxonomy
from saring.actions import registry
from saring.context import Context
from tests.support.ledger import RULE, RuleLedger

BADRUL = RaterRef(RaterKind.HUMAN, "badrul")


@pytest.fixture(scope="module")
def ledger(module_engine: Engine, module_home: Path) -> RuleLedger:
    """A ledger whose two models lie in the home: the champion, and one that learnt everything wrong."""
    made = RuleLedger(module_engine, load_taxonomy(), module_home)
    made.plant({"train": 100, "dev": 40, "test": 60})
    made.retrain()
    made.say(BADRUL, [id_ for id_, split in made.splits.items() if split == "train"], flip=True)
    made.retrain()
    return made


@pytest.fixture(scope="module")
def ours(ledger: RuleLedger) -> Iterator[Context]:
    url = ledger.engine.url.render_as_string(hide_password=False)
    context = Context(Settings(home=ledger.folder, database_url=url))
    yield context
    context.close()


@pytest.fixture
def good(ours: Context) -> str:
    version = registry.champion_version(ours)
    assert version is not None
    return version


@pytest.fixture
def bad(ours: Context) -> str:
    [version] = [model.version for model in registry.list_models(ours, "labels") if model.state == "rejected"]
    return version


def test_figures_come_from_the_scores_that_the_training_kept(ours: Context, good: str) -> None:
    folder = Path(registry.find_model(ours, good).path)
    kept = (folder / SCORES).read_bytes()
    figures = registry.model_figures(ours, good)
    assert (figures["model"], figures["texts"], figures["test_set"]) == (good, 60, 1)
    assert set(figures["curves"]) == set(RULE)
    assert (folder / SCORES).read_bytes() == kept
    measured = registry.find_model(ours, good).macro_average_precision
    assert measured is not None
    assert figures["overall"]["macro_average_precision"]["value"] == pytest.approx(measured["value"], abs=1e-3)


def test_a_model_without_scores_is_scored_again_and_they_are_kept(ours: Context, good: str) -> None:
    path = Path(registry.find_model(ours, good).path) / SCORES
    before = registry.model_figures(ours, good)
    path.unlink()
    after = registry.model_figures(ours, good)
    assert path.is_file()
    assert after["curves"]["porn"]["reliability"] == before["curves"]["porn"]["reliability"]
    assert [part["name"] for part in after["slices"] if part["kind"] == "source"] == []


def test_two_models_are_compared_with_their_flipped_examples(ours: Context, good: str, bad: str) -> None:
    report = registry.compare_models(ours, good, bad)
    assert (report.champion, report.challenger, report.verdict.passed) == (good, bad, False)
    assert report.paired is not None
    assert any(not flip.right for flip in report.paired.flips)


def test_a_model_is_tried_on_the_examples_of_the_taxonomy(ours: Context, good: str) -> None:
    probes = registry.probe_model(ours)
    assert probes["model"] == good
    assert {label["label"] for label in probes["labels"]} == set(RULE)
    assert set(probes["unknown"]) == set(ours.taxonomy.keys) - set(RULE)


def test_the_stream_has_no_figures_before_anybody_answered(ours: Context, good: str) -> None:
    with pytest.raises(InputError, match="no field figures"):
        registry.stream_figures(ours, good)


def test_the_champion_is_not_changed_without_a_reason(ours: Context, good: str, bad: str) -> None:
    with pytest.raises(UsageError, match="without a reason"):
        registry.promote(ours, bad, reason=" ")
    with pytest.raises(UsageError, match="without a reason"):
        registry.rollback(ours, reason="")
    with pytest.raises(ModelError, match="no model"):
        registry.promote(ours, "labels-linear-none", reason="better")
    assert registry.champion_version(ours) == good


def test_a_promotion_by_hand_and_its_rollback_keep_their_reasons(ours: Context, good: str, bad: str) -> None:
    promotion = registry.promote(ours, bad, reason="better on <rojak>")
    assert (promotion.champion, promotion.retired) == (bad, good)
    report = read_gate(Path(registry.find_model(ours, bad).path))
    assert report is not None
    assert report["by_hand"][-1]["reason"] == "better on <rojak>"
    assert str(registry.find_model(ours, bad).reason).endswith(": by hand: better on <rojak>")

    back = registry.rollback(ours, reason="too many false alarms")
    assert (back.champion, back.retired) == (good, bad)
    assert registry.find_model(ours, bad).state == "rejected"
    assert "too many false alarms" in str(registry.find_model(ours, bad).reason)
