"""Figures of pages: they are what was measured, and there are no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from tools import figures
from tools._claims import Bench, read_claims
from tools._figures import fill, page_of, shown, shown_ratio
from tools._ratio_chart import ratio_chart
from tools._results import Failure, Machine, Record, Records, failed, read_results, record_of, tidy, write_results
from tools._unmarked import unmarked

_ROOT = Path(__file__).resolve().parents[2]
#: numbers with a unit that were not measured: part of a page's text, with the reason
_NOT_MEASURED = {
    "dashboard.md": {
        "A figure that takes more than 0.1": "a rule",
        "no fault of WCAG 2.2": "a name",
    },
    "ml-backend.md": {"99 times": "how often, of a hundred"},
    "models.md": {"the rate rises over the first 6%": "a setting", "on two cores with 0.9": "the size of a network"},
    "probes.md": {"each on another random 80%": "how the models are made"},
    "search.md": {"It takes about 3.4": "what pgvector says of its index"},
}
_BENCH = Bench.model_validate(
    {
        "name": "draw",
        "script": "draw.py",
        "short": ["--rows", "10"],
        "long": [],
        "sizes": {"short": {"rows": "10"}, "long": {"rows": "100"}},
        "about_s": 1,
        "limit_s": 2,
        "peers": {"--other-python": "other"},
        "claims": [
            {
                "name": "speed",
                "says": "{rows} rows drawn",
                "unit": "rows/s",
                "better": "higher",
                "ours": {"field": "speed", "where": {"who": "ours"}},
                "peer": {"field": "speed", "where": {"who": "peer"}, "name": "another | way"},
                "form": ",.0f",
            },
            {
                "name": "lost",
                "says": "rows lost",
                "better": "lower",
                "ours": {"field": "lost"},
                "target": {"short": 0},
                "form": ",.0f",
            },
        ],
        "tables": [
            {"name": "ways", "columns": {"speed": "speed"}, "rows": [{"says": "ours", "where": {"who": "ours"}}]}
        ],
    }
)
_LINES = [{"who": "ours", "speed": 1000.4, "lost": 3}, {"who": "peer", "speed": 2000}]
_MACHINE = Machine(cores=2, processor="A processor", memory_gb=8, load=0.3)


def record(lines: list[dict[str, object]] = _LINES) -> Record:
    return record_of(
        _BENCH, "short", lines, command="python benchmarks/draw.py", date="2026-01-02", machine=_MACHINE, seconds=4.2
    )


def of(one: Record) -> Records:
    return {("draw", one.form): one}


# ---- the pages of this repository


def test_every_page_says_what_was_measured() -> None:
    assert figures.stale() == [], "run `python -m tools.figures`"


@pytest.mark.parametrize("page", figures.pages(), ids=lambda page: page.name)
def test_no_page_has_a_figure_of_its_own(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    allowed = _NOT_MEASURED.get(page.name, {})
    found = unmarked(text)
    assert not [figure for figure in found if not any(figure.endswith(part) for part in allowed)], (
        "put it in a mark that names a claim: tools/_figures.py says how"
    )
    assert not [part for part in allowed if not any(figure.endswith(part) for figure in found)], "no longer needed"


@pytest.mark.parametrize("page", figures.pages(), ids=lambda page: page.name)
def test_no_line_begins_with_a_figure(page: Path) -> None:
    # a comment at the beginning of a line ends the paragraph in Markdown
    assert not re.findall(r"^ *<!-- figure .*", page.read_text(encoding="utf-8"), re.MULTILINE)


def test_what_was_measured_names_no_place() -> None:
    written = (_ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8")
    assert not re.findall(r"[ \"'=]/(?!v1/)\w+/", written)


def test_every_record_is_of_a_benchmark_and_its_claims() -> None:
    benches = {bench.name: bench for bench in read_claims()}
    for (name, form), one in read_results().items():
        assert set(one.figures) <= {claim.name for claim in benches[name].claims_of(form)}


# ---- how they are made


def test_a_page_is_filled_with_figures_and_tables() -> None:
    text = (
        "It draws <!-- figure draw.speed -->?<!-- /figure --> rows/s, the other "
        "<!-- figure draw.speed.peer -->?<!-- /figure -->: <!-- figure draw.speed.ratio -->?<!-- /figure --> times.\n\n"
        "<!-- table draw.ways -->\nold\n<!-- /table -->\n"
    )
    filled = fill("a.md", text, [_BENCH], of(record()))
    assert "draws <!-- figure draw.speed -->1,000<!-- /figure --> rows/s" in filled
    assert "draw.speed.peer -->2,000<" in filled
    assert "draw.speed.ratio -->0.50<" in filled
    assert "| ours | 1,000 |\n\n<!-- /table -->" in filled
    assert fill("a.md", filled, [_BENCH], of(record())) == filled
    assert unmarked(filled) == []


def test_the_long_form_counts_where_it_was_measured() -> None:
    long = record().model_copy(update={"form": "long", "figures": record([{"who": "ours", "speed": 7}]).figures})
    text = "<!-- figure draw.speed -->?<!-- /figure -->"
    assert "-->7<" in fill("a.md", text, [_BENCH], {**of(record()), **of(long)})


def test_a_figure_that_was_not_measured_is_an_error_with_the_page() -> None:
    with pytest.raises(UsageError, match=r"^a\.md: no figure 'draw\.sped' was measured"):
        fill("a.md", "<!-- figure draw.sped -->?<!-- /figure -->", [_BENCH], of(record()))


def test_the_page_says_first_where_a_peer_is_ahead_and_where_a_target_is_missed() -> None:
    page = page_of([_BENCH], of(record()))
    ahead, missed, rest = re.split(r"## Where a target is missed|## Where Saring is as good, or ahead", page)
    assert ahead.startswith("## Where a peer is ahead")
    assert r"| 10 rows drawn | 1,000 rows/s | another \| way: 2,000 rows/s | 0.50 | draw, short |" in ahead
    assert "| rows lost | 3 | 0 | draw, short |" in missed
    assert "10 rows drawn" not in rest
    assert "| draw, short | `python benchmarks/draw.py` | 2026-01-02 |" in rest
    assert "2 cores, A processor, 8 GB, load 0.3 | 4 s |" in rest


def test_a_peer_that_is_missing_is_said_with_its_reason() -> None:
    lines = [_LINES[0], {"who": "peer", "skipped": "--other-python is not given"}]
    page = page_of([_BENCH], of(record(lines)))
    assert "Nowhere, in what was measured." in page
    assert "- `draw, short`, another | way: --other-python is not given." in page


def test_a_run_that_fails_keeps_the_figures_of_the_one_before(tmp_path: Path) -> None:
    later = {"command": "python x", "machine": _MACHINE, "date": "2026-01-03"}
    after = failed(record(), _BENCH, "short", why="no  room in\n/tmp/a-b/c.db", **later)
    assert after.figures == record().figures
    assert after.failure == Failure(date="2026-01-03", why="no room in c.db")
    assert "- `draw, short`, 2026-01-03: no room in c.db." in page_of([_BENCH], of(after))
    first = failed(None, _BENCH, "short", why="it broke", **later)
    assert first.figures == {}
    write_results(of(after), ["draw"], tmp_path / "results.json")
    assert read_results(tmp_path / "results.json") == of(after)
    assert read_results(tmp_path / "none.json") == {}


def test_figures_outside_of_marks_are_found() -> None:
    assert unmarked("It reads 12,000 rows/s.") == ["It reads 12,000 rows/s"]
    assert unmarked("It reads 40 texts a second.") == ["It reads 40 texts a second"]
    assert unmarked("It waits 5 s, and `80 rows/s` is code.\n\n```\n10 rows/s\n```\n") == []
    of_script = "## Speed\n\n`benchmarks/web.py`, 20 clients: 5 ms.\n\n| a | 99 |\n| --- | --- |\n| x | **12** |\n"
    assert unmarked(of_script) == ["…, 20 clients: 5 ms", "**12**"]
    assert unmarked(f"{of_script}\n## Other\n\nIt waits 5 s.\n") == unmarked(of_script)


def test_numbers_are_written_for_people() -> None:
    assert shown(12621.4, ",.0f") == "12,621"
    assert shown((0.856, 0.813, 0.902), ".2f") == "0.86 [0.81, 0.90]"
    assert (shown(1234.5, ""), shown(0.12345, "")) == ("1,234", "0.123")
    assert (shown_ratio(None), shown_ratio(1.234), shown_ratio(28.8)) == ("", "1.23", "29")


def test_a_reason_has_no_folders() -> None:
    assert tidy("cannot open /home/somebody/x/y.json: no") == "cannot open y.json: no"


def test_a_picture_has_a_bar_for_each_ratio_and_words_for_who_does_not_see_it() -> None:
    drawn = ratio_chart("A & B", "what it says", [("slow", 0.5), ("fast <1>", 20_000.0)])
    assert drawn.count("<rect") == 2
    assert drawn.index("fast &lt;1&gt;") < drawn.index("slow")
    assert "<title>A &amp; B</title><desc>what it says</desc>" in drawn
    assert 'class="behind"' in drawn
