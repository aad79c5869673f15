"""Run the benchmarks, each in a process of its own with a time limit, and keep what they measured.

    python -m tools.bench                        # the short form of all: make bench
    python -m tools.bench --only ingest,probes   # of these: make bench ONLY=ingest,probes
    python -m tools.bench --resume               # go on with a run that was ended: make bench RESUME=1
    python -m tools.bench --form long --only web # the long form: make bench FORM=long ONLY=web
    python -m tools.bench --again                # read the figures again from what was printed, after claims changed
    python -m tools.bench --list                 # their names, and what they take

What is measured goes into `benchmarks/results.json`, after each benchmark; then `tools/figures.py` makes the page of
figures, its pictures, and the figures of other pages from it. A benchmark that fails, takes too long or lacks a peer is
recorded with its reason, and the others go on. What a script printed lies in `out/bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil
from pydantic import BaseModel

from pipeline.atomic import make_folder, write_file
from pipeline.errors import SaringError
from tools import figures
from tools._claims import Bench, Form, NotFoundError, chosen, read_claims, read_lines
from tools._results import (
    RESULTS,
    Machine,
    Record,
    failed,
    last_words,
    read_results,
    record_of,
    shown_command,
    this_machine,
    write_results,
)

_ROOT = Path(__file__).resolve().parents[1]
_OUT = _ROOT / "out" / "bench"
_PEERS = _ROOT / "out" / "peers"
#: what is done of a run that has not ended yet
_UNDER_WAY = _OUT / "under-way.json"
#: a long form may take so many times the limit of the short one
_LONG_TIMES = 20
#: time for a benchmark to stop its servers once it was told to end
_GRACE_SECONDS = 60
#: in the environment of a benchmark and of all that it starts, so that nothing is left behind
_MARK = "SARING_BENCH_RUN"


class Ended(BaseModel):
    """How a process ended."""

    output: str
    errors: str
    seconds: float
    #: None: it was ended, since it took too long
    status: int | None


class Kept(BaseModel):
    """A run as it is kept in `out/bench`, so that its figures can be read again."""

    command: str
    date: str
    machine: Machine
    limit: int
    ended: Ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them; 1 where one of them gave no figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NAME,NAME", help="these only")
    parser.add_argument("--form", choices=("short", "long"), default="short")
    parser.add_argument("--resume", action="store_true", help="leave out what the last run had done when it was ended")
    parser.add_argument("--again", action="store_true", help="run nothing; read what was printed again")
    parser.add_argument("--list", action="store_true", help="say what there is")
    options = parser.parse_args(arguments)
    form: Form = options.form
    try:
        every = read_claims()
        benches = chosen(every, options.only)
        if not options.only:
            benches = tuple(bench for bench in benches if bench.has(form))
        for bench in benches:
            bench.arguments(form)
        if options.list:
            _list(every)
            return 0
        order = [bench.name for bench in every]
        if options.again:
            without = _read_again(benches, form, order)
        else:
            without = _run(benches, form, order, resume=options.resume)
        figures.write()
    except SaringError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        figures.write()
        print("ended; `make bench RESUME=1` goes on with it", file=sys.stderr)
        return 130
    return 1 if without else 0


def _list(benches: Sequence[Bench]) -> None:
    for bench in benches:
        short = f"{bench.about_s:4} s" if bench.has("short") else "     -"
        print(f"{short}  {bench.name:26} {bench.script}{'' if bench.has('long') else ' (no long form)'}")
    print(f"{sum(bench.about_s for bench in benches if bench.has('short')) / 60:.0f} minutes for all short forms")


def _run(benches: Sequence[Bench], form: Form, order: Sequence[str], *, resume: bool) -> list[str]:
    """Run them in turn; the names of those that gave no figures."""
    # so that what is under way is ended too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    make_folder(_OUT)
    done = _done(form) if resume else {}
    without = [name for name, measured in done.items() if not measured]
    begun = time.monotonic()
    for number, bench in enumerate(benches, start=1):
        if bench.name in done:
            continue
        print(f"[{number}/{len(benches)}] {bench.name}", flush=True)
        records = read_results()
        record = run_one(bench, form, records.get((bench.name, form)))
        records[bench.name, form] = record
        write_results(records, order)
        done[bench.name] = record.failure is None
        write_file(_UNDER_WAY, json.dumps({"form": form, "done": done}))
        if record.failure is not None:
            without.append(bench.name)
            print(f"    no figures: {record.failure.why}", flush=True)
        else:
            print(f"    {record.seconds:.0f} s", flush=True)
    _UNDER_WAY.unlink(missing_ok=True)
    print(f"{(time.monotonic() - begun) / 60:.1f} minutes; {RESULTS.relative_to(_ROOT)}")
    if without:
        print(f"without figures: {', '.join(without)}")
    return without


def _read_again(benches: Sequence[Bench], form: Form, order: Sequence[str]) -> list[str]:
    """Make the records of the last runs anew; the names of those without figures."""
    records = read_results()
    again = {bench.name: read_again(bench, form, records.get((bench.name, form))) for bench in benches}
    made = {name: record for name, record in again.items() if record is not None}
    write_results({**records, **{(name, form): record for name, record in made.items()}}, order)
    return [name for name, record in made.items() if record.failure is not None]


def _done(form: Form) -> dict[str, bool]:
    """What a run that was ended had done, and whether it gave figures."""
    if not _UNDER_WAY.exists():
        return {}
    before = json.loads(_UNDER_WAY.read_text(encoding="utf-8"))
    return dict(before["done"]) if before["form"] == form else {}


def run_one(bench: Bench, form: Form, before: Record | None) -> Record:
    """Run one benchmark, keep what it printed, and make its record."""
    peers = {option: _PEERS / place for option, place in bench.peers.items() if (_PEERS / place).exists()}
    command = [sys.executable, str(_ROOT / "benchmarks" / bench.script), *bench.arguments(form)]
    for option, place in peers.items():
        command += [option, str(place)]
    limit = bench.limit_s * (1 if form == "short" else _LONG_TIMES)
    machine, today = this_machine(), datetime.now(UTC).date().isoformat()
    shown = shown_command(bench, form, peers)
    kept = Kept(command=shown, date=today, machine=machine, limit=limit, ended=run_limited(command, limit))
    write_file(_kept_at(bench, form), kept.model_dump_json(indent=1))
    return record_of_kept(bench, form, kept, before)


def read_again(bench: Bench, form: Form, before: Record | None) -> Record | None:
    """The record of what a benchmark printed when it was last run; None: that was not kept."""
    path = _kept_at(bench, form)
    if not path.exists():
        return None
    return record_of_kept(bench, form, Kept.model_validate_json(path.read_bytes()), before)


def record_of_kept(bench: Bench, form: Form, kept: Kept, before: Record | None) -> Record:
    """Make the record of a run, whether it gave figures or not."""
    ended = kept.ended

    def without(why: str, figures: Record | None) -> Record:
        return failed(figures, bench, form, command=kept.command, machine=kept.machine, why=why, date=kept.date)

    if ended.status is None:
        return without(f"it took longer than {kept.limit} s", before)
    lines = read_lines(ended.output)
    try:
        record = record_of(
            bench, form, lines, command=kept.command, date=kept.date, machine=kept.machine, seconds=ended.seconds
        )
    except NotFoundError as error:
        return without(last_words(ended.errors) if ended.status else str(error), before)
    if not ended.status:
        return record
    # a script also ends with a status because of what it found, such as something lost: that is a figure
    is_whole = all(measured.ours is not None for measured in record.figures.values())
    figures = record if is_whole or before is None else before
    return without(f"it ended with status {ended.status}: {last_words(ended.errors)}", figures)


def _kept_at(bench: Bench, form: Form) -> Path:
    return _OUT / f"{bench.name}-{form}.json"


def run_limited(command: Sequence[str], limit: float, environment: Mapping[str, str] | None = None) -> Ended:
    """Run a program, and end it after so many seconds; whatever it left behind is ended too."""
    mark = secrets.token_hex(8)
    surroundings = {**os.environ, **(environment or {}), _MARK: mark}
    # into files: what it leaves behind may hold a pipe open for as long as it lives
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            env=surroundings,
            cwd=_ROOT,
            start_new_session=True,
            # what a shell starts in the background ignores Ctrl-C, and so would all that it starts
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        status: int | None = None
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            # as Ctrl-C does it, so that it stops its servers
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)
        finally:
            seconds = time.perf_counter() - begun
            _end_marked(mark)
            process.wait()
        written = []
        for file in (output, errors):
            file.seek(0)
            written.append(file.read().decode(errors="replace"))
    return Ended(output=written[0], errors=written[1], seconds=seconds, status=status)


def _end_marked(mark: str) -> None:
    """End every process that a benchmark started and left behind."""
    left = list(_marked(mark))
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=10)


def _marked(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(_MARK) == mark:
                yield process


if __name__ == "__main__":
    sys.exit(main())
