"""Claims: the list of them is whole, and figures are read out of what a script prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from tools._claims import (
    NotFoundError,
    Pick,
    Table,
    chosen,
    pick,
    ratio,
    read_claims,
    read_lines,
    read_rows,
    why_none,
)

_ROOT = Path(__file__).resolve().parents[2]
_MINUTES = 30
_BENCHES = read_claims()
_OUTPUT = """a table follows
{"benchmark": "x", "who": "saring 0.1", "what": "one", "speed": 12.5, "inner": {"peak mb": 3}}
{"benchmark": "x", "who": "peer", "what": "one", "speed": 10, "AP": [0.5, 0.4, 0.6], "lost": []}
{"benchmark": "x", "round": 1, "share": 0.9}
{"benchmark": "x", "round": 2, "share": 0.8}
{"benchmark": "x", "round": 3, "share": 0.1}
{"benchmark": "x", "who": "third", "skipped": "--third is not given", "AP": [0.5, NaN, NaN]}
{broken
"""
_LINES = read_lines(_OUTPUT)


def test_every_benchmark_has_claims_and_its_options_are_the_scripts() -> None:
    scripts = {path.name for path in (_ROOT / "benchmarks").glob("[!_]*.py")}
    assert {bench.script for bench in _BENCHES} == scripts
    for bench in _BENCHES:
        source = (_ROOT / "benchmarks" / bench.script).read_text(encoding="utf-8")
        given = [*(bench.short or ()), *(bench.long or ()), *bench.peers]
        unknown = [word for word in given if word.startswith("--") and f'"{word}"' not in source]
        assert not unknown, f"{bench.script} has no {unknown}"


def test_the_short_forms_are_short() -> None:
    short = [bench for bench in _BENCHES if bench.has("short")]
    assert sum(bench.about_s for bench in short) <= _MINUTES * 60
    assert all(bench.about_s < bench.limit_s for bench in short)


def test_every_sentence_can_be_said() -> None:
    for bench in _BENCHES:
        assert bench.has("short") or bench.has("long")
        for form in ("short", "long"):
            said = [bench.sentence(claim, form) for claim in bench.claims_of(form)] if bench.has(form) else []
            assert not [sentence for sentence in said if "{" in sentence]


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        (Pick(field="speed", where={"who": "saring*"}), 12.5),
        (Pick(field="speed", where={"who": "peer"}), 10.0),
        (Pick(field=("inner", "peak mb")), 3.0),
        (Pick(field="AP", where={"who": "peer"}), (0.5, 0.4, 0.6)),
        (Pick(field="AP", where={"who": "third"}), 0.5),
        (Pick(field="lost"), 0.0),
        (Pick(field="share", of="median"), 0.8),
        (Pick(field="share", of="max"), 0.9),
        (Pick(field="share", of="last"), 0.1),
        (Pick(field="share", where={"who": None, "round": 2}), 0.8),
    ],
)
def test_a_figure_is_picked(wanted: Pick, value: object) -> None:
    assert pick(_LINES, wanted) == value


def test_a_figure_that_is_not_there_is_an_error_that_names_it() -> None:
    with pytest.raises(NotFoundError, match="no line has speed; who = nobody"):
        pick(_LINES, Pick(field="speed", where={"who": "nobody"}))
    with pytest.raises(NotFoundError, match="3 lines have share"):
        pick(_LINES, Pick(field="share"))


def test_what_a_script_left_out_is_said() -> None:
    assert why_none(_LINES) == "--third is not given"
    assert why_none(_LINES[:2]) is None


def test_a_table_has_a_cell_for_each_row_and_column() -> None:
    rows = [{"says": "ours", "where": {"who": "saring*"}}, {"says": "theirs", "where": {"who": "peer"}}]
    table = Table.model_validate({"name": "t", "columns": {"speed": "speed", "lost": "lost"}, "rows": rows})
    assert read_rows(_LINES, table) == [[12.5, None], [10.0, 0.0]]


def test_a_ratio_above_one_is_ours_ahead() -> None:
    assert ratio(20, 10, "higher") == 2
    assert ratio(20, 10, "lower") == 0.5
    assert ratio((0.5, 0.4, 0.6), 0.25, "higher") == 2
    assert ratio(0, 10, "lower") is None


def test_benchmarks_are_chosen_by_name() -> None:
    assert [bench.name for bench in chosen(_BENCHES, "probes, ingest")] == ["ingest", "probes"]
    assert chosen(_BENCHES, "") == _BENCHES
    with pytest.raises(UsageError, match="no benchmark 'prob'"):
        chosen(_BENCHES, "prob")


def test_a_list_with_a_mistake_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text("- {name: a, script: a.py, short: [], about_s: 1, limit_s: 2, claims: [{nam: x}]}\n")
    with pytest.raises(UsageError, match=r"claims\.yaml: claims\.0"):
        read_claims(path)
