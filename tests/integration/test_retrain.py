"""Retraining from the ledger: a challenger takes the champion's place if the gate lets it, and what was found stays."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import ModelError, NotEnoughLabels, RunConflict
from pipeline.judgement import RaterKind, RaterRef
from pipeline.learning import registry
from pipeline.learning.gate.rules import Margins
from pipeline.learning.probes.sentences import ProbePair, ProbeSentences
from pipeline.learning.retrain import Retrained
from pipeline.models.artefact import TrainedModel, load_model
from pipeline.runs.record import stage_run
from pipeline.store import open_session
from pipeline.taxonomy import Taxonomy, load_taxonomy
from tests.support.ledger import RULE, RuleLedger

BADRUL = RaterRef(RaterKind.HUMAN, "badrul")


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


def states(engine: Engine) -> dict[str, str]:
    with open_session(engine) as session:
        return {model.version: str(model.state) for model in registry.list_models(session)}


def version(done: Retrained) -> str:
    return done.report.model.manifest.version


def gate_of(done: Retrained) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((done.report.path / "gate.json").read_bytes())
    return found


def poison(ledger: RuleLedger) -> None:
    """Somebody who gets everything wrong judges what is trained on, and is believed before the data set."""
    ledger.say(BADRUL, [id_ for id_, split in ledger.splits.items() if split == "train"], flip=True)


@pytest.fixture
def ledger(engine: Engine, taxonomy: Taxonomy, tmp_path: Path) -> RuleLedger:
    made = RuleLedger(engine, taxonomy, tmp_path)
    made.plant({"train": 160, "dev": 50, "test": 60})
    return made


def test_the_first_model_is_promoted_and_the_same_ledger_gives_it_again(ledger: RuleLedger, session: Session) -> None:
    done = ledger.retrain()
    assert (done.promoted, done.verdict) == (True, "the first model of its purpose")
    assert states(ledger.engine) == {version(done): "champion"}
    assert done.report.evaluation.overall.macro_average_precision.value > 0.9
    assert done.report.splits == {"train": 160, "dev": 50, "test": 60}
    model = session.get_one(store.Model, version(done))
    [run] = session.scalars(select(store.Run))
    assert (model.snapshot_id, model.run_id) == (done.snapshot.id, run.id)
    assert run.counts["model"] == version(done)
    # it knows the version of the test set that it was measured on
    assert done.snapshot.test_set is not None
    expected = {"version": 1, "rows": 60, "hash": done.snapshot.test_set.hash}
    manifest = load_model(Path(model.path)).manifest
    assert manifest.data["snapshot"] == done.snapshot.hash
    assert manifest.data["test_set"] == manifest.metrics["test_set"] == model.metrics["test_set"] == expected
    assert gate_of(done)["rows"]["test_set"] == expected

    report = done.page.read_bytes()
    again = ledger.retrain()
    assert again.snapshot.id == done.snapshot.id
    assert version(again) == version(done)
    assert (again.promoted, again.verdict) == (True, f"nothing new to learn: {version(done)} stays champion")
    assert states(ledger.engine) == {version(done): "champion"}
    # the champion keeps the report of how it became one
    assert again.page.read_bytes() == report


def test_a_worse_challenger_is_rejected_and_a_better_one_promoted(ledger: RuleLedger, engine: Engine) -> None:
    first = ledger.retrain()
    poison(ledger)

    def interrupted(folder: Path) -> TrainedModel:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.retrain(load=interrupted)
    [left] = {path.name for path in (ledger.folder / "models").iterdir()} - {version(first)}
    assert states(engine) == {version(first): "champion"}
    # repeated, it ends as if it had not been killed
    worse = ledger.retrain()
    assert version(worse) == left
    assert not worse.promoted
    assert re.search(r"on \d+ test texts .* of 2 labels", worse.verdict)
    assert states(engine) == {version(first): "champion", version(worse): "rejected"}
    gate = gate_of(worse)
    assert (gate["challenger"], gate["champion"]) == (version(worse), version(first))
    assert not gate["verdict"]["passed"]
    failed = {check["name"] for check in gate["verdict"]["checks"] if not check["passed"]}
    assert failed == {"macro average precision", *(f"recall of {label}" for label in RULE)}
    assert gate["comparison"]["macro"]["difference"]["high"] < 0
    assert all(cost["texts"] == 60 and cost["p95_ms"] >= cost["p50_ms"] > 0 for cost in gate["costs"].values())
    page = worse.page.read_text(encoding="utf-8")
    assert "Rejected" in page
    assert "drops by more than the 0.05 allowed" in page
    assert gate["flips"]
    for flip in gate["flips"]:
        # the truth is the rule's
        assert flip["truth"] == (RULE[flip["label"]] in flip["text"].split())
        assert flip["right"] == (flip["gained"] == flip["truth"])
        assert flip["text"] in page
    assert page.count('class="veil"') == len(gate["flips"])
    assert "secret" not in page

    # mended, while somebody promotes the worse one by hand: that is what it has to be compared with
    ledger.say(BADRUL, [id_ for id_, split in ledger.splits.items() if split == "train"])
    loaded: list[str] = []

    def load(folder: Path) -> TrainedModel:
        if not loaded:
            with open_session(engine) as session, session.begin():
                registry.promote(session, version(worse), reason="by hand: now")
        loaded.append(folder.name)
        return load_model(folder)

    mended = ledger.retrain(load=load)
    assert loaded == [version(first), version(worse)]
    assert mended.promoted
    assert states(engine) == {version(worse): "retired", version(mended): "champion"}
    gate = gate_of(mended)
    assert gate["champion"] == version(worse)
    assert gate["comparison"]["macro"]["difference"]["low"] > 0
    assert any(flip["right"] for flip in gate["flips"])


def test_probe_pairs_are_never_learnt_from_and_a_challenger_that_loses_them_is_rejected(
    ledger: RuleLedger, session: Session
) -> None:
    leak = next(id_ for id_, split in ledger.splits.items() if split == "train" and "porn" in ledger.texts[id_])
    masked = session.get_one(store.Text, leak).masked
    words = [
        "pagi",
        "petang",
        "rumah",
        "kawan",
        "sekolah",
        "laut",
        "bukit",
        "pulau",
        "lagu",
        "buku",
        "kampung",
        "bandar",
    ]
    pairs = [ProbePair("porn", "direct", "ms", f"kami {word} {RULE['porn']} {word}", f"kami {word}") for word in words]
    probes = ProbeSentences((*pairs, ProbePair("porn", "direct", "ms", masked.upper(), "kami")))
    first = ledger.retrain(probes=probes)
    assert first.report.model.manifest.data["left_out_as_near_duplicates_of_probes"] == 1
    assert first.report.splits["train"] == 159
    assert "of probe sentences: 1" in (first.report.path / "README.md").read_text()
    poison(ledger)
    worse = ledger.retrain(Margins(macro=1, recall=1, slice=1), probes=probes)
    gate = gate_of(worse)
    failed = [check["name"] for check in gate["verdict"]["checks"] if not check["passed"]]
    assert failed == ["probes of direct", "probes of direct of porn"]
    assert states(ledger.engine)[version(worse)] == "rejected"
    assert len([pair for pair in gate["probes"]["changed"] if not pair["right"]]) >= 11


def test_a_model_over_budget_is_rejected_even_if_it_is_the_first(ledger: RuleLedger) -> None:
    done = ledger.retrain(Margins(size_mb=0.001))
    assert not done.promoted
    assert states(ledger.engine) == {version(done): "rejected"}
    assert "MB, more than the 0.001 MB allowed" in done.verdict
    # the same model within its budget
    assert ledger.retrain().promoted
    assert states(ledger.engine) == {version(done): "champion"}
    # a champion whose folder is gone can't be compared with
    shutil.rmtree(done.report.path)
    poison(ledger)
    with pytest.raises(ModelError, match="there is no model"):
        ledger.retrain()
    assert states(ledger.engine) == {version(done): "champion"}


def test_what_the_champion_learnt_from_is_left_out_of_the_comparison(ledger: RuleLedger) -> None:
    llm = RaterRef(RaterKind.LLM, "a-model", "1")
    later = ledger.plant({"test": 30}, source="baru", judged=False)
    ledger.say(llm, later)
    ledger.retrain()
    # what a machine labelled for training is judged by people since, and belongs to the test set
    ledger.say(BADRUL, later)
    poison_some = [id_ for id_, split in ledger.splits.items() if split == "train"][:20]
    ledger.say(BADRUL, poison_some, flip=True)
    done = ledger.retrain()
    assert done.snapshot.test_set is not None
    assert (done.snapshot.test_set.version, done.snapshot.test_set.rows) == (2, 90)
    rows = gate_of(done)["rows"]
    assert (rows["texts"], rows["left_out_as_learnt"]) == (60, 30)


def test_an_empty_ledger_is_no_model(engine: Engine, taxonomy: Taxonomy, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughLabels, match="no text has a decided label"):
        RuleLedger(engine, taxonomy, tmp_path).retrain()
    assert not states(engine)


def test_two_trainings_do_not_run_at_once(ledger: RuleLedger) -> None:
    with stage_run(ledger.engine, "train", slice="sfw"), pytest.raises(RunConflict):
        ledger.retrain()
    assert not states(ledger.engine)
