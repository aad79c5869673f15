"""Rows a second of ingest from a file into the store, beside datatrove's MinHash deduplication.

Ours does everything: it repairs, masks personal data, tells the language, finds exact and near duplicates, and commits
to the embedded PostgreSQL with its own (durable) settings. datatrove only deduplicates, from files to files. Both get
the same rows and the same number of workers. Prints a JSON line each.

    python benchmarks/ingest.py [FILE.jsonl.gz] [--workers 2] [--datatrove-python PATH]

datatrove lives in an environment of its own:

    python -m venv /some/where && /some/where/bin/pip install "datatrove[io,processing]" spacy
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import tempfile
from contextlib import ExitStack
from importlib.metadata import version
from itertools import cycle
from pathlib import Path

from _measure import emit, measured, require, shared_data, temporary_store

from pipeline.texts.ingest import SourceInfo, ingest

_GET = 'python -m venv DIR && DIR/bin/pip install "datatrove[io,processing]" spacy'


def main() -> None:
    """Measure ours, then datatrove if there is one."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("file", nargs="?", type=Path, default=shared_data() / "raw_stream.jsonl.gz")
    arguments.add_argument("--workers", type=int, default=2)
    arguments.add_argument("--datatrove-python", type=Path, help="the interpreter of an environment with datatrove")
    options = arguments.parse_args()
    require([options.file])
    rows = _ours(options.file, options.workers)
    if options.datatrove_python is None:
        emit("ingest", {"who": "datatrove", "skipped": f"--datatrove-python PATH is not given; to get one: {_GET}"})
    else:
        _datatrove(options.file, options.workers, options.datatrove_python, rows)


def _ours(path: Path, workers: int) -> int:
    with temporary_store() as (engine, server), measured(server) as took:
        report = ingest(engine, [str(path)], SourceInfo("benchmark"), workers=workers)
    emit(
        "ingest",
        {
            "who": f"saring {version('saring')}",
            "does": "repair, masking, language, exact and near duplicates, durable store",
            "workers": workers,
            "rows": report.rows,
            "seconds": took.seconds,
            "rows_per_s": report.rows / took.seconds,
            "peak_rss_mb": took.peak_rss_mb,
            "peak_with_postgres_mb": took.peak_with_postgres_mb,
            "kept": report.new,
            "exact_duplicates": report.exact_duplicates,
            "near_duplicates": report.near_duplicates,
            "rejected": report.rejected,
            "languages": report.languages,
        },
    )
    return report.rows


def _datatrove(path: Path, workers: int, python: Path, rows: int) -> None:
    with tempfile.TemporaryDirectory(prefix="saring-bench-") as folder:
        work = Path(folder)
        _share_out(path, work / "input", workers)
        script = Path(__file__).with_name("_datatrove_minhash.py")
        command = [str(python), str(script), str(work / "input"), str(work), str(workers)]
        with measured() as took:
            result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            detail = (result.stderr.strip().splitlines() or ["no output"])[-1]
            emit("ingest", {"who": "datatrove", "failed": detail, "to_get_it": _GET})
            return
        seconds = json.loads(result.stdout.splitlines()[-1])["seconds"]
        kept = sum(gzip.decompress(file.read_bytes()).count(b"\n") for file in (work / "kept").iterdir())
    emit(
        "ingest",
        {
            "who": "datatrove",
            "does": "near duplicates, from files to files",
            "workers": workers,
            "rows": rows,
            "seconds": seconds,
            "rows_per_s": rows / seconds,
            "peak_rss_mb": took.peak_rss_mb,
            "kept": kept,
        },
    )


def _share_out(path: Path, folder: Path, files: int) -> None:
    """One file a worker, as datatrove shares work out by file."""
    folder.mkdir()
    with ExitStack() as stack:
        outs = [stack.enter_context((folder / f"{number}.jsonl").open("wb")) for number in range(files)]
        with gzip.open(path) as lines:
            for line, out in zip(lines, cycle(outs), strict=False):
                out.write(line)


if __name__ == "__main__":
    main()
