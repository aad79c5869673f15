"""`import saring` is the interface for programs: few names, in order, each loaded when it is first used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import saring

_ROOT = Path(__file__).resolve().parents[2]
#: packages that take long to import
_HEAVY = ("numpy", "sqlalchemy", "sklearn", "pydantic", "celery", "torch", "pandas")


def test_the_public_names_are_few_and_in_order() -> None:
    assert list(saring.__all__) == sorted(saring.__all__)
    assert len(saring.__all__) <= 25


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    undocumented = [name for name in saring.__all__ if not getattr(saring, name).__doc__]
    assert not undocumented
    assert dir(saring) == sorted(saring.__all__)


def test_importing_saring_loads_nothing_that_takes_long() -> None:
    program = "import sys, saring; print(*[name for name in sys.argv[1:] if name in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", program, *_HEAVY], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []


def test_what_home_can_do_is_listed_in_the_documentation() -> None:
    listed = (_ROOT / "docs/saring.md").read_text(encoding="utf-8")
    methods = [name for name in vars(saring.Home) if not name.startswith("_")]
    assert not [name for name in methods if f"home.{name}" not in listed]
