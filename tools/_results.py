"""What benchmarks measured: `benchmarks/results.json`, one record for each benchmark and form."""

from __future__ import annotations

import json
import os
import platform
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, TypeAdapter

from pipeline.atomic import write_file
from tools._claims import Bench, Form, Line, NotFoundError, Value, pick, read_rows, why_none

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results.json"

_PATH = re.compile(r"(?<![\w.])/(?:[^\s/:;,\"']+/)+([^\s/:;,\"']*)")
_LONGEST_REASON = 200


class Machine(BaseModel):
    """Where something was measured. No name of a host and no path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cores: int
    processor: str | None = None
    memory_gb: int | None = None
    #: processes that waited for a core before it began
    load: float | None = None


class Measured(BaseModel):
    """A claim's figures."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ours: Value | None = None
    peer: Value | None = None
    #: why a figure is not there
    why: str | None = None
    #: what a reader should know of it, such as another day
    note: str | None = None


class Failure(BaseModel):
    """A later run that gave no figures."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    date: str
    why: str


class Record(BaseModel):
    """The last run of a benchmark that gave figures, in one form."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bench: str
    form: Form
    command: str
    date: str
    machine: Machine
    #: how long the command took; None: not known
    seconds: float | None = None
    figures: dict[str, Measured] = {}
    tables: dict[str, list[list[Value | None]]] = {}
    #: what a reader should know of these figures
    note: str | None = None
    failure: Failure | None = None


_RECORDS = TypeAdapter(list[Record])
Records = Mapping[tuple[str, Form], Record]


def read_results(path: Path = RESULTS) -> dict[tuple[str, Form], Record]:
    """Every record, by benchmark and form; none where there is no file yet."""
    if not path.exists():
        return {}
    return {(record.bench, record.form): record for record in _RECORDS.validate_json(path.read_bytes())}


def write_results(records: Records, order: Sequence[str], path: Path = RESULTS) -> None:
    """Write all records, in the order of the benchmarks; those of benchmarks that are no more are left out."""
    place = {name: number for number, name in enumerate(order)}
    kept = sorted(
        (record for record in records.values() if record.bench in place),
        key=lambda record: (place[record.bench], record.form == "long"),
    )
    values = [record.model_dump(mode="json", exclude_none=True) for record in kept]
    write_file(path, json.dumps(values, ensure_ascii=False, indent=1) + "\n", mode=0o644)


def this_machine() -> Machine:
    """The machine that this runs on, and its load now."""
    return Machine(
        cores=os.cpu_count() or 1,
        processor=_processor(),
        memory_gb=round(psutil.virtual_memory().total / (1 << 30)),
        load=round(os.getloadavg()[0], 1),
    )


def _processor() -> str:
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    named = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    return named.group(1).strip() if named else platform.machine()


def shown_command(bench: Bench, form: Form, peers: Iterable[str]) -> str:
    """The command as a reader types it; the place of each peer is written as its option in capitals."""
    places = [f"{option} {option.lstrip('-').replace('-', '_').upper()}" for option in peers]
    words = [f'"{word}"' if " " in word else word for word in bench.arguments(form)]
    return " ".join(["python", f"benchmarks/{bench.script}", *words, *places])


def record_of(
    bench: Bench, form: Form, lines: Sequence[Line], *, command: str, date: str, machine: Machine, seconds: float
) -> Record:
    """The record of a run that ended well.

    Raises:
        NotFoundError: the output has none of the figures.
    """
    figures: dict[str, Measured] = {}
    first: NotFoundError | None = None
    for claim in bench.claims_of(form):
        ours: Value | None = None
        peer: Value | None = None
        why = None
        try:
            ours = pick(lines, claim.ours)
        except NotFoundError as error:
            first, why = first or error, str(error)
        if claim.peer is not None:
            try:
                peer = pick(lines, claim.peer)
            except NotFoundError as error:
                why = why or why_none(lines) or str(error)
        figures[claim.name] = Measured(ours=ours, peer=peer, why=tidy(why) if why else None)
    if first is not None and all(measured.ours is None for measured in figures.values()):
        raise first
    tables = {table.name: read_rows(lines, table) for table in bench.tables}
    return Record(
        bench=bench.name,
        form=form,
        command=command,
        date=date,
        machine=machine,
        seconds=round(seconds, 1),
        figures=figures,
        tables=tables,
    )


def failed(
    before: Record | None, bench: Bench, form: Form, *, command: str, machine: Machine, why: str, date: str
) -> Record:
    """The record after a run without figures: those of an earlier run stay."""
    failure = Failure(date=date, why=tidy(why))
    if before is not None:
        return before.model_copy(update={"failure": failure})
    return Record(bench=bench.name, form=form, command=command, date=date, machine=machine, failure=failure)


def tidy(reason: str) -> str:
    """A reason on one line, without folders and without the name of this machine."""
    line = _PATH.sub(r"\1", " ".join(reason.split()))
    if host := socket.gethostname():
        line = re.sub(rf"\b{re.escape(host)}\b", "this machine", line)
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 1]}…"


def last_words(errors: str) -> str:
    """The last line of what a program wrote to standard error."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
