"""Write the number of the next release where files name it, and today's date over its part of the changelog.

The version of the program itself is not among them: it is the tag of the commit (docs/releasing.md).

    python tools/set_version.py 0.2.0
"""

from __future__ import annotations

import argparse
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
#: as the tag is called, without the v
VERSION = re.compile(r"\d+\.\d+\.\d+(?:[a-z]+\d+)?")
#: files that name the newest release, each with a pattern in whose only group the version stands
PLACES = {
    "CITATION.cff": r"(?m)^version: (\S+)$",
    "Dockerfile": r"(?:saring(?:-gpu)?:|VERSION=)(\d[^\s]*)",
    "docker-compose.yml": r"image: saring(?:-gpu)?:\$\{IMAGE_TAG:-([^}]+)\}",
    ".env.example": r"(?m)^#IMAGE_TAG=(\S+)$",
    "docs/operations.md": r"registry\.example\.org/saring:(\S+)",
}
_HEADING = re.compile(r"(?m)^## \[(?P<version>[^\]]+)\](?: - (?P<date>\S+))?$")


def newest(changelog: str) -> str:
    """The newest release that the changelog names, made or about to be made.

    Raises:
        ValueError: it names none.
    """
    for heading in _HEADING.finditer(changelog):
        if VERSION.fullmatch(heading["version"]):
            return heading["version"]
    raise ValueError("CHANGELOG.md: no heading names a version, as `## [0.2.0] - 2026-12-31`")


def dated(changelog: str, version: str, date: str) -> str:
    """The changelog with its first part named as this release.

    Raises:
        ValueError: the first part is a release already.
    """
    first = _HEADING.search(changelog)
    if first is None or (first["version"], first["date"]) == (version, date):
        return changelog
    if first["version"] != "Unreleased" and first["date"] != "Unreleased":
        raise ValueError(
            f"CHANGELOG.md begins with {first['version']}, which was released: add `## [Unreleased]` with what changed"
        )
    return f"{changelog[: first.start()]}## [{version}] - {date}{changelog[first.end() :]}"


def named(text: str, pattern: str) -> list[str]:
    """The versions that a file names."""
    return re.findall(pattern, text)


def renamed(text: str, pattern: str, version: str) -> str:
    """The file with another version.

    Raises:
        ValueError: it names none.
    """

    def put(found: re.Match[str]) -> str:
        start, end = found.start(1) - found.start(), found.end(1) - found.start()
        return found[0][:start] + version + found[0][end:]

    changed, count = re.subn(pattern, put, text)
    if not count:
        raise ValueError(f"nothing looks like {pattern}")
    return changed


def main() -> int:
    """Write all files; 1 where one cannot be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version")
    version = parser.parse_args().version
    if not VERSION.fullmatch(version):
        print(f"{version} is no version: write it as 0.2.0 or 0.2.0rc1", file=sys.stderr)
        return 2
    log = _ROOT / "CHANGELOG.md"
    try:
        changed = {log: dated(log.read_text(encoding="utf-8"), version, f"{datetime.now(UTC):%Y-%m-%d}")}
        for name, pattern in PLACES.items():
            changed[_ROOT / name] = renamed((_ROOT / name).read_text(encoding="utf-8"), pattern, version)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    for path, text in changed.items():
        path.write_text(text, encoding="utf-8")
    print(f"{len(changed)} files name {version}; commit them, then: git tag --annotate v{version} --message v{version}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
