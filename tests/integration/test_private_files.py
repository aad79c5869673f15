"""What commands write is for its owner only, whatever the account's habits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.atomic import make_folder, new_file, new_folder
from tests.support.backup import CORPUS
from tests.support.commands import answered, typed


@pytest.fixture(autouse=True)
def _as_usual() -> Iterator[None]:
    """A new file can be read by all."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """Whatever below a folder somebody else may read, but for the servers' own folder; there is something."""
    below = [path for path in folder.rglob("*") if "services" not in path.relative_to(folder).parts]
    assert below
    return [str(path) for path in below if path.stat().st_mode & 0o077]


def test_texts_in_files_can_be_read_by_their_owner_only(
    environment: dict[str, str], new_home: Path, tmp_path: Path
) -> None:
    rows = [
        line
        for name in ("harassment", "informative")
        for line in (CORPUS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:75]
    ]
    given = tmp_path / "rows.jsonl"
    given.write_text("\n".join([*rows, '{"text": 5}']) + "\n", encoding="utf-8")
    out = tmp_path / "out"
    words = ("import", str(given), "--source", "demo", "--labels-field", "labels", "--licence", "CC0-1.0")
    answered(typed(environment, *words, "--json"))
    answered(typed(environment, "ingest", str(given), "--source", "again", "--json"))
    answered(typed(environment, "embed", "--limit", "40", "--json"))
    trained = answered(typed(environment, "train", "--json"))
    answered(
        typed(
            environment, "evaluate", str(given), "--labels-field", "labels", "--card", str(out / "a" / "card"), "--json"
        )
    )
    answered(typed(environment, "explore", "--points", "10", "--report", str(out / "explore"), "--json"))
    answered(typed(environment, "dataset", "export", str(out / "b" / "data"), "--json"))
    answered(typed(environment, "models", "export", trained["model"], "--out", str(out / "c" / "model"), "--json"))
    assert typed(environment, "predict", str(given), "--out", str(out / "predicted.jsonl")).returncode == 0
    assert {path.name for path in out.iterdir()} == {"a", "b", "c", "explore", "predicted.jsonl"}
    assert {path.name for path in new_home.iterdir()} >= {"models", "snapshots", "rejects"}
    assert open_to_others(out) == []
    assert open_to_others(new_home) == []


def test_a_library_that_replaces_its_file_changes_nothing(tmp_path: Path) -> None:
    with new_file(tmp_path / "a") as fresh:
        fresh.unlink()
        fresh.write_text("anew")
    with new_folder(tmp_path / "b") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_text("x")
    assert open_to_others(tmp_path) == []


def test_folders_that_are_there_stay_as_they_are(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    make_folder(shared / "mine" / "inner")
    make_folder(shared / "mine" / "inner")
    modes = [path.stat().st_mode & 0o777 for path in (shared, shared / "mine", shared / "mine" / "inner")]
    assert modes == [0o755, 0o700, 0o700]
    (shared / "file").write_text("x")
    with pytest.raises(FileExistsError):
        make_folder(shared / "file")
