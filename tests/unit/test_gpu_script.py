"""The script for a graphics card keeps to its time and runs what is there: no card is needed to know that."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPT = _ROOT / "benchmarks" / "gpu.sh"
#: seconds that it may take
_MOST = 480
_PART = re.compile(r"^\s*(?:for .* do )?part (\d+) (benchmarks/\w+\.py)([^;\n]*)", re.MULTILINE)


def parts() -> list[tuple[int, str, list[str]]]:
    """Limit, file and options of each part."""
    text = _SCRIPT.read_text(encoding="utf-8")
    return [(int(limit), name, re.findall(r"--[\w-]+", words)) for limit, name, words in _PART.findall(text)]


def test_it_is_a_program_without_mistakes_of_syntax() -> None:
    assert _SCRIPT.stat().st_mode & 0o111
    done = subprocess.run(["bash", "-n", str(_SCRIPT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_its_parts_take_eight_minutes_at_most() -> None:
    assert sum(limit for limit, _, _ in parts()) <= _MOST


def test_each_part_runs_a_script_that_has_its_options_tiny_or_not() -> None:
    found = parts()
    assert {name for _, name, _ in found} == {
        f"benchmarks/{name}.py"
        for name in ("_gpu", "transformer_training", "pretrain", "encoders", "transformer_serving")
    }
    for _, name, options in found:
        source = (_ROOT / name).read_text(encoding="utf-8")
        assert [option for option in options if f'"{option}"' not in source] == [], name
    # what is run on a card is tried without one, too
    on_card = {name for limit, name, _ in found if limit}
    assert on_card == {name for limit, name, _ in found if not limit}


def test_the_page_says_that_no_card_was_measured() -> None:
    page = (_ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    assert "nothing below was measured on one" in " ".join(page.partition("## On a graphics card")[2].split())
