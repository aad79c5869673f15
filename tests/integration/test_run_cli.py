"""`saring run` and the machines' side of `saring demo` as they are typed, and what can be done in the home they leave.

The people's side is in tests/e2e/test_demo.py.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.settings import Settings
from saring.cli import app
from saring.services import stop_services

# the demo itself takes a minute, on a busy machine several
pytestmark = pytest.mark.timeout(900)

_ROOT = Path(__file__).resolve().parents[2]
#: nobody listens there
_NOBODY = "postgresql://me:hunter2@127.0.0.1:1/none"
_COMMANDS = (
    "up",
    "down",
    "status",
    "doctor",
    "init",
    "ingest",
    "import",
    "embed",
    "judge",
    "filter",
    "pseudolabel",
    "run",
    "demo",
    "train",
    "evaluate",
    "predict",
    "models list",
    "models show",
    "models promote",
    "models rollback",
    "queue build",
    "queue show",
    "sync setup",
    "sync push",
    "sync predict",
    "sync pull",
    "sync reconcile",
    "sync why",
    "sync quality",
    "sync exclude",
    "sync include",
    "serve",
    "worker",
    "beat",
)


@dataclass(frozen=True, slots=True)
class Demo:
    """A home in which the demo has run, and what it printed."""

    home: Path
    #: the home and the store of the person who ran it
    own: Path
    result: dict[str, Any]

    def run(self, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """A command in the demo's home."""
        return saring({"SARING_HOME": str(self.home)}, *words, given=given)

    def answer(self, *words: str) -> dict[str, Any]:
        """What a command prints as JSON."""
        return answered(self.run(*words, "--json"))

    def stage(self, name: str) -> dict[str, Any]:
        [found] = [stage for stage in self.result["stages"] if stage["stage"] == name]
        return found["details"]

    def rows(self) -> dict[str, int]:
        """How many rows each table has."""
        return self.answer("status")["database"]["rows"]

    def caught(self, what: str, by: str) -> tuple[int, int]:
        """How much of one kind of trouble was caught, and how much there was."""
        [found] = [row for row in self.result["caught"] if (row["planted"], row["by"]) == (what, by)]
        return found["caught"], found["total"]


def saring(variables: dict[str, str], *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from saring.cli import main; main()", *words]
    environment = os.environ | {"PYTHONPATH": str(_ROOT), "COLUMNS": "200"} | variables
    return subprocess.run(command, cwd=_ROOT, env=environment, input=given, capture_output=True, text=True)


def answered(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def refused(done: subprocess.CompletedProcess[str], status: int) -> str:
    """The one line in which a command refuses."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("saring: ")
    return line


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """One run of the demo, by somebody whose own store is at an address where nobody listens."""
    folder = Path(tempfile.mkdtemp(prefix="saring-test-", dir="/tmp"))
    home, own = folder / "demo", folder / "own"
    try:
        done = saring(
            {"SARING_HOME": str(own), "SARING_DATABASE_URL": _NOBODY},
            "demo",
            "--no-people",
            "--keep",
            "--home",
            str(home),
            "--json",
        )
        yield Demo(home, own, answered(done))
    finally:
        stop_services(Settings(home=home))
        shutil.rmtree(folder)


@pytest.mark.parametrize("what", ["exact duplicates", "near-duplicates", "broken rows"])
def test_every_planted_repeat_and_broken_row_is_caught(demo: Demo, what: str) -> None:
    caught, planted = demo.caught(what, "ingest")
    assert caught == planted > 10


def test_nearly_all_texts_in_other_languages_are_put_out_of_scope(demo: Demo) -> None:
    caught, planted = demo.caught("texts in other languages", "ingest")
    assert planted >= 60
    assert caught >= 0.9 * planted


def test_fewer_labels_are_wrong_after_the_filters(demo: Demo) -> None:
    shown = demo.result["filters"]
    assert 0.05 < shown["wrong_before"] < 0.2
    assert shown["wrong_after"] < 0.9 * shown["wrong_before"]
    assert shown["right_demoted"] < 0.1 * shown["right"]
    caught, planted = demo.caught("wrong labels", "both filters together")
    assert 0 < caught <= planted
    assert caught <= sum(demo.caught("wrong labels", by)[0] for by in ("centroid filter", "sentiment rules"))


def test_each_stage_says_what_it_took_and_gave(demo: Demo) -> None:
    stages = demo.result["stages"]
    assert [stage["stage"] for stage in stages] == [
        "ingest",
        "embed",
        "judge",
        "centroid filter",
        "sentiment rules",
        "pseudo-labels",
        "train",
    ]
    assert all(stage["given"] for stage in stages)
    ingested = demo.stage("ingest")
    parts = ("new", "exact_duplicates", "near_duplicates", "present")
    assert sum(ingested[part] for part in parts) + sum(ingested["rejected"].values()) == ingested["rows"]


def test_the_demo_leaves_a_page_and_a_model_with_its_card(demo: Demo) -> None:
    page, card = (Path(demo.result["paths"][what]) for what in ("filter page", "model card"))
    assert "<html" in page.read_text(encoding="utf-8")[:200]
    version = demo.stage("train")["model"]
    assert card.parent == demo.home / "models" / version
    assert version in card.read_text(encoding="utf-8")
    assert {"model.skops", "model.json", "precision-recall.png"} <= {path.name for path in card.parent.iterdir()}


def test_the_demo_keeps_to_its_own_home_and_store(demo: Demo) -> None:
    assert not demo.own.exists()
    assert (demo.home / "models").is_dir()
    assert demo.rows()["text"] > 1_000


def test_the_demo_again_does_nothing_twice(demo: Demo) -> None:
    before, models = demo.rows(), demo.answer("models", "list")["models"]
    again = answered(
        saring({"SARING_HOME": str(demo.own)}, "demo", "--no-people", "--keep", "--home", str(demo.home), "--json")
    )
    after = demo.rows()
    same = ("text", "judgement", "rater", "filter_decision", "snapshot", "model")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    listed = ("version", "state", "reason")
    assert [[model[name] for name in listed] for model in demo.answer("models", "list")["models"]] == [
        [model[name] for name in listed] for model in models
    ]
    assert again["caught"] == demo.result["caught"]
    assert again["filters"] == demo.result["filters"]
    [ingested] = [stage["details"] for stage in again["stages"] if stage["stage"] == "ingest"]
    assert ingested["new"] == 0


def test_the_model_serves_as_champion(demo: Demo) -> None:
    version = demo.stage("train")["model"]
    [champion] = [model for model in demo.answer("models", "list")["models"] if model["state"] == "champion"]
    assert (champion["version"], champion["purpose"]) == (version, "sfw")
    assert champion["reason"].endswith("the first model of its purpose")
    assert (
        champion["macro_average_precision"]["value"]
        == demo.stage("train")["metrics"]["macro_average_precision"]["value"]
    )
    shown = demo.run("models", "list")
    assert shown.returncode == 0
    assert version in shown.stdout


def test_a_model_is_shown_by_the_beginning_of_its_name(demo: Demo) -> None:
    version = demo.stage("train")["model"]
    shown = demo.run("models", "show", version[:-4])
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.strip() == (demo.home / "models" / version / "README.md").read_text(encoding="utf-8").strip()
    assert demo.answer("models", "show", version)["version"] == version
    assert "no model 'nothing'" in refused(demo.run("models", "show", "nothing"), 1)


def test_the_first_champion_cannot_be_rolled_back(demo: Demo) -> None:
    said = refused(demo.run("models", "rollback", "--reason", "why not"), 1)
    assert "is the first champion of 'sfw'" in said
    assert "has no champion" in refused(demo.run("models", "rollback", "--reason", "x", "--purpose", "none"), 1)
    [champion] = [model for model in demo.answer("models", "list")["models"] if model["state"] == "champion"]
    assert champion["version"] == demo.stage("train")["model"]


def test_predict_takes_the_champion_and_says_so(demo: Demo) -> None:
    texts = ["Bekalan air akan terputus malam ini di Gombak.", "bodoh gila kau ni, muka macam babi"]
    done = demo.run("predict", given="".join(json.dumps({"id": str(i), "text": t}) + "\n" for i, t in enumerate(texts)))
    assert done.returncode == 0, done.stderr
    assert done.stderr.split() == ["using", "the", "champion,", demo.stage("train")["model"]]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["id"] for row in rows] == ["0", "1"]
    assert all(row["text"] == text for row, text in zip(rows, texts, strict=True))


def test_status_shows_what_the_demo_stored(demo: Demo) -> None:
    shown = demo.run("status")
    assert shown.returncode == 0
    rows = dict(line.split() for line in shown.stdout.splitlines() if len(line.split()) == 2)
    assert rows["text"].replace(",", "") == str(demo.rows()["text"])
    assert {"judgement", "filter_decision", "model"} <= set(rows)


def test_an_unknown_label_is_named_with_those_there_are(demo: Demo) -> None:
    for command in ("filter", "pseudolabel"):
        said = refused(demo.run(command, "--label", "kebahagiaan"), 2)
        assert "'kebahagiaan'" in said
        assert "safe for work" in said


def test_a_mapping_to_an_unknown_label_is_one_line(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("values: {joy: {assert: [happiness]}}\n", encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text('{"id": "1", "text": "gembira betul hari ni", "class": "joy"}\n')
    before = demo.rows()
    files = [str(tmp_path / "rows.jsonl"), "--map", str(tmp_path / "map.yaml")]
    said = refused(demo.run("import", *files, "--source", "s", "--labels-field", "class"), 2)
    assert "'happiness' is not a label of the taxonomy" in said
    assert demo.rows() == before


def test_paths_need_the_name_of_their_source(new_home: Path) -> None:
    said = refused(saring({"SARING_HOME": str(new_home)}, "run", "posts.jsonl"), 2)
    assert "--source" in said
    assert not any(new_home.iterdir())


def test_an_unknown_rater_is_refused(new_home: Path) -> None:
    said = refused(saring({"SARING_HOME": str(new_home)}, "judge", "--rater", "nobody"), 2)
    assert "'nobody'" in said
    assert "bootstrap" in said
    assert not any(new_home.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("judge",),
        ("filter",),
        ("models", "list"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_database_that_is_down_is_one_line(new_home: Path, words: tuple[str, ...]) -> None:
    said = refused(saring({"SARING_HOME": str(new_home), "SARING_DATABASE_URL": _NOBODY}, *words), 1)
    assert said.startswith("saring: the database cannot be reached (connection failed: ")
    assert "`saring doctor`" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("command", _COMMANDS)
def test_each_command_explains_itself_with_an_example(command: str) -> None:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*command.split(), "--help"])
    assert done.exit_code == 0
    assert f"Example: saring {command}" in done.stdout


def test_every_command_is_listed() -> None:
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["--help"]).stdout
    assert all(f" {command.split()[0]} " in shown for command in _COMMANDS)
