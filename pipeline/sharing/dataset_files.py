"""Rows as sharded Parquet files, one batch in memory at a time; the same rows always give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

#: subfolder of the shards
DATA = "data"
#: number of rows in memory at once, and in a row group
BATCH = 2_000

_TEXTS = pa.list_(pa.string())
_RATER = pa.struct([("kind", pa.string()), ("name", pa.string())])
_DECISION = pa.struct(
    [("label", pa.string()), ("value", pa.bool_()), ("tier", pa.string()), ("raters", pa.list_(_RATER))]
)
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("lang", pa.string()),
        ("labels", _TEXTS),
        ("not_labels", _TEXTS),
        ("tier", pa.string()),
        ("decisions", pa.list_(_DECISION)),
        ("sources", _TEXTS),
        ("licences", _TEXTS),
        ("split", pa.string()),
        ("taxonomy_version", pa.string()),
    ]
)


#: first digits of ids
_DIGITS = "0123456789abcdef"


class Spool:
    """Temporary rows, added in any order and read once in order of id.

    They lie in a file for each first digit of an id, of which one at a time is sorted in memory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: dict[str, list[dict[str, Any]]] = {digit: [] for digit in _DIGITS}
        path.mkdir()
        self._writers = {digit: pq.ParquetWriter(path / digit, SCHEMA, compression="zstd") for digit in _DIGITS}

    def add(self, row: dict[str, Any]) -> None:
        """Add a row."""
        digit = row["id"][0]
        self._held[digit].append(row)
        if len(self._held[digit]) == BATCH:
            self._flush(digit)

    def close(self) -> None:
        """Write the remaining rows and close the files."""
        for digit, writer in self._writers.items():
            self._flush(digit)
            writer.close()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows that were added, in order of id, after `close`."""
        for digit in _DIGITS:
            part = pq.read_table(self._path / digit)
            yield from part.sort_by("id").to_batches(max_chunksize=BATCH)

    def _flush(self, digit: str) -> None:
        if self._held[digit]:
            self._writers[digit].write_batch(pa.RecordBatch.from_pylist(self._held[digit], schema=SCHEMA))
            self._held[digit] = []


class Shards:
    """The files of one split, `SPLIT-00000-of-00002.parquet`: named at the end, when their number is known."""

    def __init__(self, folder: Path, split: str, rows: int) -> None:
        self._folder, self._split, self._most = folder, split, rows
        self._parts: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._room = 0
        #: paths in the order of the rows, after closing
        self.paths: Sequence[Path] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end_part()
        if kind is None:
            self.paths = [
                part.rename(self._folder / f"{self._split}-{i:05d}-of-{len(self._parts):05d}.parquet")
                for i, part in enumerate(self._parts)
            ]

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        while batch.num_rows:
            if self._writer is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._parts.append(self._folder / f".{self._split}-{len(self._parts):05d}")
                self._writer = pq.ParquetWriter(self._parts[-1], SCHEMA, compression="zstd")
                self._room = self._most
            taken = batch.slice(0, self._room)
            self._writer.write_batch(taken)
            self._room -= taken.num_rows
            if not self._room:
                self._end_part()
            batch = batch.slice(taken.num_rows)

    def _end_part(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def without(batch: pa.RecordBatch, left_out: Iterable[bool]) -> pa.RecordBatch:
    """The rows of a batch that are not left out."""
    return batch.filter(pa.array([not leave_out for leave_out in left_out], pa.bool_()))
