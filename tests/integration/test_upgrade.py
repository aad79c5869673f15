"""A home of each released version is opened by this one, and everything that its user had is there.

`tools/keep_home.py` made the homes in `tests/fixtures/homes` with the versions that they are named after, and asked
them then what the tests ask now.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.settings import Settings
from pipeline.store import make_engine
from pipeline.store.migrate import drift
from saring.services import ensure_database, stop_services
from tests.support.commands import answered, typed
from tests.support.kept_home import ask, missing, predict

_HOMES = sorted(
    path for path in (Path(__file__).resolve().parents[1] / "fixtures" / "homes").iterdir() if path.is_dir()
)
#: what a version said wrongly: a threshold's figures were those of the next one, if it was stored rounded down
_CORRECTED = {
    "0.1.0": [
        "home.policies[0].policies[0].thresholds[1].precision: 0.66667 in place of 1.0",
        "home.policies[0].policies[0].thresholds[1].recall: 1.0 in place of 0.5",
        "home.policies[0].policies[0].thresholds[2].recall: 0.5 in place of 0.25",
    ]
}


@dataclass(frozen=True)
class Opened:
    """A home of an older version, opened by this one."""

    folder: Path
    #: the older version
    version: str
    #: what it said
    then: dict[str, Any]
    #: what `saring restore --json` printed
    said: dict[str, Any]
    #: texts for its champion
    asked: str

    def run(self, *words: str) -> dict[str, Any]:
        return answered(typed({"SARING_HOME": str(self.folder)}, *words, "--json"))


@pytest.fixture(scope="module", params=_HOMES, ids=lambda path: path.name)
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    kept: Path = request.param
    folder = Path(tempfile.mkdtemp(prefix="saring-test-", dir="/tmp"))
    try:
        said = answered(typed({"SARING_HOME": str(folder)}, "restore", str(kept / "home.tar.zst"), "--json"))
        for path in (kept / "beside").iterdir():
            shutil.copyfile(path, folder / path.name)
            (folder / path.name).chmod(0o600)
        then = json.loads((kept / "expected.json").read_text(encoding="utf-8"))
        yield Opened(folder, kept.name, then, said, (kept / "asked.jsonl").read_text(encoding="utf-8"))
    finally:
        stop_services(Settings(home=folder))
        shutil.rmtree(folder)


def test_the_store_is_migrated_without_losing_a_row(opened: Opened) -> None:
    assert opened.said["schema_was"] == opened.then["made_by"]["schema"]
    assert {name: rows for name, rows in opened.said["tables"].items() if rows} == {
        name: rows for name, rows in opened.then["tables"].items() if rows
    }
    ready = opened.run("init")
    assert ready["schema_before"] == ready["schema"] == opened.said["schema"] >= opened.said["schema_was"]
    engine = make_engine(ensure_database(Settings(home=opened.folder)))
    try:
        assert drift(engine) == []
    finally:
        engine.dispose()


def test_everything_that_its_user_had_is_there(opened: Opened) -> None:
    then = opened.then["answers"]
    # the fixture is worth something only if it holds all of this
    assert min(len(then["texts"]), len(then["predictions"]), len(then["queue"][0]["items"])) > 0
    assert {kind for one in then["texts"].values() for kind in _kinds(one)} >= {"human", "external", "bootstrap"}
    now = ask(opened.folder, opened.asked)
    assert missing(_at(now, opened.folder), then) == _CORRECTED.get(opened.version, [])


def test_work_goes_on(opened: Opened, tmp_path: Path) -> None:
    """After everything else was looked at: a text comes in, and the champion before serves again."""
    (tmp_path / "more.jsonl").write_text('{"id": "m", "text": "bas ke Sepang tukar pukul berapa sekarang"}\n')
    assert opened.run("ingest", str(tmp_path / "more.jsonl"), "--source", "forum")["new"] == 1
    assert opened.run("embed")["embedded"] == 1
    champion = predict(opened.folder, opened.asked)[0]["model"]
    assert opened.run("models", "rollback", "--reason", "a test")["champion"] != champion


def _kinds(text: dict[str, Any]) -> set[str]:
    return {one["rater"][0] for one in text["said"]}


def _at(now: Any, folder: Path) -> Any:
    """Answers as they would be where the home first lay."""
    return json.loads(json.dumps(now, default=str).replace(str(folder), "/tmp/saring-kept-home"))
