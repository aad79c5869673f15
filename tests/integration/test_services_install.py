"""The making of an environment for Label Studio, tried with a package of a few bytes in its place."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import ServiceError
from pipeline.progress import silent
from pipeline.settings import Settings
from saring.services.label_studio_install import VERSION, Environment, ensure_installed, environment

_ROOT = Path(__file__).resolve().parents[2]
_MAKE = """
import sys, time
from pathlib import Path
from pipeline.progress import silent
from saring.services.label_studio_install import Environment, ensure_installed

folder, wheel, notes, wait = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), float(sys.argv[4])

def finish(made, lock):
    (made.folder / "left-over").touch()
    with notes.open("a") as file:
        file.write("finished\\n")
    time.sleep(wait)

ensure_installed(Environment(folder, wheel), silent, finish)
"""


@pytest.fixture
def wheel(tmp_path: Path) -> str:
    path = tmp_path / "tiny-1.0-py3-none-any.whl"
    info = "tiny-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny.py", "SIZE = 1\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return str(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "tiny"


def nothing(_: Environment, __: int) -> None:
    """There is nothing more to do."""


def make_elsewhere(folder: Path, wheel: str, notes: Path, wait: float = 0) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _MAKE, str(folder), wheel, str(notes), str(wait)], cwd=_ROOT)


def wait_until(happened: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def size(made: Environment) -> str:
    command = [str(made.python), "-c", "import tiny; print(tiny.SIZE)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_processes_that_ask_at_once_share_one(folder: Path, wheel: str, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    makers = [make_elsewhere(folder, wheel, notes) for _ in range(3)]
    assert [maker.wait() for maker in makers] == [0, 0, 0]
    assert notes.read_text() == "finished\n"
    made = Environment(folder, wheel)
    assert made.is_complete()
    assert size(made) == "1"
    ensure_installed(made, silent, nothing)
    assert (folder / "left-over").exists()
    # what was made for another version is no good for this one
    assert not Environment(folder, "tiny==2.0").is_complete()


def test_one_that_was_broken_off_is_begun_anew(folder: Path, wheel: str, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    maker = make_elsewhere(folder, wheel, notes, wait=600)
    wait_until(notes.exists)
    maker.kill()
    maker.wait()
    made = Environment(folder, wheel)
    assert not made.is_complete()
    steps: list[str] = []
    ensure_installed(made, lambda done, total, what: steps.append(f"{done} {what}"), nothing)
    assert made.is_complete()
    assert size(made) == "1"
    assert not (folder / "left-over").exists()
    assert steps[0].startswith("0 installing Label Studio")
    assert len(steps) > 1


def test_what_pip_says_is_one_line_and_the_next_try_begins_anew(
    folder: Path, wheel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder.parent))
    with pytest.raises(
        ServiceError, match=r"^Label Studio cannot be installed: .*no-such.*PIP_INDEX_URL.*log"
    ) as raised:
        ensure_installed(Environment(folder, "no-such-thing==1"), silent, nothing)
    assert "\n" not in str(raised.value)
    ensure_installed(Environment(folder, wheel), silent, nothing)
    assert size(Environment(folder, wheel)) == "1"


def test_a_folder_with_other_things_in_it_is_left_alone(folder: Path, wheel: str) -> None:
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(ServiceError, match="holds something else: set SARING_LABEL_STUDIO_ENV"):
        ensure_installed(Environment(folder, wheel), silent, nothing)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, wheel: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServiceError, match=r"cannot be made: .*SARING_LABEL_STUDIO_ENV") as raised:
        ensure_installed(Environment(tmp_path / "file" / "below", wheel), silent, nothing)
    assert "\n" not in str(raised.value)


def test_it_lies_outside_the_home_unless_told_otherwise(tmp_path: Path) -> None:
    assert environment(Settings(home=tmp_path, label_studio_env=tmp_path / "mine")).folder == tmp_path / "mine"
    usual = environment(Settings(home=tmp_path, label_studio_env=None)).folder
    assert usual.name == f"label-studio-{VERSION}"
    assert not usual.is_relative_to(tmp_path)
