"""Ingest: read texts from files into the store. Streaming and resumable: interruptions do not change the result."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import InputError
from pipeline.progress import Progress, silent
from pipeline.runs.record import ActiveRun, stage_run
from pipeline.store.session import open_session
from pipeline.texts.layout import Layout
from pipeline.texts.prepare import Options, Prepared, PreparedText, prepare
from pipeline.texts.readers import Format, RawRow, format_of, read_rows
from pipeline.texts.rejects import Reject, RejectSink
from pipeline.texts.unusable import why_unusable
from pipeline.texts.write import write

#: rows prepared together, written together, and committed together
_BATCH = 4_000
#: batches that are prepared while one is written
_IN_PROGRESS = 3

#: called with the rows of a batch that are in the store, in the transaction that wrote them
OnWritten = Callable[[Session, int, Sequence[PreparedText]], None]
#: called with the rows that an interrupted run has stored
OnPassed = Callable[[Sequence[PreparedText]], None]


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """A source of texts: its name and its licence."""

    name: str
    licence: str | None = None
    url: str | None = None
    redistributable: bool = False


@dataclass(slots=True)
class IngestReport:
    """Counts of one ingest. `rows` is the sum of new, exact_duplicates, near_duplicates, present and rejected."""

    run: int
    rows: int = 0
    new: int = 0
    exact_duplicates: int = 0
    near_duplicates: int = 0
    #: rows of this source that an earlier ingest had already read
    present: int = 0
    #: new texts whose language is not in scope
    out_of_scope: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    languages: dict[str, int] = field(default_factory=dict)
    rejects_file: str | None = None
    #: rows whose id a spreadsheet has rounded (1.78E+18): they are known by file and line instead
    rounded_ids: int = 0


def ingest(
    engine: Engine,
    paths: Sequence[str],
    source: SourceInfo,
    *,
    form: Format | None = None,
    layout: Layout | None = None,
    text_field: str = "text",
    id_field: str = "id",
    split_field: str = "split",
    keep: tuple[str, ...] = (),
    languages: tuple[str, ...] = ("ms", "id", "en"),
    rejects_dir: Path | None = None,
    workers: int | None = None,
    follow: Callable[[], bool] | None = None,
    on_written: OnWritten | None = None,
    on_passed: OnPassed | None = None,
    stage: str = "ingest",
    more_params: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> IngestReport:
    """Read files into the store. If it is interrupted, the same call continues and gives the same store.

    Args:
        engine: the store.
        paths: local paths or fsspec addresses, read in this order.
        source: the source of the texts; it is added to the store when it is new.
        form: format of the files; None: the format that each name shows.
        layout: encoding and delimiter of text files, where the caller knows them; None: as their first bytes show.
        text_field: the field with the text (JSON, CSV, Parquet); a path with dots leads into nested fields.
        id_field: the field with the source's id of a row; rows without an id are identified by file and line.
        split_field: the field with the source's split, if any.
        keep: further fields that `on_written` needs.
        languages: languages in scope.
        rejects_dir: folder of the rejects file; None: rejects are only counted.
        workers: processes that prepare rows; None: the number of cores, at most 4; 0: this process only.
        follow: see `read_rows`; only for a single file of lines.
        on_written: called in the transaction of each batch.
        on_passed: called, when an interrupted run goes on within a file, with the rows before that place.
        stage: name of the stage in run records.
        more_params: further parameters of the run; only a call with the same parameters continues an interrupted one.
        progress: called after every batch.

    Raises:
        InputError: a file cannot be read at all (rows read before stay in the store), or there are rows and none of
            them can be used (the store is as before).
    """
    layout = layout or Layout()
    forms = [form or format_of(path) for path in paths]
    params = {"paths": list(paths), "source": source.name, "forms": forms, "text_field": text_field}
    params |= {"id_field": id_field, **(more_params or {})}
    # Only where it is given, so that a run goes on that an older version began.
    params |= {name: value for name, value in asdict(layout).items() if value is not None}
    count = min(os.cpu_count() or 1, 4) if workers is None else workers
    with stage_run(engine, stage, slice=source.name, params=params, progress=progress) as run:
        sink = RejectSink(rejects_dir / f"{stage}-{run.id}.jsonl" if rejects_dir else None)
        finished_paths = set(run.checkpoint.get("done", ()))
        with sink, _pool(count) as pool:
            for path, file_form in zip(paths, forms, strict=True):
                if path in finished_paths:
                    continue
                options = Options(file_form, text_field, id_field, (*keep, split_field), languages)
                rows = read_rows(path, file_form, layout=layout, follow=follow)
                skip = run.checkpoint["rows"] if run.checkpoint.get("file") == path else 0
                # While a file is followed, each row is written at once.
                executor, size = (None, 1) if follow else (pool, _BATCH)
                if skip and on_passed is not None:
                    for batch in _prepared(executor, islice(rows, skip), path, options, size):
                        on_passed(batch.rows)
                    batches = _prepared(executor, rows, path, options, size)
                else:
                    batches = _prepared(executor, islice(rows, skip, None), path, options, size)
                file = _File(path, skip, source, split_field)
                _ingest_file(engine, run, batches, file, sink=sink, on_written=on_written)
                finished_paths.add(path)
                run.checkpoint = {"done": sorted(finished_paths)}
        report = _report(run, sink)
        if report.rows and report.rows == sum(report.rejected.values()):
            _forget(engine, run)
            raise InputError(why_unusable(list(zip(paths, forms, strict=True)), layout, text_field, report.rejected))
        return report


def _forget(engine: Engine, run: ActiveRun) -> None:
    """Have the next call begin anew: a file that is mended is read from its first row."""
    run.counts.clear()
    run.checkpoint = {}
    with open_session(engine) as session, session.begin():
        run.save(session)


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    #: rows that an interrupted run has already stored
    skip: int
    source: SourceInfo
    split_field: str


def _ingest_file(
    engine: Engine,
    run: ActiveRun,
    batches: Iterator[Prepared],
    file: _File,
    *,
    sink: RejectSink,
    on_written: OnWritten | None,
) -> None:
    consumed = file.skip
    for batch in batches:
        rows, rejects = batch.rows, batch.rejects
        consumed += len(batch)
        with open_session(engine) as session, session.begin():
            if rows:
                splits = [_split(row.fields.get(file.split_field)) for row in rows]
                # A source enters the store with its first text.
                source_id = source_id_of(session, file.source)
                written = write(session, rows, source_id=source_id, run_id=run.id, path=file.path, splits=splits)
                if on_written is not None:
                    on_written(session, run.id, written.seen)
                for name, by in written.counts.items():
                    run.count(name, by)
                _add(run.counts, "languages", written.languages)
                rejects = [*rejects, *written.rejected]
            rejects = sorted(rejects, key=lambda reject: reject.line)
            run.count("rows", len(batch))
            if batch.rounded_ids:
                run.count("rounded_ids", batch.rounded_ids)
            _add(run.counts, "rejected", _tally(rejects))
            run.checkpoint = {**run.checkpoint, "file": file.path, "rows": consumed}
            run.advance(run.counts["rows"], None, "reading")
            run.save(session)
            # Before the commit, so that an interruption here can repeat a reject but cannot lose one.
            for reject in rejects:
                sink.add(reject)
            sink.flush()


def _prepared(
    pool: Executor | None, rows: Iterator[RawRow | Reject], path: str, options: Options, size: int
) -> Iterator[Prepared]:
    """Prepared batches in the order of the file, several of them in progress at once."""
    call = partial(prepare, path=path, name=PurePosixPath(path).name, options=options)
    in_progress: deque[tuple[list[Reject], Future[Prepared]]] = deque()
    unreadable: InputError | None = None
    try:
        try:
            for batch in _batches(rows, size):
                rejects = [row for row in batch if isinstance(row, Reject)]
                raw = [row for row in batch if not isinstance(row, Reject)]
                lines, payloads = [row.line for row in raw], [row.payload for row in raw]
                if pool is None or (len(batch) < size and not in_progress):
                    # A short file is prepared here sooner than a worker would start.
                    yield _with(rejects, call(lines, payloads))
                    continue
                in_progress.append((rejects, pool.submit(call, lines, payloads)))
                if len(in_progress) > _IN_PROGRESS:
                    yield _next(in_progress)
        except InputError as error:
            unreadable = error
        while in_progress:
            yield _next(in_progress)
    except BrokenProcessPool as error:
        raise InputError(
            f"{path}: a worker process was killed, perhaps for lack of memory; run the same command again"
        ) from error
    if unreadable is not None:
        raise unreadable


def _batches(rows: Iterator[RawRow | Reject], size: int) -> Iterator[list[RawRow | Reject]]:
    """Rows in batches of `size`; rows before a damaged place are not lost."""
    batch: list[RawRow | Reject] = []
    try:
        for row in rows:
            batch.append(row)
            if len(batch) == size:
                yield batch
                batch = []
    except InputError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _next(in_progress: deque[tuple[list[Reject], Future[Prepared]]]) -> Prepared:
    rejects, future = in_progress.popleft()
    return _with(rejects, future.result())


def _with(rejects: list[Reject], prepared: Prepared) -> Prepared:
    prepared.rejects.extend(rejects)
    return prepared


@contextmanager
def _pool(workers: int) -> Iterator[Executor | None]:
    if workers == 0:
        yield None
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    # The parent handles Ctrl-C. A parent that was killed cannot stop its workers, so each watches its parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


def source_id_of(session: Session, source: SourceInfo) -> int:
    """The id of a source; it is added to the store when it is new."""
    values = {"licence": source.licence, "url": source.url, "redistributable": source.redistributable}
    known = {name: value for name, value in values.items() if value}
    statement = insert(store.Source).values(name=source.name, **known)
    # Later details of a source complete the earlier ones.
    statement = (
        statement.on_conflict_do_update(index_elements=["name"], set_=known)
        if known
        else statement.on_conflict_do_nothing()
    )
    session.execute(statement)
    return session.execute(select(store.Source.id).where(store.Source.name == source.name)).scalar_one()


def _split(value: object) -> str | None:
    names = {"train": "train", "dev": "dev", "valid": "dev", "validation": "dev", "test": "test"}
    return names.get(value) if isinstance(value, str) else None


def _tally(rejects: Sequence[Reject]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for reject in rejects:
        counts[reject.reason] = counts.get(reject.reason, 0) + 1
    return counts


def _add(counts: dict[str, Any], name: str, more: Mapping[str, int]) -> None:
    into = counts.setdefault(name, {})
    for key, by in more.items():
        into[key] = into.get(key, 0) + by


def _report(run: ActiveRun, sink: RejectSink) -> IngestReport:
    counts = run.counts
    return IngestReport(
        run=run.id,
        rows=counts.get("rows", 0),
        new=counts.get("new", 0),
        exact_duplicates=counts.get("exact_duplicates", 0),
        near_duplicates=counts.get("near_duplicates", 0),
        present=counts.get("present", 0),
        out_of_scope=counts.get("out_of_scope", 0),
        rejected=dict(counts.get("rejected", {})),
        languages=dict(counts.get("languages", {})),
        rejects_file=str(sink.path) if sink.path is not None and sink.counts else None,
        rounded_ids=counts.get("rounded_ids", 0),
    )
