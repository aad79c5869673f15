"""A home that was moved to another folder."""

from __future__ import annotations

import json
from pathlib import Path

from sqlalchemy import Engine, select

from pipeline import store
from pipeline.store import open_session
from tests.support.backup import CORPUS
from tests.support.commands import answered, typed


def _trained(environment: dict[str, str], folder: Path) -> None:
    rows = [
        line
        for name in ("harassment", "informative")
        for line in (CORPUS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:75]
    ]
    (folder / "rows.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    words = ("import", str(folder / "rows.jsonl"), "--source", "s", "--labels-field", "labels")
    answered(typed(environment, *words, "--json"))
    answered(typed(environment, "train", "--json"))


def _paths(engine: Engine) -> list[Path]:
    with open_session(engine) as session:
        models, snapshots = session.scalars(select(store.Model.path)), session.scalars(select(store.Snapshot.path))
        return [Path(path) for path in (*models, *snapshots)]


def test_a_moved_home_finds_its_models_after_init(
    engine: Engine, environment: dict[str, str], new_home: Path, tmp_path: Path
) -> None:
    _trained(environment, tmp_path)
    assert len(_paths(engine)) == 2 and all(path.is_relative_to(new_home) for path in _paths(engine))
    to = tmp_path / "elsewhere" / "home"
    to.parent.mkdir()
    new_home.rename(to)
    moved = environment | {"SARING_HOME": str(to)}
    assert typed(moved, "predict", given="bodoh betul kau ni\n").returncode == 1
    looked = json.loads(typed(moved, "doctor", "--json").stdout)
    [check] = [one for one in looked["checks"] if one["name"] == "files"]
    assert check["found"] == "the home was moved: 2 files of models and snapshots are at another place"

    said = typed(moved, "init")
    assert "The home was moved: the store has the new place of 2 files." in said.stdout
    assert all(path.is_relative_to(to) and path.exists() for path in _paths(engine))
    assert typed(moved, "predict", given="bodoh betul kau ni\n").returncode == 0
    assert answered(typed(moved, "init", "--json"))["moved_files"] == 0
