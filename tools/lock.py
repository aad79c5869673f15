"""Write the lock files of the image: every package of the base install, and of its build, with the hashes of its files.

pip resolves against constraints.txt and says which files it would install; it downloads what it must know and installs
nothing. The hashes are of the files for this machine's Python and processor. Those that the lock file has already of
the same version are kept, so that running this on another machine adds its files.

    python tools/lock.py
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.utils import canonicalize_name

_ROOT = Path(__file__).resolve().parents[1]
BASE = _ROOT / "requirements.lock"
BUILD = _ROOT / "requirements-build.lock"
_HEAD = """\
# Made by `make lock`; do not edit. For pip install --require-hashes: nothing else than these files is installed.
# Hashes are of the files for the machines that `make lock` was run on; run it on another one to add its files.
"""
#: name==version, then its hashes
Lock = Mapping[tuple[str, str], frozenset[str]]
_LINE = re.compile(r"^([A-Za-z0-9._-]+)==([^\s\\]+)((?:\s*\\?\s*--hash=\S+)*)", re.MULTILINE)


def read(text: str) -> Lock:
    """Read a lock file."""
    return {
        (name, version): frozenset(re.findall(r"--hash=(\S+)", hashes)) for name, version, hashes in _LINE.findall(text)
    }


def write(lock: Lock) -> str:
    """The content of a lock file, in the order of names."""
    return _HEAD + "".join(
        f"{name}=={version}" + "".join(f" \\\n    --hash={one}" for one in sorted(hashes)) + "\n"
        for (name, version), hashes in sorted(lock.items())
    )


def merged(old: Lock, new: Lock) -> Lock:
    """The new lock, with the hashes that the old one has of the same versions."""
    return {key: hashes | old.get(key, frozenset()) for key, hashes in new.items()}


def of_report(report: Mapping[str, list[Mapping[str, dict[str, dict[str, dict[str, str]]]]]]) -> Lock:
    """Take the files from an installation report of pip, without this project itself."""
    found: dict[tuple[str, str], frozenset[str]] = {}
    for one in report["install"]:
        metadata: Mapping[str, object] = one["metadata"]
        hashes = one["download_info"].get("archive_info", {}).get("hashes", {})
        if "dir_info" not in one["download_info"]:
            key = canonicalize_name(str(metadata["name"])), str(metadata["version"])
            found[key] = frozenset(f"{kind}:{value}" for kind, value in hashes.items() if kind == "sha256")
    return found


def resolve(requirements: Iterable[str]) -> Lock:
    """Ask pip what it would install for these, in the versions of constraints.txt, into an empty environment."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        pip += ["--only-binary", ":all:", "--report", str(report), "--constraint", str(_ROOT / "constraints.txt")]
        subprocess.run([*pip, *requirements], check=True)
        return of_report(json.loads(report.read_text(encoding="utf-8")))


def main() -> int:
    """Write both files; 1 where a package has no hash."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for path, requirements in (
        (BASE, project["project"]["dependencies"]),
        (BUILD, project["build-system"]["requires"]),
    ):
        old = read(path.read_text(encoding="utf-8")) if path.exists() else {}
        lock = merged(old, resolve(requirements))
        if bare := [name for (name, _), hashes in lock.items() if not hashes]:
            print(f"no hash is known of {', '.join(bare)}: {path.name} is not written", file=sys.stderr)
            return 1
        path.write_text(write(lock), encoding="utf-8")
        print(f"{path.name}: {len(lock)} packages, {sum(map(len, lock.values()))} files")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
