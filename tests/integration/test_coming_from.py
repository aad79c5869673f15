"""docs/coming-from.md: the small files of other tools are read by the commands beside them, as the page says."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from tests.support.doc_blocks import ROOT, Block, blocks, command_lines
from tests.support.doc_shell import DocShell, check_output
from tests.support.store import new_database

_PAGE = ROOT / "docs" / "coming-from.md"
_BLOCKS = blocks(_PAGE)
_TOOLS = list(dict.fromkeys(block.heading for block in _BLOCKS if block.language == "text"))
_BUILT_IN = "with the labels that come with Saring"


@pytest.fixture(scope="module")
def reader(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocShell]:
    """Somebody with the page's three labels and an empty store."""
    folder = tmp_path_factory.mktemp("reader")
    with new_database(server_url, template) as url:
        variables = {
            "SARING_HOME": str(folder / "home"),
            "SARING_DATABASE_URL": url,
            "COLUMNS": "200",
            "PYTHONPATH": str(ROOT),
            "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
            "PWD": str(folder),
        }
        shell = DocShell(folder, folder, variables)
        for block in _BLOCKS:
            if block.language == "sh":
                for line in command_lines(block):
                    shell.run(line)
                break
        yield shell


def potato_export(folder: Path) -> None:
    """What `potato.export --format parquet` writes of two answers, by its documentation."""
    folder.mkdir()
    answers = {"instance_id": ["p1", "p2"], "user_id": ["aina", "balan"], "issue": [["late"], ["crowded"]]}
    items = {"item_id": ["p1", "p2"], "text": ["bas malam lewat lagi", "berdiri sebab tak ada tempat duduk"]}
    parquet.write_table(pa.table(answers), folder / "annotations.parquet")
    parquet.write_table(pa.table(items), folder / "items.parquet")


@pytest.mark.parametrize("tool", _TOOLS)
def test_what_a_tool_wrote_is_read_by_the_command_of_the_page(tool: str, reader: DocShell, new_home: Path) -> None:
    if tool == "Potato":
        potato_export(reader.folder / "export")
    printed = ""
    for block in [block for block in _BLOCKS if block.heading == tool]:
        if block.language == "text":
            check_output(block, printed)
        elif block.language == "sh":
            printed = "".join(in_place_of(block, reader, new_home).run(line).stdout for line in command_lines(block))
        else:
            assert block.title is not None
            (reader.folder / block.title).write_text(block.text, encoding="utf-8")


def in_place_of(block: Block, reader: DocShell, new_home: Path) -> DocShell:
    """The shell that a block is typed into: one in another home, with Saring's own labels, or the reader's."""
    if block.title != _BUILT_IN:
        return reader
    files = new_home / "files"
    shutil.copytree(reader.folder, files, ignore=shutil.ignore_patterns("home"))
    kept = {name: value for name, value in reader.variables.items() if name != "SARING_TAXONOMY"}
    return DocShell(files, new_home, kept | {"SARING_HOME": str(new_home / "home")})
