"""Plain words in the code: docstrings begin with a noun or an imperative verb, variables are nouns of the domain.

The rules are those of docs/glossary.md; readers whose first language is Malay come first.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("pipeline", "saring", "sync", "ml_backend", "benchmarks")
#: a docstring that begins with one of these is half a question
_QUESTIONS = {"what", "how", "whether", "which", "where", "whose", "who"}
#: a variable of such a name says nothing of what it holds
_EMPTY_NAMES = {"one", "found", "said", "done", "mine"}
#: as Alembic writes them
_LEFT_OUT = "pipeline/store/migrations/versions"


def rooms() -> list[str]:
    """Folders with Python files, from the project's root on."""
    folders = {path.parent.relative_to(_ROOT).as_posix() for package in _PACKAGES for path in _files(package)}
    return sorted(folder for folder in folders if folder != _LEFT_OUT)


def _files(folder: str) -> Iterator[Path]:
    return (path for path in (_ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


def _trees(room: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((_ROOT / room).glob("*.py")):
        yield path.relative_to(_ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def _variables(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Names that are bound to values inside functions and modules; fields of classes are formats, and left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs) and node.name is not None:
            yield node.name, node.lineno


def _fields(tree: ast.Module) -> set[int]:
    """Lines on which a class declares a field."""
    return {
        statement.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
    }


@pytest.mark.parametrize("room", rooms())
def test_a_docstring_begins_with_a_noun_or_an_imperative_verb(room: str) -> None:
    wrong = [
        f"{path}:{getattr(node, 'lineno', 1)}: {docstring.splitlines()[0]}"
        for path, tree in _trees(room)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if (docstring := ast.get_docstring(node)) and docstring.split()[0].strip(",:.").lower() in _QUESTIONS
    ]
    assert wrong == []


@pytest.mark.parametrize("room", rooms())
def test_a_variable_says_what_it_holds(room: str) -> None:
    wrong = [
        f"{path}:{line}: {name}"
        for path, tree in _trees(room)
        for name, line in _variables(tree)
        if name in _EMPTY_NAMES and line not in _fields(tree)
    ]
    assert wrong == []
