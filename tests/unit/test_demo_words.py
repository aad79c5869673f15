"""The commands that the demo prints at its end: a shell takes them as they stand, for the demo's home."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from saring.cli.demo_words import goodbye, start_of
from saring.demo.loop import LoopResult

_LOOP = LoopResult(
    url="http://127.0.0.1:8080", project_url="http://127.0.0.1:8080/projects/1", email="a@b.my", example_task=17
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "rumah saya; $(touch bahaya)"


def commands(lines: list[str]) -> list[str]:
    return [line.strip() for line in lines if line.startswith("  ")]


def test_each_command_stands_alone_on_its_line(home: Path) -> None:
    start = start_of(home, {})
    assert commands(goodbye(start, _LOOP, keep=False)) == [
        f"{start} {rest}" for rest in ("up", "sync quality", "sync why 17", "down")
    ]
    assert commands(goodbye(start, None, keep=False)) == [f"{start} down"]
    assert f"{start} up" not in commands(goodbye(start, _LOOP, keep=True))
    assert "TASK" not in "".join(goodbye(start, _LOOP, keep=True))


def test_a_shell_runs_them_in_the_home_of_the_demo_with_its_taxonomy(home: Path, tmp_path: Path) -> None:
    own = {"SARING_TAXONOMY": str(tmp_path / "mine.yaml"), "SARING_HOME": str(tmp_path / "mine"), "SARING_SEED": "x"}
    start = start_of(home, os.environ | own)
    [down] = commands(goodbye(start, None, keep=False))
    shown = subprocess.run(
        f"{down} && {start} taxonomy show --json",
        shell=True,
        env=os.environ | own,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    labels = json.loads(shown.stdout.splitlines()[-1])["labels"]
    assert "informative" in {label["key"] for label in labels}
    # nothing is written beside the demo's folder, and its name is no command
    assert not (tmp_path / "mine").exists()
    assert not (tmp_path / "bahaya").exists()


def test_label_studio_is_not_installed_again(home: Path, tmp_path: Path) -> None:
    start = start_of(home, {"SARING_LABEL_STUDIO_ENV": "elsewhere"}, tmp_path / "label studio")
    assert f"SARING_LABEL_STUDIO_ENV='{tmp_path}/label studio'" in start
    assert "-u" not in start
