"""The page of figures, and the figures of other pages, made from what benchmarks measured. Pure functions.

A page says a figure in a mark that names it, and the tool writes what stands in it:

    <!-- figure ingest.speed -->12,621<!-- /figure --> rows/s; datatrove: <!-- figure ingest.speed.peer -->...

A name is that of a benchmark and of a claim in `benchmarks/claims.yaml`; with `.peer` it is the peer's figure, with
`.ratio` how many times as good ours is. The long form counts where it was measured, else the short one. A table stands
between `<!-- table queue_draw.draws -->` and `<!-- /table -->`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.errors import UsageError
from tools._claims import Bench, Claim, Form, Table, Value, central, ratio
from tools._results import Machine, Measured, Record, Records

BEGIN, END = "<!-- begin: figures -->", "<!-- end: figures -->"
PICTURE = "images/figures.svg"

#: a figure in its mark
FIGURE = re.compile(r"<!-- figure ([a-z0-9_.]+) -->(.*?)<!-- /figure -->", re.DOTALL)
_TABLE = re.compile(r"<!-- table ([a-z0-9_.]+) -->\n(.*?)<!-- /table -->", re.DOTALL)
#: from here on, a ratio has no digits behind the point
_LARGE_RATIO = 10


@dataclass(frozen=True, slots=True)
class Result:
    """A claim with what was measured of it, in one form."""

    bench: Bench
    claim: Claim
    record: Record
    measured: Measured

    @property
    def ratio(self) -> float | None:
        """How many times as good ours is; None: there is no peer, or one of the two is 0."""
        if self.measured.ours is None or self.measured.peer is None:
            return None
        return ratio(self.measured.ours, self.measured.peer, self.claim.better)

    @property
    def peer_is_ahead(self) -> bool:
        """Whether the peer's figure is the better one, in the digits that are shown."""
        ours, peer = self.measured.ours, self.measured.peer
        if ours is None or peer is None or shown(ours, self.claim.form) == shown(peer, self.claim.form):
            return False
        return central(peer) > central(ours) if self.claim.better == "higher" else central(peer) < central(ours)

    @property
    def target(self) -> float | None:
        """What ours should reach in this form."""
        return self.claim.target.get(self.record.form)

    @property
    def misses_target(self) -> bool:
        """Whether ours is behind what it should reach."""
        target, ours = self.target, self.measured.ours
        if target is None or ours is None:
            return False
        return central(ours) < target if self.claim.better == "higher" else central(ours) > target

    @property
    def run(self) -> str:
        """The run that it is from, and what a reader should know of it."""
        name = _run_name(self.record)
        return f"{name}; {self.measured.note}" if self.measured.note else name

    @property
    def sentence(self) -> str:
        """What the claim says."""
        return self.bench.sentence(self.claim, self.record.form)


def results(benches: Sequence[Bench], records: Records) -> Iterator[Result]:
    """Every claim that was measured, in each form, in the order of the claims."""
    for bench in benches:
        for form in _FORMS:
            record = records.get((bench.name, form))
            if record is None:
                continue
            for claim in bench.claims_of(form):
                measured = record.figures.get(claim.name)
                if measured is not None and measured.ours is not None:
                    yield Result(bench, claim, record, measured)


_FORMS: tuple[Form, ...] = ("long", "short")


def shown(value: Value, form: str) -> str:
    """A figure as a page has it, with its interval in brackets."""
    if isinstance(value, tuple):
        middle, low, high = (shown(number, form) for number in value)
        return f"{middle} [{low}, {high}]"
    if form:
        return format(value, form)
    return format(value, ",.0f" if abs(value) >= 100 else ".3g")


def shown_ratio(value: float | None) -> str:
    """A ratio as a page has it; nothing where there is none."""
    if value is None:
        return ""
    return format(value, ",.0f" if value >= _LARGE_RATIO else ".2f")


def fill(page: str, text: str, benches: Sequence[Bench], records: Records) -> str:
    """A page with its figures and tables as they were measured.

    Args:
        page: its name, for an error.
        text: what it holds now.
        benches: every benchmark.
        records: what was measured.

    Raises:
        UsageError: it names something that was not measured.
    """

    def figure(match: re.Match[str]) -> str:
        name = match.group(1)
        return f"<!-- figure {name} -->{_figure(page, name, benches, records)}<!-- /figure -->"

    def table(match: re.Match[str]) -> str:
        name = match.group(1)
        return f"<!-- table {name} -->\n\n{_table(page, name, benches, records)}\n\n<!-- /table -->"

    return _TABLE.sub(table, FIGURE.sub(figure, text))


def _figure(page: str, name: str, benches: Sequence[Bench], records: Records) -> str:
    bench_name, _, rest = name.partition(".")
    claim_name, _, part = rest.partition(".")
    for result in results(benches, records):
        if (result.bench.name, result.claim.name) != (bench_name, claim_name):
            continue
        if part == "ratio":
            return shown_ratio(result.ratio)
        value = result.measured.peer if part == "peer" else result.measured.ours
        if part in ("", "peer") and value is not None:
            return shown(value, result.claim.form)
    raise UsageError(f"{page}: no figure {name!r} was measured: see benchmarks/claims.yaml, and run `make bench`")


def _table(page: str, name: str, benches: Sequence[Bench], records: Records) -> str:
    bench_name, _, table_name = name.partition(".")
    for bench in benches:
        for table in bench.tables:
            if (bench.name, table.name) != (bench_name, table_name):
                continue
            for form in _FORMS:
                record = records.get((bench_name, form))
                if record is not None and table_name in record.tables:
                    return table_of(table, record.tables[table_name])
    raise UsageError(f"{page}: no table {name!r} was measured: see benchmarks/claims.yaml, and run `make bench`")


def table_of(table: Table, cells: Sequence[Sequence[Value | None]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join([table.corner, *table.columns])} |", f"| --- |{' ---: |' * len(table.columns)}"]
    forms = [table.forms.get(heading, ",.0f") for heading in table.columns]
    for row, values in zip(table.rows, cells, strict=True):
        written = ["" if v is None else shown(v, form) for v, form in zip(values, forms, strict=True)]
        lines.append(f"| {' | '.join([row.says, *written])} |")
    return "\n".join(lines)


def page_of(benches: Sequence[Bench], records: Records) -> str:
    """What the page of figures says between its marks."""
    every = list(results(benches, records))
    behind = [result for result in every if result.peer_is_ahead]
    missed = [result for result in every if result.misses_target]
    beside = [result for result in every if result.measured.peer is not None and result not in behind]
    alone = [result for result in every if result.measured.peer is None]
    parts = [
        *("## Where a peer is ahead", ""),
        *(_beside(behind) if behind else ["Nowhere, in what was measured."]),
        "",
        *("## Where a target is missed", ""),
        *(_missed(missed) if missed else ["Nowhere, in what was measured."]),
        "",
        *("## Where Saring is as good, or ahead", ""),
        "One bar for each claim with a peer, on a scale where each step to the right is ten times as good.",
        "",
        f"![Bars: how many times as good each figure of Saring is as its peer's]({PICTURE})",
        "",
        *_beside(beside),
        "",
        *("## Without a peer", ""),
        *_alone(alone),
        "",
        *("## What was not measured", ""),
        *_missing(benches, records),
        "",
        *("## The runs", ""),
        "Load is the number of processes that wanted a core when the run began; it should be lower than that of cores.",
        "",
        *_runs(benches, records),
    ]
    return "\n".join(parts)


def _beside(chosen: Sequence[Result]) -> list[str]:
    lines = ["| what | Saring | beside it, in the same run | times as good | run |", "| --- | --- | --- | ---: | --- |"]
    for result in chosen:
        claim, measured = result.claim, result.measured
        assert claim.peer is not None
        assert measured.ours is not None
        assert measured.peer is not None
        ours, peer = (_with_unit(value, claim) for value in (measured.ours, measured.peer))
        cells = (result.sentence, ours, f"{claim.peer.name}: {peer}", shown_ratio(result.ratio), result.run)
        lines.append(_row(cells))
    return lines


def _missed(chosen: Sequence[Result]) -> list[str]:
    lines = ["| what | Saring | target | run |", "| --- | --- | --- | --- |"]
    for result in chosen:
        assert result.measured.ours is not None
        assert result.target is not None
        ours, target = (_with_unit(value, result.claim) for value in (result.measured.ours, result.target))
        lines.append(_row((result.sentence, ours, target, result.run)))
    return lines


def _alone(chosen: Sequence[Result]) -> list[str]:
    lines = ["| what | Saring | run |", "| --- | --- | --- |"]
    for result in chosen:
        assert result.measured.ours is not None
        lines.append(_row((result.sentence, _with_unit(result.measured.ours, result.claim), result.run)))
    return lines


def _missing(benches: Sequence[Bench], records: Records) -> list[str]:
    lines = []
    for bench in benches:
        there = [form for form in _FORMS if (bench.name, form) in records]
        if not there:
            lines.append(f"- `{bench.name}`: not run yet.")
        for form in there:
            record = records[bench.name, form]
            if record.failure is not None:
                lines.append(f"- `{_run_name(record)}`, {record.failure.date}: {record.failure.why}.")
            for claim in bench.claims_of(form):
                measured = record.figures.get(claim.name)
                if measured is not None and measured.why is not None:
                    what = claim.peer.name if claim.peer is not None and measured.ours is not None else claim.name
                    lines.append(f"- `{_run_name(record)}`, {what}: {measured.why}.")
    return lines or ["Nothing was left out."]


def _runs(benches: Sequence[Bench], records: Records) -> list[str]:
    lines = ["| run | command | date | machine | took |", "| --- | --- | --- | --- | ---: |"]
    for bench in benches:
        for form in _FORMS:
            record = records.get((bench.name, form))
            if record is None or not record.figures:
                continue
            took = "" if record.seconds is None else f"{record.seconds:,.0f} s"
            note = f"; {record.note}" if record.note else ""
            cells = (_run_name(record), f"`{record.command}`", record.date, f"{_machine(record.machine)}{note}", took)
            lines.append(_row(cells))
    return lines


def _machine(machine: Machine) -> str:
    parts = [f"{machine.cores} cores"]
    if machine.processor:
        parts.append(machine.processor)
    if machine.memory_gb is not None:
        parts.append(f"{machine.memory_gb} GB")
    if machine.load is not None:
        parts.append(f"load {machine.load:g}")
    return ", ".join(parts)


def _run_name(record: Record) -> str:
    return f"{record.bench}, {record.form}"


def _with_unit(value: Value, claim: Claim) -> str:
    return f"{shown(value, claim.form)} {claim.unit}".rstrip()


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
