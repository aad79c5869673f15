"""What the base install and the image bring: no copyleft, and nothing that is not in the lock with its hash."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.tools import tool

_ROOT = Path(__file__).resolve().parents[2]

licences, lock = tool("licences"), tool("lock")


@pytest.mark.parametrize(
    ("licence", "verdict"),
    [
        ("MIT", "allowed"),
        ("BSD License", "allowed"),
        ("Mozilla Public License 2.0 (MPL 2.0)", "allowed"),
        ("LGPL-3.0-only", "lgpl"),
        ("GNU Lesser General Public License v3 (LGPLv3)", "lgpl"),
        ("GPL-3.0-or-later", "copyleft"),
        ("GNU General Public License v3 (GPLv3)", "copyleft"),
        ("GNU Affero General Public License v3", "copyleft"),
        ("AGPL-3.0-only", "copyleft"),
        ("MIT AND GPL-2.0-only", "copyleft"),
        ("GPL-2.0-only OR Apache-2.0", "allowed"),
        ("GPL-2.0-only OR LGPL-2.1-only", "lgpl"),
        ("", "unknown"),
    ],
)
def test_a_licence_is_judged_by_what_it_asks(licence: str, verdict: str) -> None:
    assert licences.judge(licence) == verdict


def test_the_base_install_brings_no_copyleft(capsys: pytest.CaptureFixture[str]) -> None:
    assert licences.main(["--quiet"]) == 0
    shown = capsys.readouterr().out.splitlines()
    # the lesser kind is named, so that somebody looks
    assert any(line.startswith("lgpl") and " psycopg " in line for line in shown)


def test_a_copyleft_package_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    packages = [licences.Found("kind", "1", "MIT"), licences.Found("strict", "2", "GPL-3.0-or-later")]
    monkeypatch.setattr(licences, "base", lambda _: iter(packages))
    assert licences.main([]) == 1
    assert "strict is GPL-3.0-or-later: replace it" in capsys.readouterr().err


def test_the_lock_holds_all_that_the_base_install_brings_in_the_versions_that_are_tested() -> None:
    pinned = dict(re.findall(r"^([^\s#=]+)==(\S+)", (_ROOT / "constraints.txt").read_text(), re.MULTILINE))
    pinned = {canonicalize_name(name): version for name, version in pinned.items()}
    locked = lock.read(lock.BASE.read_text(encoding="utf-8"))
    assert {name for name, _ in locked} == {found.name for found in licences.base(licences.declared())}
    assert {name: version for name, version in locked if pinned[name] != version} == {}


def test_the_lock_of_the_build_holds_what_builds() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {canonicalize_name(Requirement(line).name) for line in project["build-system"]["requires"]}
    assert wanted <= {name for name, _ in lock.read(lock.BUILD.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("path", [lock.BASE, lock.BUILD], ids=lambda path: path.name)
def test_every_line_of_a_lock_has_a_hash_and_no_address(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    locked = lock.read(text)
    assert locked
    assert all(
        hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes) for hashes in locked.values()
    )
    # nothing is in the file but what was read
    assert lock.write(locked) == text


def test_locking_on_another_machine_adds_its_files_and_drops_older_versions() -> None:
    old = {("one", "1"): frozenset({"sha256:a"}), ("two", "1"): frozenset({"sha256:b"})}
    new = {("one", "1"): frozenset({"sha256:c"}), ("two", "2"): frozenset({"sha256:d"})}
    merged = {("one", "1"): frozenset({"sha256:a", "sha256:c"}), ("two", "2"): frozenset({"sha256:d"})}
    assert lock.merged(old, new) == merged


def test_the_image_installs_from_the_lock() -> None:
    text = (_ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    installs = [one for line in text.splitlines() for one in re.split(r"&&|;", line) if "pip install" in one]
    assert [re.findall(r"--requirement (\S+)", one) for one in installs if "--require-hashes" in one] == [
        ["requirements-build.lock"],
        ["requirements.lock"],
    ]
    # the rest is this project itself, and the extras that somebody asked for
    others = [one for one in installs if "--require-hashes" not in one]
    assert [("--no-deps --no-index" in one, "$EXTRAS" in one) for one in others] == [(True, False), (False, True)]
