"""A release: the version is the tag's, and files that name the newest release agree."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.version import Version

from tests.support.tools import tool

_ROOT = Path(__file__).resolve().parents[2]
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))

set_version, release_check = tool("set_version"), tool("release_check")
_LOG = "# Changelog\n\n## [Unreleased]\n\n- New\n\n## [0.1.0] - 2026-12-01\n"


def test_the_version_is_written_nowhere_but_in_the_tag() -> None:
    assert "version" not in _PROJECT["project"]
    assert _PROJECT["project"]["dynamic"] == ["version"]
    assert _PROJECT["tool"]["hatch"]["version"]["source"] == "vcs"
    assert Version(importlib.metadata.version("saring"))


def version_in(folder: Path, **variables: str) -> str:
    """The version that a build in a folder would have."""
    command = [sys.executable, "-m", "hatchling", "version"]
    done = subprocess.run(command, cwd=folder, env=os.environ | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def git(folder: Path, *words: str) -> None:
    who = [
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@example.org",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "tag.gpgsign=false",
    ]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def test_a_tag_names_the_version_and_without_one_there_is_one_too(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).write_bytes((_ROOT / name).read_bytes())
    assert version_in(tmp_path) == "0.0.0"
    # as the image is told
    [variable] = re.findall(r'^\s+(\w+)="\$VERSION"', (_ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert version_in(tmp_path, **{variable: "0.4.0"}) == "0.4.0"
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    assert re.fullmatch(r"0\.0\.1\.dev1\+g[0-9a-f]+", version_in(tmp_path))
    git(tmp_path, "tag", "v0.2.0")
    # a tag of something else
    git(tmp_path, "tag", "backup-of-monday")
    assert version_in(tmp_path) == "0.2.0"
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "two")
    assert re.fullmatch(r"0\.2\.1\.dev1\+g[0-9a-f]+", version_in(tmp_path))


@pytest.mark.parametrize("name", set_version.PLACES)
def test_files_name_the_newest_release_of_the_changelog(name: str) -> None:
    newest = set_version.newest((_ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    found = set_version.named((_ROOT / name).read_text(encoding="utf-8"), set_version.PLACES[name])
    assert found
    assert set(found) == {newest}


def test_a_release_dates_what_was_unreleased() -> None:
    assert "## [0.2.0] - 2026-12-31\n" in set_version.dated(_LOG, "0.2.0", "2026-12-31")
    first = _LOG.replace("## [Unreleased]", "## [0.2.0] - Unreleased")
    assert set_version.dated(first, "0.2.0", "2026-12-31") == set_version.dated(_LOG, "0.2.0", "2026-12-31")
    assert set_version.newest(_LOG) == "0.1.0"
    released = set_version.dated(_LOG, "0.2.0", "2026-12-31")
    with pytest.raises(ValueError, match="which was released"):
        set_version.dated(released, "0.3.0", "2027-01-31")


def test_every_place_takes_another_version() -> None:
    for name, pattern in set_version.PLACES.items():
        text = (_ROOT / name).read_text(encoding="utf-8")
        changed = set_version.renamed(text, pattern, "9.8.7")
        assert set(set_version.named(changed, pattern)) == {"9.8.7"}, name
        assert changed.count("\n") == text.count("\n")


def test_the_pythons_that_a_release_tries_are_those_that_it_names() -> None:
    named = [
        line.rpartition(" ")[2]
        for line in _PROJECT["project"]["classifiers"]
        if re.search(r"Python :: \d+\.\d+$", line)
    ]
    assert ",".join(named) == release_check.PYTHONS
    assert _PROJECT["project"]["requires-python"] == f">={named[0]}"
    page = (_ROOT / "docs" / "releasing.md").read_text(encoding="utf-8")
    assert f"{', '.join(named[:-1])} and {named[-1]} are tried" in page


def test_a_python_is_found_or_said_to_be_absent() -> None:
    mine = "{}.{}".format(*sys.version_info)
    assert release_check.find_python(mine) is not None
    assert release_check.find_python("2.99") is None


def test_a_home_is_kept_of_the_newest_release() -> None:
    newest = set_version.newest((_ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert (_ROOT / "tests" / "fixtures" / "homes" / newest / "home.tar.zst").is_file()
