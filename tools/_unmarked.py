"""Figures of a page that stand in no mark, so that nobody knows what measured them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest

from tools._figures import FIGURE

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_MADE = re.compile(r"<!-- (begin: \w+|table [a-z0-9_.]+) -->.*?<!-- (?:end: \w+|/table) -->", re.DOTALL)
_CODE = re.compile(r"`[^`]*`")
_HEADING = re.compile(r"^#+ .*$", re.MULTILINE)
_NAMES_SCRIPT = re.compile(r"\bbenchmarks/[a-z]\w*\.py\b")
_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_THINGS = r"(?:texts|rows|tokens|requests|replies|vectors|samples|pages|labels|tasks|inputs|shards)"
#: a number of things in a second: a claim wherever it stands
_RATE = re.compile(rf"{_NUMBER}\s*(?:{_THINGS}/s\b|{_THINGS}\s+a\s+second\b)")
#: in a part of a page that names a script: what only a measurement gives
_MEASURED = re.compile(rf"\d+\.\d+|{_NUMBER}\s*(?:%|(?:ms|s|seconds|minutes|kB|MB|GB|times)\b)")
_CELL = re.compile(rf"^\**{_NUMBER}\b")


def unmarked(text: str) -> list[str]:
    """Figures of a page that are in no mark, each with some words before it.

    A number of things in a second is a figure wherever it stands. In a part of a page, from one heading to the next,
    that names a script of `benchmarks/`, so is every number with a decimal point, with a per cent sign or with a unit
    of time or memory, and every number that begins a cell of a table. Numbers in code are none.
    """
    plain = _MADE.sub("", _FENCE.sub("", text))
    found = []
    for part in _parts(plain):
        of_figures = _NAMES_SCRIPT.search(part) is not None
        bare = _CODE.sub("…", FIGURE.sub("…", part))
        found += [_before(bare, match) for match in _RATE.finditer(bare)]
        if not of_figures:
            continue
        taken = {match.start() for match in _RATE.finditer(bare)}
        found += [_before(bare, match) for match in _MEASURED.finditer(bare) if match.start() not in taken]
        found += [cell for cell in _cells(bare) if _CELL.match(cell) and not _MEASURED.match(cell)]
    return found


def _parts(text: str) -> list[str]:
    return _HEADING.split(text)


def _cells(text: str) -> Iterator[str]:
    """The cells of the tables, but for their headings."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for row, following in zip_longest(rows, rows[1:], fillvalue=""):
        if "---" in row or "---" in following:
            continue
        for cell in row.strip("| ").split("|"):
            yield cell.strip()


def _before(text: str, match: re.Match[str]) -> str:
    return " ".join(text[max(0, match.start() - 40) : match.end()].split())
