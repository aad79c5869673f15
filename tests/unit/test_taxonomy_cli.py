"""`saring taxonomy`: a file to begin with, every mistake at once, and the labels with their defaults."""

from __future__ import annotations

import json
import subprocess
from contextlib import chdir
from pathlib import Path

import pytest

from pipeline.taxonomy import example_taxonomy, load_taxonomy
from tests.support.commands import typed


def saring(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    with chdir(folder):
        return typed({"SARING_HOME": str(folder / "home")} | variables, "taxonomy", *words)


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "labels:\n  - key: late\n    name: Late\n    colour: red\n  - key: crowded\n    excludes: [nobody]\n"
    )
    return path


def test_a_new_file_can_be_used_as_it_is(tmp_path: Path) -> None:
    made = saring(tmp_path, "init")
    assert made.returncode == 0, made.stderr
    path = tmp_path / "taxonomy.yaml"
    assert path.read_bytes() == example_taxonomy()
    assert f"export SARING_TAXONOMY={path}" in made.stdout
    checked = saring(tmp_path, "check", "taxonomy.yaml")
    assert (checked.returncode, checked.stdout) == (0, "taxonomy.yaml: 3 labels, no mistake\n")


def test_a_file_that_exists_is_kept(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("labels: []\n")
    refused = saring(tmp_path, "init", "mine.yaml")
    assert refused.returncode == 2
    assert "exists already" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert (tmp_path / "mine.yaml").read_text() == "labels: []\n"


def test_the_labels_of_saring_can_be_copied(tmp_path: Path) -> None:
    assert saring(tmp_path, "init", "own.yaml", "--built-in").returncode == 0
    assert load_taxonomy(tmp_path / "own.yaml") == load_taxonomy()


def test_every_mistake_is_a_line_with_its_place(wrong: Path) -> None:
    checked = saring(wrong.parent, "check", str(wrong))
    assert checked.returncode == 1
    *problems, verdict = checked.stdout.splitlines()
    assert [line.removeprefix(f"{wrong}:").split(":")[0] for line in problems] == ["2", "2", "3", "4", "5", "5"]
    assert verdict == f"{wrong}: 6 mistakes"
    listed = json.loads(saring(wrong.parent, "check", str(wrong), "--json").stdout)
    assert listed["problems"] == problems


def test_what_label_studio_cannot_show_is_a_mistake(tmp_path: Path) -> None:
    content = example_taxonomy().decode().replace("  - key: crowded\n", "  - key: crowded\n    hotkey: u\n")
    (tmp_path / "mine.yaml").write_text(content)
    checked = saring(tmp_path, "check", "mine.yaml")
    assert checked.returncode == 1
    assert "hotkey 'u'" in checked.stdout


def test_a_command_that_needs_the_labels_says_in_one_line_where_the_rest_is(wrong: Path) -> None:
    shown = saring(wrong.parent, "show", SARING_TAXONOMY=str(wrong))
    assert shown.returncode == 1
    assert len(shown.stderr.splitlines()) == 1
    assert "(5 more: `saring taxonomy check` lists them)" in shown.stderr


def test_the_labels_are_shown_with_their_defaults(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(example_taxonomy())
    result = json.loads(saring(tmp_path, "show", "--json", SARING_TAXONOMY="mine.yaml").stdout)
    labels = {label["key"]: label for label in result["labels"]}
    assert [label["hotkey"] for label in labels.values()] == ["1", "2", "3"]
    assert labels["late"]["excludes"] == ["praise"]
    assert result["file"] == "mine.yaml"
    page = saring(tmp_path, "show", SARING_TAXONOMY="mine.yaml").stdout
    for word in ("crowded", "Sesak", "lambat", "9"):
        assert word in page
