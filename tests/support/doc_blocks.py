"""The code blocks of pages, with what a page says of each: the file that it is, and why no test runs it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r'^(?P<indent> *)```(?P<language>[\w-]*)(?: title="(?P<title>[^"]*)")?$')
_REASON = re.compile(r"^ *<!-- not run: (.+) -->$")


@dataclass(frozen=True, slots=True)
class Block:
    """A code block of a page."""

    #: from the root of the repository
    page: str
    #: of its first fence, from 1
    line: int
    #: the heading above it
    heading: str
    language: str
    text: str
    #: the file that the reader saves it as, or where it is typed
    title: str | None = None
    #: why no test runs it; None: a test does, or it is no program
    not_run: str | None = None

    @property
    def where(self) -> str:
        """The place, as editors open it."""
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Every code block of a page, in order.

    A comment `<!-- not run: REASON -->` in the line above a block says why no test runs it.
    """
    name = str(page.relative_to(ROOT))
    found: list[Block] = []
    heading, reason = "", None
    opening: re.Match[str] | None = None
    began, lines = 0, list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if opening is None:
            if fence := _FENCE.match(line):
                opening, began, lines = fence, number, []
                continue
            assert "```" not in line or line.count("```") % 2 == 0, f"{name}:{number}: a fence that is not understood"
            heading = line.lstrip("# ") if line.startswith("#") else heading
            said = _REASON.match(line)
            reason = said[1] if said else None
        elif line == opening["indent"] + "```":
            text = "".join(f"{one.removeprefix(opening['indent'])}\n" for one in lines)
            found.append(Block(name, began, heading, opening["language"], text, opening["title"], reason))
            opening, reason = None, None
        else:
            lines.append(line)
    assert opening is None, f"{name}:{began}: a fence that is never closed"
    return found


def command_lines(block: Block) -> list[str]:
    """The commands of a block of shell, a line each: continued lines joined, comments and empty lines left out."""
    joined = re.sub(r"\\\n\s*", " ", block.text)
    lines = (_without_comment(line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


def _without_comment(line: str) -> str:
    """A line without what follows a `#` outside of quotes."""
    quote = ""
    for place, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and (place == 0 or line[place - 1].isspace()):
            return line[:place]
    return line
