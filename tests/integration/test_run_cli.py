"""What every command says of itself, and how one refuses when nothing can be done.

What they do is in the tests of each; `saring run` and `saring demo` are in tests/e2e/test_demo.py.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from saring.cli import app
from saring.cli.lazy import COMMANDS, help_of
from tests.support.commands import NOBODY, refused, typed

_COMMANDS = (
    "up",
    "down",
    "status",
    "doctor",
    "init",
    "ingest",
    "import",
    "raters",
    "raters show",
    "raters fit",
    "embed",
    "judge",
    "filter",
    "pseudolabel",
    "run",
    "demo",
    "pretrain",
    "train",
    "evaluate",
    "predict",
    "models list",
    "models show",
    "models promote",
    "models rollback",
    "models compare",
    "models field",
    "models export",
    "models push",
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
    "keep",
    "runs list",
    "runs show",
    "runs watch",
    "runs cancel",
    "runs resume",
    "runs logs",
    "sources list",
    "sources set",
    "sources remove",
    "schedule show",
    "backup",
    "restore",
)


def test_paths_need_the_name_of_their_source(new_home: Path) -> None:
    said = refused(typed({"SARING_HOME": str(new_home), "COLUMNS": "200"}, "run", "posts.jsonl"), 2)
    assert "--source" in said
    assert not any(new_home.iterdir())


def test_an_unknown_rater_is_refused(new_home: Path) -> None:
    said = refused(typed({"SARING_HOME": str(new_home), "COLUMNS": "200"}, "judge", "--rater", "nobody"), 2)
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
    said = refused(typed({"SARING_HOME": str(new_home), "SARING_DATABASE_URL": NOBODY, "COLUMNS": "200"}, *words), 1)
    assert said.startswith("saring: the database cannot be reached (connection failed: ")
    assert "`saring doctor`" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("command", _COMMANDS)
def test_each_command_explains_itself_with_an_example(command: str) -> None:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*command.split(), "--help"])
    assert done.exit_code == 0
    assert f"Example: saring {command}" in done.stdout


@pytest.mark.parametrize(("name", "target"), COMMANDS.items())
def test_the_list_says_of_a_command_what_it_says_of_itself(name: str, target: str) -> None:
    loaded = typer.main.get_group(app).get_command(click.Context(click.Command("saring")), name)
    assert loaded is not None
    assert loaded.help
    assert inspect.cleandoc(help_of(target)).split() == inspect.cleandoc(loaded.help).split()


def test_every_command_is_listed() -> None:
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["--help"]).stdout
    assert all(f" {command.split()[0]} " in shown for command in _COMMANDS)
