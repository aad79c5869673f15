"""`saring up`, `down`, `status`, `doctor` and `init`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support.commands import typed

_NAMES = ["PostgreSQL", "Valkey", "Label Studio", "ML backend", "worker", "io-worker", "beat", "keeper"]
_STORE_ONLY = ("--without", "label-studio", "--without", "backend", "--without", "worker", "--without", "keeper")


@pytest.fixture
def variables(new_home: Path) -> dict[str, str]:
    return {"SARING_HOME": str(new_home / "home")}


def saring(variables: dict[str, str], *words: str) -> CompletedProcess[str]:
    return typed({"COLUMNS": "200"} | variables, *words)


def answer(variables: dict[str, str], *words: str) -> dict[str, Any]:
    done = saring(variables, *words, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def verdicts(done: CompletedProcess[str]) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in json.loads(done.stdout)["checks"]}


def test_from_nothing_to_running_and_back(variables: dict[str, str], new_home: Path) -> None:
    home = new_home / "home"
    before = answer(variables, "status")
    assert {service["state"] for service in before["services"]} == {"stopped"}
    assert [service["name"] for service in before["services"]] == _NAMES
    assert before["database"] is None
    assert "Nothing runs: `saring up` starts everything." in saring(variables, "status").stdout
    assert not home.exists()

    begun = answer(variables, "init")
    assert begun["schema_before"] is None
    assert answer(variables, "init") == {
        "home": str(home),
        "schema_before": begun["schema"],
        "schema": begun["schema"],
        "moved_files": 0,
    }

    states = [service["state"] for service in answer(variables, "up", *_STORE_ONLY)["services"]]
    assert states == ["ready", "ready", *["stopped"] * 6]
    # what was left out is started by nothing, not even by a command that needs it
    refused = saring(variables, "sync", "pull")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "Label Studio was left out with `saring up --without label-studio`: `saring up` starts it" in refused.stderr
    during = answer(variables, "status")
    assert [service["state"] for service in during["services"]] == states
    assert during["database"]["schema_is_current"]
    assert during["database"]["rows"]["text"] == 0
    assert during["database"]["bytes"] > 0

    shown = saring(variables, "status")
    assert "PostgreSQL" in shown.stdout
    assert "text" in shown.stdout

    done = saring(variables, "doctor", "--json")
    assert done.returncode == 0, done.stdout
    assert {verdicts(done)[name] for name in ("PostgreSQL server", "Valkey server", "schema", "pgvector")} == {"ok"}

    assert answer(variables, "down") == {"stopped": ["Valkey", "PostgreSQL"]}
    assert answer(variables, "down") == {"stopped": []}


def test_doctor_on_a_fresh_machine_finds_nothing_wrong(variables: dict[str, str], new_home: Path) -> None:
    done = saring(variables, "doctor", "--json")
    assert done.returncode == 0, done.stdout
    found = verdicts(done)
    assert {"Python", "packages", "home", "disk", "memory", "taxonomy", "encoder", "pgvector"} <= set(found)
    assert found["PostgreSQL server"] == "warn"
    assert not (new_home / "home").exists()


def test_doctor_says_what_is_wrong_and_how_to_mend_it(variables: dict[str, str], new_home: Path) -> None:
    home = new_home / "home"
    home.mkdir()
    (home / "saring.env").write_text("SARING_SEED=1\n")
    (home / "saring.env").chmod(0o644)
    (new_home / "labels.yaml").write_text("labels: [\n")
    wrong = {
        "SARING_DATABASE_URL": "postgresql://me:hunter2@localhost:1/none",
        "SARING_REDIS_URL": "redis://localhost:1/0",
        "SARING_TAXONOMY": str(new_home / "labels.yaml"),
        "SARING_ENCODER": "no-such-encoder",
    }
    done = saring(variables | wrong, "doctor", "--json")
    assert done.returncode == 1
    found = verdicts(done)
    assert {found[name] for name in ("PostgreSQL server", "Redis server", "taxonomy", "encoder")} == {"fail"}
    assert found["home"] == "warn"
    checks = json.loads(done.stdout)["checks"]
    assert "chmod 600" in next(check["mend"] for check in checks if check["name"] == "home")
    assert "SARING_DATABASE_URL" in next(check["mend"] for check in checks if check["name"] == "PostgreSQL server")
    assert "hunter2" not in done.stdout + done.stderr


def test_a_home_that_cannot_be_one_is_one_line_and_exit_1(new_home: Path) -> None:
    (new_home / "file").touch()
    done = saring({"SARING_HOME": str(new_home / "file")}, "up", *_STORE_ONLY)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Not a directory" in done.stderr.splitlines()[-1]


def test_each_command_explains_itself_with_an_example(variables: dict[str, str]) -> None:
    for command in ("up", "down", "status", "doctor", "init"):
        assert f"Example: saring {command}" in saring(variables, command, "--help").stdout


def test_only_what_there_is_can_be_left_out(variables: dict[str, str], new_home: Path) -> None:
    done = saring(variables, "up", "--without", "database")
    assert done.returncode == 2
    assert "label-studio" in done.stderr
    assert not (new_home / "home").exists()
