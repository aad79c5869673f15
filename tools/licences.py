"""List the licence of every package that the base install brings, and refuse copyleft ones.

Saring is Apache-2.0: whoever installs it must be able to pass it on under those terms. GPL and AGPL packages are
refused. LGPL packages are named and allowed, because they are only imported. Extras and the developers' tools are not
looked at. Licences are read from what is installed, without the network.

    python tools/licences.py [--quiet]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).resolve().parents[1]

#: licences of packages whose metadata does not name one, as their source repository does
KNOWN = {"label-studio-sdk": "Apache-2.0", "skops": "MIT"}

Verdict = Literal["allowed", "lgpl", "copyleft", "unknown"]
_LESSER = re.compile(r"\bLGPL|lesser general public", re.IGNORECASE)
_COPYLEFT = re.compile(r"\bA?GPL|(?<!lesser )general public|\bSSPL|server side public", re.IGNORECASE)
#: the name of a licence is short; some packages put the whole text into the field
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Found:
    """A package with its licence."""

    name: str
    version: str
    #: empty: the package does not say
    licence: str

    @property
    def verdict(self) -> Verdict:
        """Say if the base install may bring it."""
        return judge(self.licence)


def judge(licence: str) -> Verdict:
    """Judge what a licence allows; of several that a user may choose from (OR), the freest counts."""
    if not licence.strip():
        return "unknown"
    verdicts = [_judge_one(one) for one in re.split(r"\s+OR\s+", licence)]
    return next(one for one in ("allowed", "lgpl", "copyleft") if one in verdicts)


def _judge_one(licence: str) -> Verdict:
    if _COPYLEFT.search(licence):
        return "copyleft"
    return "lgpl" if _LESSER.search(licence) else "allowed"


def licence_of(metadata: importlib.metadata.PackageMetadata) -> str:
    """The licence that a package names: its SPDX expression, else its classifiers, else the field `License`."""
    if expression := metadata.get("License-Expression"):
        return str(expression)
    classifiers = [
        line.rsplit(" :: ", 1)[-1]
        for line in metadata.get_all("Classifier", [])
        if line.startswith("License :: ") and not line.endswith("OSI Approved")
    ]
    if classifiers:
        return " AND ".join(classifiers)
    field = str(metadata.get("License") or "").strip()
    if field and field.upper() != "UNKNOWN":
        return field.splitlines()[0][:_LONGEST_NAME]
    return KNOWN.get(canonicalize_name(str(metadata["Name"])), "")


def base(requirements: Iterable[str]) -> Iterator[Found]:
    """Every package that these requirements bring, each once, in the order of names.

    Raises:
        PackageNotFoundError: one of them is not installed.
    """
    seen: dict[str, set[str]] = {}
    waiting = [Requirement(line) for line in requirements]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        extras = {"", *wanted.extras}
        fresh = extras - seen.get(name, set())
        if not fresh:
            continue
        seen.setdefault(name, set()).update(fresh)
        for line in importlib.metadata.requires(name) or ():
            inner = Requirement(line)
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in fresh):
                waiting.append(inner)
    for name in sorted(seen):
        package = importlib.metadata.distribution(name)
        yield Found(name, package.version, licence_of(package.metadata))


def declared() -> list[str]:
    """The requirements of the base install."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [str(line) for line in project["dependencies"]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the list; 1 where a package must not be brought."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quiet", action="store_true", help="name only what is not plainly allowed")
    options = parser.parse_args(arguments)
    found = list(base(declared()))
    for one in found:
        if not options.quiet or one.verdict != "allowed":
            print(f"{one.verdict:8}  {one.name} {one.version}: {one.licence or 'no licence named'}")
    refused = [one for one in found if one.verdict in ("copyleft", "unknown")]
    for one in refused:
        what = (
            f"is {one.licence}: replace it, or move it to an extra"
            if one.licence
            else "names no licence: read it at its source, then add it to KNOWN in tools/licences.py"
        )
        print(f"{one.name} {what}", file=sys.stderr)
    print(f"{len(found)} packages in the base install, {len(refused)} refused")
    return 1 if refused else 0


if __name__ == "__main__":
    raise SystemExit(main())
