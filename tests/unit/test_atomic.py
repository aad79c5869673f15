"""Files and folders are there whole or not at all."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from pipeline.atomic import new_file, new_folder, write_file


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_takes_the_place_of_the_older_one_and_leaves_nothing_beside_it(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "note.txt"
    write_file(path, "lama", durable=durable)
    write_file(path, "baharu é".encode(), durable=durable)
    assert path.read_text(encoding="utf-8") == "baharu é"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_keeps_the_older_file_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_file(path, "lama")
    with pytest.raises(ZeroDivisionError), new_file(path) as fresh:
        fresh.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "lama"
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_file_is_private_from_its_first_byte(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with new_file(path, mode=0o600) as fresh:
        assert stat.S_IMODE(fresh.stat().st_mode) == 0o600
        fresh.write_text("secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    with new_file(path) as first, new_file(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_takes_the_place_of_the_older_one_with_all_that_it_held(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for name in ("old", "new"):
        with new_folder(path) as fresh:
            (fresh / name).touch()
    assert [file.name for file in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_keeps_the_older_folder(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with new_folder(path) as fresh:
        (fresh / "old").touch()
    with pytest.raises(ZeroDivisionError), new_folder(path) as fresh:
        (fresh / "half").touch()
        raise ZeroDivisionError
    assert [file.name for file in path.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_without_a_name_of_its_own_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_file(Path("note.txt"), "here")
    assert (tmp_path / "note.txt").read_text() == "here"
