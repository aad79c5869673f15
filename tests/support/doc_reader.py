"""Somebody who types the commands of a page, with words of their own where the page has placeholders."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.doc_blocks import ROOT, blocks, command_lines
from tests.support.doc_shell import DocShell

#: what the docs say to somebody who has a home: page, heading, and beginnings of commands that need what tests have not
TYPED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("drift.md", "Drift", ()),
    ("filters.md", "Filters", ()),
    ("filters.md", "A cut by hand", ()),
    ("first-steps.md", "5. Look at what the filters did", ()),
    ("first-steps.md", "7. Choose which model serves", ("saring models field",)),
    ("first-steps.md", "10. Look, and share", ()),
    ("learning.md", "The gate", ("saring models field",)),
    ("ledger.md", "The consensus of machines", ()),
    ("moderation.md", "Policies", ()),
    ("moderation.md", "Texts that are kept", ()),
    ("probes.md", "Probe sentences", ()),
    ("quality.md", "Quality of raters' work", ("saring sync quality --names",)),
    ("queue.md", "Queue", ("saring sync push", "saring queue simulate")),
    ("review.md", "Review", ()),
    ("review.md", "Audit", ()),
    ("runs.md", "Runs", ("saring runs cancel", "saring runs resume")),
    ("runs.md", "The schedule", ()),
    ("search.md", "Search", ()),
    ("sharing.md", "Sharing the labelled texts", ("saring dataset push",)),
    ("sharing.md", "Sharing models", ("saring models push",)),
    ("taxonomy.md", "The taxonomy", ()),
    ("taxonomy.md", "Versions", ()),
    ("texts.md", "Labels without a mapping", ()),
    ("backup.md", "Backup and restore", ("SARING_HOME=",)),
)


@dataclass(frozen=True)
class DocReader:
    """A reader in a folder, with a new shell for each heading."""

    folder: Path
    #: of the shell
    variables: Mapping[str, str]
    #: by beginning of a command and placeholder: what the reader puts there; the longest beginning counts
    words: Mapping[tuple[str, str], Callable[[], str]]

    def types(self, page: str, heading: str, without: Sequence[str] = ()) -> list[str]:
        """Type every command of the blocks of shell under a heading.

        Args:
            page: from the root of the repository.
            heading: whole.
            without: beginnings of commands that are left out.

        Returns:
            The commands that did not end well, each with what it said.
        """
        found = [block for block in blocks(ROOT / page) if (block.heading, block.language) == (heading, "sh")]
        assert found, f"{page} has no commands under {heading!r}"
        wrong, shell = [], DocShell(self.folder, self.folder, self.variables)
        for line in (line for block in found for line in command_lines(block)):
            if not line.startswith(tuple(without)):
                try:
                    shell.run(self._filled(line))
                except AssertionError as error:
                    wrong.append(str(error))
        return wrong

    def _filled(self, line: str) -> str:
        chosen: dict[str, tuple[int, Callable[[], str]]] = {}
        for (beginning, placeholder), word in self.words.items():
            if line.startswith(beginning) and len(beginning) >= chosen.get(placeholder, (0, word))[0]:
                chosen[placeholder] = len(beginning), word
        for placeholder, (_, word) in chosen.items():
            if re.search(rf"(?<![\w-]){re.escape(placeholder)}(?![\w-])", line):
                line = re.sub(rf"(?<![\w-]){re.escape(placeholder)}(?![\w-])", word(), line)
        return line
