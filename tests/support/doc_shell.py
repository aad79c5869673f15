"""A small shell for the commands of pages: as much of one as they use. Saring's own commands run in this process."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.support.commands import typed
from tests.support.doc_blocks import Block

_VARIABLE = re.compile(r"\$(\w+)")


class DocShell:
    """Knows `cd`, `export NAME=VALUE`, `~`, `$NAME`, `saring ...`, `echo TEXT | saring ...` and programs, and refuses
    whatever else a shell knows."""

    def __init__(self, folder: Path, home: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self.variables = {**variables, "HOME": str(home), "PWD": str(folder)}

    def run(self, line: str) -> CompletedProcess[str]:
        """Carry out one line, which must end well."""
        words = [self._filled(word) for word in shlex.split(line)]
        given = None
        match words:
            case ["echo", given, "|", *words]:
                pass
        assert not {"|", ">", "<", "&&", ";", "&"} & set(words), f"more than this shell knows: {line}"
        done = CompletedProcess(words, 0, "", "")
        match words:
            case ["cd", folder]:
                self.folder = self.folder / folder
            case ["export", setting]:
                name, _, value = setting.partition("=")
                self.variables[name] = value
            case ["saring", *rest]:
                with pytest.MonkeyPatch.context() as patch:
                    patch.chdir(self.folder)
                    done = typed(self.variables, *rest, given=given)
            case _:
                environment = os.environ | self.variables
                done = subprocess.run(words, cwd=self.folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done

    def _filled(self, word: str) -> str:
        home = self.variables["HOME"]
        word = re.sub(r"(^|=)~(?=/|$)", lambda found: found[1] + home, word)
        return _VARIABLE.sub(lambda found: self.variables[found[1]], word)


def _squeezed(text: str) -> str:
    """A text with every run of blanks as one."""
    return " ".join(text.split())


def check_output(block: Block, printed: str) -> None:
    """Every line that the page shows was printed."""
    lines = {_squeezed(line) for line in printed.splitlines()}
    for line in block.text.splitlines():
        assert any(_squeezed(line) in one for one in lines), f"{block.where}: {line!r} is not in\n{printed}"
