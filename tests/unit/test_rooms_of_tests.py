"""Imports of the tests run one way: tests and benchmarks take from `tests/support`, which takes from neither."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def imported(file: Path) -> Iterator[str]:
    """Every module that a file imports, also inside its functions."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def in_room(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def test_support_imports_neither_tests_nor_benchmarks() -> None:
    files = list((_ROOT / "tests" / "support").rglob("*.py"))
    assert files
    wrong = [
        f"{file.name} imports {module}"
        for file in files
        for module in imported(file)
        if in_room(module, "benchmarks") or (in_room(module, "tests") and not in_room(module, "tests.support"))
    ]
    assert wrong == []


def test_tests_and_benchmarks_take_from_support_and_not_from_each_other() -> None:
    files = [*(_ROOT / "tests").rglob("*.py"), *(_ROOT / "benchmarks").glob("*.py")]
    taken = {(file, module) for file in files for module in imported(file) if in_room(module, "tests")}
    assert any(file.parent.name == "benchmarks" for file, _ in taken)
    assert [f"{file.name} imports {module}" for file, module in taken if not in_room(module, "tests.support")] == []
    tests = [file for file in files if file.parent.name != "benchmarks"]
    assert [file.name for file in tests for module in imported(file) if in_room(module, "benchmarks")] == []


def test_a_file_without_tests_is_in_support() -> None:
    rooms = [_ROOT / "tests" / room for room in ("unit", "integration", "e2e")]
    helpers = [file.name for room in rooms for file in room.rglob("*.py") if not file.name.startswith("test_")]
    assert helpers == []
    assert [file.name for file in (_ROOT / "tests").glob("*.py")] == ["conftest.py"]
