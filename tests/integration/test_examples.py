"""The Python of the README and the notebooks runs in an empty home, as a reader would run it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.settings import Settings
from saring.services import stop_services

pytestmark = pytest.mark.timeout(600)

_ROOT = Path(__file__).resolve().parents[2]


def run(source: str, folder: Path, variables: Mapping[str, str]) -> str:
    """Run a program in a folder; what it prints."""
    script = folder / "program.py"
    script.write_text(source, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(_ROOT), "PYTHONWARNINGS": "error"} | variables
    done = subprocess.run([sys.executable, script], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def readme_program() -> str:
    """The README's program: its one block of Python."""
    [block] = re.findall(r"```python\n(.*?)```", (_ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return str(block)


def notebook_cells(notebook: Path) -> list[str]:
    """The code cells of a notebook."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_the_readme_s_program_trains_a_model_and_draws_a_queue(new_home: Path) -> None:
    try:
        printed = run(readme_program(), new_home, {"SARING_HOME": os.devnull}).splitlines()
    finally:
        stop_services(Settings(home=new_home / "first-home"))
    verdict, news, insult, reasons = printed
    assert verdict.startswith("promoted")
    assert "safe for work" in news
    assert "harassment" in insult
    assert "drawn at random" in reasons or "less sure of" in reasons


def test_the_readme_s_program_is_short() -> None:
    calls = [line for line in readme_program().splitlines() if line.startswith(("home", "print", "for"))]
    assert len(calls) <= 12


@pytest.mark.parametrize("notebook", sorted((_ROOT / "examples").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_from_its_first_cell_to_its_last(notebook: Path, new_home: Path) -> None:
    # the value of a cell's last line is shown in a notebook; here it is only computed
    source = "\n\n".join(notebook_cells(notebook))
    printed = run(source, new_home, {"SARING_HOME": os.devnull, "TMPDIR": str(new_home)})
    assert "promoted" in printed
    assert "texts are drawn" in printed
    assert not list(new_home.glob("saring-*")), "the notebook removes what it made"


@pytest.mark.parametrize("notebook", sorted((_ROOT / "examples").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(notebook: Path) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
