"""Every code block of the README and of the docs is run by a test, or checked here, or says why not.

Checked here means: a command and its options exist, Python compiles and what it imports of ours is there, a file has
the form that its program reads, and an address is one of a route. What a test runs is in `RUN`, by page and heading.
"""

from __future__ import annotations

import ast
import csv
import importlib
import inspect
import json
import re
import shlex
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest
import typer
import yaml

import saring
from ml_backend.moderation.config import ModerationLimits
from ml_backend.moderation.openapi import document
from pipeline.taxonomy import parse_taxonomy
from saring.cli import app
from saring.home import Home
from saring.web.app import route_table
from tests.support.doc_blocks import ROOT, Block, blocks, command_lines
from tests.support.doc_reader import TYPED

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [block for page in PAGES for block in blocks(page)]

#: tests that run blocks: page, beginning of the heading, languages
RUN: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    ("README.md", "From Python"): ("tests/integration/test_examples.py", ("python",)),
    ("docs/first-hour.md", ""): ("tests/e2e/test_first_hour.py", ("sh", "yaml", "csv", "text")),
    ("docs/coming-from.md", ""): (
        "tests/integration/test_coming_from.py",
        ("sh", "python", "yaml", "json", "csv", "text"),
    ),
    ("docs/guide-developer.md", ""): ("tests/integration/test_ways_in.py", ("sh",)),
    ("docs/models.md", "What a model is"): ("tests/integration/test_ways_in.py", ("python",)),
    ("docs/moderation.md", "In OpenAI's shape"): ("tests/integration/test_ways_in.py", ("python", "sh")),
    ("docs/moderation.md", "Report a wrong verdict"): ("tests/integration/test_ways_in.py", ("sh",)),
    ("docs/ways-in.md", ""): ("tests/integration/test_ways_in.py", ("python", "sh")),
    # in the home of the demo, by tests/e2e/test_demo.py
    **{(f"docs/{page}", heading): ("tests/support/doc_reader.py", ("sh",)) for page, heading, _ in TYPED},
}
#: languages of shapes and examples of output: nothing could be run or read
SHOWN = {"", "text"}
#: languages that are checked as far as can be, and need not be run
CHECKED = {"sh", "python", "yaml", "json", "csv"}
#: programs that are not ours and stand in commands
PROGRAMS = {
    *("cd", "export", "mkdir", "cp", "chmod", "pip", "rm", "tee"),
    *("make", "curl", "docker", "python", "python3", "echo"),
}
_FOLDERS = ("etc", "var", "srv", "mnt", "tmp", "dev", "usr", "data", "label-studio", "home", "opt", "api", "your")
#: addresses of language models' and encoders' servers, and the beginning of ours
_OTHERS = {"/v1", "/v1/chat/completions", "/v1/embeddings"}
#: a word that stands for one of the reader's
_PLACEHOLDER = re.compile(r"[A-Z][A-Z_]+$|\.\.\.|[A-Z]+=")


def run_by(block: Block) -> str | None:
    """The test that runs a block; None: none does."""
    # a Malay page has the blocks of the English one
    of = block.page.replace(".ms.md", ".md")
    for (page, heading), (test, languages) in RUN.items():
        if of == page and block.heading.startswith(heading) and block.language in languages:
            return test
    return None


@lru_cache
def root_command() -> Any:
    return typer.main.get_command(app)


def find_command(words: list[str]) -> tuple[Any, str, list[str]]:
    """The command that words name, its name, and the rest of the words."""
    command, name = root_command(), "saring"
    while words and getattr(command, "list_commands", None):
        context = command.make_context(name, [], resilient_parsing=True)
        if words[0] in ("-v", "--verbose"):
            words = words[1:]
            continue
        found = command.get_command(context, words[0])
        if found is None:
            break
        command, name, words = found, f"{name} {words[0]}", words[1:]
    return command, name, words


def fault_of(words: list[str], *, whole: bool) -> str | None:
    """What is wrong with a `saring` command; None: nothing.

    Args:
        words: what stands after `saring`.
        whole: False: it is named in a sentence, so arguments and values of options may be missing.
    """
    command, name, rest = find_command(words)
    options = {option for one in command.params for option in (*one.opts, *one.secondary_opts)} | {"--help", "-h"}
    before = rest[: rest.index("--")] if "--" in rest else rest
    unknown = [word for word in before if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in options]
    if unknown:
        return f"{name} has no option {unknown[0]}"
    if getattr(command, "list_commands", None) and rest and not rest[0].startswith("-"):
        return f"{name} has no command {rest[0]}"
    if not whole:
        return None
    context = command.make_context(name, [], resilient_parsing=True)
    try:
        values, _, _ = command.make_parser(context).parse_args(list(rest))
        for parameter in command.params:
            value = values.get(parameter.name)
            if not _PLACEHOLDER.search(str(value)):
                parameter.process_value(context, value)
    except Exception as error:  # noqa: BLE001 - Typer has its errors in a private module
        # a file that the reader makes is not there
        return None if "does not exist" in str(error) else f"{name}: {error or type(error).__name__}"
    return None


def saring_words(line: str) -> list[list[str]]:
    """The words of each `saring` command of a line of shell, without variables before it and what follows a pipe."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|&;<>"):
            parts.append([])
        else:
            parts[-1].append(word)
    found = []
    for part in parts:
        while part and re.match(r"[A-Z_]+=", part[0]):
            part = part[1:]
        if part and part[0].rpartition("/")[2] == "saring":
            found.append(part[1:])
        elif part and part[0] == "docker" and "saring" in part:
            found.append(part[part.index("saring") + 1 :])
    return found


def first_words(line: str) -> Iterator[str]:
    """The program of each command of a line of shell."""
    for part in re.split(r"\|\||&&|[|;]", line):
        words = [word for word in part.split() if not re.match(r"[A-Z_]+=", word)]
        if words:
            yield words[0].rpartition("/")[2]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.where)
def test_a_block_is_run_or_checked_or_says_why_not(block: Block) -> None:
    if block.not_run is not None:
        assert len(block.not_run) > 10, "a reason"
    elif (test := run_by(block)) is not None:
        assert block.page.rpartition("/")[2].replace(".ms.md", ".md") in (ROOT / test).read_text(encoding="utf-8")
    else:
        assert block.language in SHOWN | CHECKED, "say why no test runs it: <!-- not run: REASON -->"
    check = {"sh": check_shell, "python": check_python, "yaml": check_yaml, "json": check_json, "csv": check_csv}
    if block.language in check:
        check[block.language](block)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name.endswith(".ms.md")], ids=lambda page: page.stem)
def test_a_malay_page_has_the_blocks_of_the_english_one(page: Any) -> None:
    english = page.with_name(page.name.replace(".ms.md", ".md"))
    first, second = ([(block.language, block.text) for block in blocks(one)] for one in (page, english))
    assert first == second


def check_shell(block: Block) -> None:
    for line in command_lines(block):
        for words in saring_words(line):
            fault = fault_of(words, whole=True)
            assert fault is None, f"{line}\n{fault}"
        strange = [name for name in first_words(line) if name not in PROGRAMS | {"saring"}]
        assert not strange or block.not_run is not None, f"{line}\nwhat is {strange[0]}?"
        for target in re.findall(r"^make ([a-z-]+)", line):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), line
        for script in re.findall(r"\bpython3? ((?:benchmarks|tools)/\S+)", line):
            assert (ROOT / script).is_file(), line
        if body := re.search(r"-d '(\{.*?\})'", line):
            json.loads(body[1])


def check_python(block: Block) -> None:
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if _is_ours(alias.name):
                    importlib.import_module(alias.name)
        elif isinstance(node, ast.Call):
            _check_call(node)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "saring":
            assert hasattr(saring, node.attr), f"saring has no {node.attr}"


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in ("saring", "pipeline", "sync", "ml_backend")


def _check_call(call: ast.Call) -> None:
    """A call of `saring.NAME` or of a method of `home` has arguments that it takes."""
    names = ast.unparse(call.func).split(".")
    if not all(name.isidentifier() for name in names) or names[0] not in ("saring", "home"):
        return
    thing: Any = Home if names[0] == "home" else saring
    for name in names[1:]:
        assert hasattr(thing, name), f"{'.'.join(names)}: there is no {name}"
        found = inspect.getattr_static(thing, name, None)
        if isinstance(found, property):
            thing = importlib.import_module(found.fget.__module__).__dict__[found.fget.__annotations__["return"]]
        else:
            thing = getattr(thing, name)
    taken = inspect.signature(thing).parameters
    if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values()):
        assert not [word.arg for word in call.keywords if word.arg and word.arg not in taken], ast.unparse(call)


def check_yaml(block: Block) -> None:
    assert all(isinstance(one, dict) for one in yaml.safe_load_all(block.text))
    if block.text.startswith("labels:") or "\nlabels:\n" in block.text:
        parse_taxonomy(block.text.encode(), block.where)


def check_json(block: Block) -> None:
    rest = block.text.strip()
    while rest:
        read, end = json.JSONDecoder().raw_decode(rest)
        assert isinstance(read, dict | list)
        rest = rest[end:].strip()


def check_csv(block: Block) -> None:
    header, *rows = csv.reader(block.text.splitlines(), delimiter=";" if ";" in block.text else ",")
    assert rows
    assert all(len(row) == len(header) for row in rows)


def page_id(page: Any) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_command_that_a_sentence_names_is_there(page: Any) -> None:
    prose = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    faults = []
    for named in re.findall(r"`(?:[A-Z_]+=\S+ )*saring ([a-z-][^`]*)`", prose):
        try:
            words = saring_words(f"saring {' '.join(named.split())}")[0]
        except ValueError:
            words = named.split()
        if fault := fault_of(words, whole=False):
            faults.append(f"`saring {named}`: {fault}")
    assert not faults


@lru_cache
def routes() -> list[re.Pattern[str]]:
    """Every path that `saring serve` answers."""
    paths = {rule.path for rule in route_table()} | set(document("https://x", ModerationLimits(), {})["paths"])
    for source in [ROOT / "ml_backend/app.py", *sorted((ROOT / "ml_backend/moderation").glob("*.py"))]:
        paths |= set(re.findall(r"\"(/[\w$/:{}.-]+)\"", source.read_text(encoding="utf-8")))
    return [re.compile(re.sub(r"\{\w+(?::\w+)?\}", "[^/]+", path.replace("$", r"\$")) + "$") for path in sorted(paths)]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_address_of_ours_that_a_page_names_is_answered(page: Any) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"(?:127\.0\.0\.1|localhost):9090(/[^\s\"'`?)]*)", text)
    named += re.findall(r"`(?:GET |POST )?(/[a-z$][\w$/:.{}-]*)(?:\?[^`]*)?`", text)
    addresses = [path for path in named if path not in _OTHERS and path.split("/")[1] not in _FOLDERS]
    missing = [path for path in addresses if not any(route.match(path.replace("...", "x")) for route in routes())]
    assert not missing
