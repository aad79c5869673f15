"""`saring sync setup`, `push`, `predict` and `why` as they are typed, against a real Label Studio."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from saring.services import LabelStudioAccess
from tests.support.commands import typed
from tests.support.label_studio import lines, queue


class Saring:
    """The command line, in an empty home, with the tests' Label Studio."""

    def __init__(self, environment: dict[str, str], access: LabelStudioAccess) -> None:
        there = {"LABEL_STUDIO_URL": access.url, "LABEL_STUDIO_API_KEY": access.api_key, "COLUMNS": "200"}
        self.environment = environment | there

    def run(self, *words: str) -> CompletedProcess[str]:
        return typed(self.environment, "sync", *words)

    def json(self, *words: str) -> Any:
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def say(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def saring(environment: dict[str, str], label_studio: LabelStudioAccess) -> Saring:
    return Saring(environment, label_studio)


def test_from_a_queue_to_a_volunteers_page_and_on(
    saring: Saring, engine: Engine, label_studio_api: httpx.Client, tmp_path: Path
) -> None:
    nowhere = saring.run("push")
    assert (nowhere.returncode, nowhere.stdout) == (1, "")
    assert "saring sync setup" in nowhere.stderr
    assert len(nowhere.stderr.strip().splitlines()) == 1

    queue(engine, lines(3), tmp_path)
    made = saring.json("setup", "--no-backend", "--title", "Typed by hand")
    there = str(made["label_studio_id"])
    [sent] = saring.json("push", "--limit", "2")["projects"]
    assert (sent["project_id"], sent["sent"], sent["waiting"]) == (made["project_id"], 2, 1)
    assert f"project {made['project_id']}: 1 task sent" in saring.say("push", "--project", str(made["label_studio_id"]))
    assert "No text is queued: run `saring queue build`" in saring.say("push")

    task = label_studio_api.get(f"/api/projects/{there}/next").raise_for_status().json()
    told = saring.json("why", str(task["id"]))
    assert (told["shown"], told["version"], told["reasons"]) == (["hate"], sent["version"], [])
    assert "ticked: hate" in saring.say("why", told["text_id"])

    [ahead] = saring.json("predict")["projects"]
    assert (ahead["sent"], ahead["created"], ahead["removed"]) == (3, 3, [sent["version"]])
    again = label_studio_api.get(f"/api/projects/{there}/next").raise_for_status().json()
    assert [one["model_version"] for one in again["predictions"]] == [ahead["version"]]

    strange = saring.run("why", "ayat")
    assert strange.returncode == 2
    assert "neither a task's number nor a text's id" in strange.stderr
    other = saring.run("push", "--project", "999999")
    assert other.returncode == 1
    assert "no project 999999 of Saring's" in other.stderr
