"""The adapter for those who host with label-studio-ml, which is on no index: a stand-in for its base class serves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.store import open_session
from tests.support.backend import TAXONOMY, add_text, choices, label_config, promote, task, train_model

_ROOT = Path(__file__).resolve().parents[2]
#: as much of the base class of label-studio-ml 2.0 as hosts rely on
_BASE = """
CACHE = {}

class LabelStudioMLBase:
    def __init__(self, project_id=None, label_config=None):
        self.project_id, self.label_config = project_id or "", label_config
        self.setup()

    def get(self, key):
        return CACHE.get((self.project_id, key))

    def set(self, key, value):
        CACHE[self.project_id, key] = value
"""
#: what its server does for /setup, /predict and /webhook
_HOST = """
import json, sys
from ml_backend.label_studio_ml import Saring, service

tasks, config = json.load(sys.stdin)
model = Saring(project_id="7", label_config=config)
version = model.get("model_version")
results = Saring("7", config).predict(tasks, context=None, login=None, password=None)
kept = model.fit("START_TRAINING", {"project": {"id": 7, "token": "hunter2"}}, job_id=1)
service().close()
print(json.dumps([version, results, kept]))
"""


@pytest.fixture
def hosted(tmp_path: Path, environment: dict[str, str]) -> dict[str, str]:
    """The environment of a host with the stand-in."""
    package = tmp_path / "label_studio_ml"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "model.py").write_text(_BASE)
    return environment | {"PYTHONPATH": os.pathsep.join([str(_ROOT), str(tmp_path)])}


def run(script: str, environment: dict[str, str], given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", script]
    return subprocess.run(command, env=environment, input=given, capture_output=True, text=True, timeout=120)


def test_it_answers_as_over_http(hosted: dict[str, str], engine: Engine, tmp_path: Path) -> None:
    promote(engine, train_model(tmp_path / "models"))
    add_text(engine, "memang benci sangat", "hate")
    tasks = [task("cerita lucah lagi"), task("memang benci sangat"), task(None)]
    done = run(_HOST, hosted, json.dumps([tasks, label_config(TAXONOMY.keys)]))
    assert done.returncode == 0, done.stderr
    version, results, kept = json.loads(done.stdout)
    assert [choices(one) for one in results] == [["porn"], ["hate"], []]
    assert {one["model_version"] for one in results} == {version}
    assert kept == {"kept": True}
    with open_session(engine) as session:
        event = session.scalars(select(store.Event)).one()
    assert (event.action, event.body["project"]) == ("START_TRAINING", {"id": 7})


def test_without_an_address_of_the_store_it_says_so(hosted: dict[str, str]) -> None:
    del hosted["SARING_DATABASE_URL"]
    done = run(_HOST, hosted, "[[], null]")
    assert "set SARING_DATABASE_URL" in done.stderr.splitlines()[-1]


def test_without_label_studio_ml_it_says_what_to_install(environment: dict[str, str]) -> None:
    done = run("import ml_backend.label_studio_ml", environment)
    assert done.returncode == 1
    assert "pip install 'git+https://github.com/HumanSignal/label-studio-ml-backend.git'" in done.stderr
