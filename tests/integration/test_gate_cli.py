"""`saring models compare`, `field`, `show`, `list` and `promote`, as they are typed, on models of a ledger."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.runs.record import stage_run
from pipeline.store import open_session
from pipeline.store.tables.human_loop import QueueState, TaskState
from pipeline.taxonomy import load_taxonomy
from tests.support.commands import answered, typed
from tests.support.ledger import RULE, RuleLedger

BADRUL, CHONG = (RaterRef(RaterKind.HUMAN, "label-studio", str(i)) for i in (1, 2))
Environment = dict[str, str]


@pytest.fixture
def ledger(engine: Engine, new_home: Path) -> RuleLedger:
    """A ledger whose models lie in the home that the commands are run with."""
    made = RuleLedger(engine, load_taxonomy(), new_home)
    made.plant({"train": 100, "dev": 40, "test": 40})
    return made


def answer(environment: Environment, *words: str) -> Any:
    return answered(typed(environment, "models", *words, "--json"))


def shown(environment: Environment, *words: str) -> str:
    done = typed({**environment, "COLUMNS": "220"}, "models", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(environment: Environment, *words: str) -> str:
    done = typed(environment, "models", *words)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    return done.stderr


def two_models(ledger: RuleLedger) -> tuple[str, str]:
    """The champion, and one that learnt from somebody who gets everything wrong."""
    good = ledger.retrain().report.model.manifest.version
    ledger.say(CHONG, [id_ for id_, split in ledger.splits.items() if split == "train"], flip=True)
    return good, ledger.retrain().report.model.manifest.version


def test_two_models_are_compared_and_the_worse_may_be_promoted_by_hand(
    ledger: RuleLedger, environment: Environment, tmp_path: Path
) -> None:
    good, bad = two_models(ledger)
    found = answer(environment, "compare", good, bad, "--report", str(tmp_path / "out"))
    assert (found["champion"], found["challenger"], found["verdict"]["passed"]) == (good, bad, False)
    assert (found["rows"]["test_set"]["version"], found["rows"]["texts"]) == (1, 40)
    assert found["flips"]["turned_wrong"] > found["flips"]["turned_right"]
    assert found["report"] == str(tmp_path / "out" / "gate.html")
    assert json.loads((tmp_path / "out" / "gate.json").read_bytes())["verdict"] == found["verdict"]
    back = answer(environment, "compare", bad, good)
    assert back["verdict"]["passed"]
    assert back["report"] is None
    assert back["comparison"]["macro"]["difference"]["value"] == pytest.approx(
        -found["comparison"]["macro"]["difference"]["value"]
    )
    assert found["probes"]["pairs"] > 20
    said = shown(environment, "compare", good, bad)
    assert f"probe pairs: of {found['probes']['pairs']} the champion gets" in said
    assert f"{bad} does not pass: on 40 test texts it scores " in said
    assert "40 texts: the frozen test set" in said

    file = tmp_path / "rows.jsonl"
    rows = [
        {"text": f"baris {i} {word}", "labels": [label], "not_labels": [other]}
        for i in range(10)
        for label, word, other in (("porn", RULE["porn"], "violence"), ("violence", RULE["violence"], "porn"))
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    on_file = answer(environment, "compare", good, bad, "--on", str(file), str(file))
    assert (on_file["rows"]["texts"], on_file["rows"]["test_set"]) == (20, None)
    assert "name the files after --on" in refusal(environment, "compare", good, bad, str(file))
    file.write_text('{"text": "tentang lain", "labels": ["hate"]}\n')
    assert "nothing to compare: rows.jsonl has no judgement" in refusal(
        environment, "compare", good, bad, "--on", str(file)
    )

    listed = {model["version"]: model for model in answer(environment, "list")["models"]}
    assert {version: (model["state"], model["test_set"]["version"]) for version, model in listed.items()} == {
        good: ("champion", 1),
        bad: ("rejected", 1),
    }
    assert "v1" in shown(environment, "list")
    said = shown(environment, "show", bad)
    assert "gate: not passed: on 40 test texts it scores " in said
    page = ledger.folder / "models" / bad / "gate.html"
    assert f"gate report: {page}" in said
    assert "Promoted by hand" not in page.read_text()

    answer(environment, "promote", bad, "--reason", "better on <rojak>")
    assert answer(environment, "list")["models"][0]["reason"].endswith(": by hand: better on <rojak>")
    [note] = answer(environment, "show", bad)["gate"]["by_hand"]
    assert (note["reason"], note["gate"]) == ("better on <rojak>", "rejected")
    assert "better on &lt;rojak&gt;" in page.read_text()
    assert "promoted by hand" in shown(environment, "show", bad)


def test_in_a_new_home_there_is_nothing_to_compare_or_measure(environment: Environment) -> None:
    assert "no model 'sfw-none'" in refusal(environment, "compare", "sfw-none", "sfw-none")
    assert "there is no champion yet" in refusal(environment, "field")


def test_a_model_is_measured_on_what_the_queue_drew_by_the_chance_of_each(
    ledger: RuleLedger, environment: Environment
) -> None:
    old = draw(ledger, ledger.plant({"train": 20}, source="old", judged=False), 0.5, days=-1)
    ledger.say(BADRUL, old)
    learnt = ledger.plant({"train": 10}, source="learnt", judged=False)
    ledger.say(RaterRef(RaterKind.LLM, "a-model", "1"), learnt)
    version = ledger.retrain().report.model.manifest.version
    said = refusal(environment, "field")
    assert f"no field figures for {version} yet" in said

    # the queue sought texts that show a label: the others were drawn ten times less likely
    texts = ledger.plant({None: 120}, source="stream", judged=False)
    harsh = [one for one in texts if ledger.texts[one]]
    mild = [one for one in texts if not ledger.texts[one]]
    draw(ledger, harsh, 0.5, days=1)
    draw(ledger, mild, 0.05, days=1)
    planted = draw(ledger, ledger.plant({None: 10}, source="planted", judged=False), 0.5, days=1, gold=True)
    # a machine had labelled these for training
    draw(ledger, learnt, 0.5, days=1)
    ledger.say(BADRUL, [*texts, *planted, *learnt])
    found = answer(environment, "field")
    assert (found["model"], found["judged"], found["drawn"], found["builds"]) == (version, 120, 120, 2)
    assert found["left_out"] == {"learnt": 10, "drawn_before_training": 20}
    metrics = found["metrics"]
    assert metrics["total"]["value"] == pytest.approx(2 * len(harsh) + 20 * len(mild))
    assert metrics["effective_texts"] < 120
    for label in RULE:
        having = [one for one in harsh if label in ledger.texts[one]]
        one = metrics["labels"][label]
        assert one["total"]["value"] == pytest.approx(2 * len(having))
        assert one["prevalence"]["weighted"]["value"] == pytest.approx(
            2 * len(having) / metrics["total"]["value"], abs=1e-4
        )
        assert one["prevalence"]["unweighted"]["value"] == pytest.approx(len(having) / 120, abs=1e-4)
    assert answer(environment, "field", version) == found
    said = shown(environment, "field")
    assert "unweighted" in said
    assert "left out: 10 that the model was trained on, 20 drawn before its training" in said


def draw(
    ledger: RuleLedger, ids: Sequence[uuid.UUID], chance: float, *, days: int, gold: bool = False
) -> Sequence[uuid.UUID]:
    """The queue draws texts with a chance, some days from now, and they are pushed to a project."""
    at = datetime.now(UTC) + timedelta(days=days)
    with stage_run(ledger.engine, "queue") as run, open_session(ledger.engine) as session, session.begin():
        project = store.Project(
            url=f"http://{run.id}", label_studio_id=1, label_studio_created_at=at, title="", harsh_cap=100
        )
        session.add(project)
        session.flush()
        shared: dict[str, Any] = {
            "strategy": "uncertain",
            "reason": "",
            "inclusion_probability": chance,
            "priority": 0.5,
            "gold": gold,
        }
        items = session.execute(
            insert(store.QueueItem).returning(store.QueueItem.id, sort_by_parameter_order=True),
            [{"text_id": one, **shared, "state": QueueState.PUSHED, "run_id": run.id, "created_at": at} for one in ids],
        ).scalars()
        session.execute(
            insert(store.Task),
            [
                {"project_id": project.id, "text_id": one, "queue_item_id": item, **shared, "state": TaskState.DONE}
                for one, item in zip(ids, items, strict=True)
            ],
        )
    return ids
