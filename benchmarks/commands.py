"""Processor time of the commands that are typed all day, beside an interpreter that does nothing.

A home of its own is made, with a trained linear model that is the champion, a queue, a database and a broker that run.
Then every command is run as a process of its own, by turns, so that a busy moment of the machine meets them all. A
line gives the median of the processor seconds, user and system together, with those of the programs that the command
starts; `times_pass` is how many times `python -c pass` that is. Modules are compiled beforehand, as `pip install`
does it.

    python benchmarks/commands.py [--repeats 7]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from _measure import emit

from pipeline.learning import registry
from saring import Home
from saring.services import start_services

_ROOT = Path(__file__).resolve().parents[1]
_SARING = (sys.executable, "-m", "saring")
_NOTHING = "python -c pass"
#: as it is typed, to what is run
COMMANDS = {
    _NOTHING: (sys.executable, "-c", "pass"),
    "import saring": (sys.executable, "-c", "import saring"),
    "saring --help": (*_SARING, "--help"),
    "saring status": (*_SARING, "status"),
    "saring models list": (*_SARING, "models", "list"),
    "saring queue show": (*_SARING, "queue", "show"),
    "saring predict": (*_SARING, "predict"),
}
_LINE = b'{"text": "ribut petang semalam, durian jatuh di kampung"}\n'
#: in these sentences each label goes with a word of its own
_RULE = {"hate": "durian", "informative": "kopitiam", "safe for work": "ribut"}
_FILLER = ("semalam", "kami", "pergi", "kedai", "kawan", "baru", "jalan", "jauh", "pagi", "petang", "rumah", "besar")
_TEXTS = 400


def main() -> None:
    """Run every command, and print a line for each."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeats", type=int, default=7, help="runs of each command; the median counts")
    options = arguments.parse_args()
    runs: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with _home() as environment:
        # The first turn compiles modules and fills the system's cache, and is not counted.
        for turn in range(options.repeats + 1):
            for name, command in COMMANDS.items():
                seconds = _run(command, environment)
                if turn:
                    runs[name].append(seconds)
    nothing = statistics.median(runs[_NOTHING])
    for name, seconds_of_runs in runs.items():
        middle = statistics.median(seconds_of_runs)
        figures = {
            "command": name,
            "runs": len(seconds_of_runs),
            "processor_s": middle,
            "lowest_s": min(seconds_of_runs),
            "highest_s": max(seconds_of_runs),
            "pass_s": nothing,
            "times_pass": middle / nothing,
        }
        emit("commands", figures)


@contextmanager
def _home() -> Iterator[dict[str, str]]:
    """The environment of a home with a champion and a queue, whose database and broker run."""
    folder = Path(tempfile.mkdtemp(prefix="saring-bench-"))
    try:
        with Home(folder) as home:
            start_services(home.settings)
            labelled = folder / "labelled.jsonl"
            labelled.write_text("".join(json.dumps(row) + "\n" for row in _rows()), encoding="utf-8")
            home.ingest(labelled, "benchmark")
            trained = home.train([labelled])
            with home.begin() as session:
                registry.register(session, home.model(trained.model).manifest, trained.path)
                registry.promote(session, trained.model, reason="for the benchmark")
            home.queue.build(50)
            environment = {**os.environ, "SARING_HOME": str(folder), "PYTHONPATH": str(_ROOT)}
            environment.pop("PYTHONDONTWRITEBYTECODE", None)
            yield environment
            home.stop()
    finally:
        shutil.rmtree(folder)


def _rows() -> list[dict[str, object]]:
    random_source = random.Random(0)
    rows: list[dict[str, object]] = []
    for _ in range(_TEXTS):
        labels = [label for label in _RULE if random_source.random() < 0.4]
        words = random_source.choices(_FILLER, k=8) + [_RULE[label] for label in labels]
        random_source.shuffle(words)
        rows.append({"text": " ".join(words), "labels": labels, "not_labels": sorted(set(_RULE) - set(labels))})
    return rows


def _run(command: Sequence[str], environment: dict[str, str]) -> float:
    """Processor seconds of one run, which must end well."""
    with tempfile.TemporaryFile() as given:
        given.write(_LINE)
        given.seek(0)
        process = subprocess.Popen(
            command, stdin=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
