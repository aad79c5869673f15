"""Put prepared rows into the store: sightings, new texts, near-duplicates. One call, one transaction's worth."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from psycopg import Connection
from sqlalchemy import text
from sqlalchemy.orm import Session

from pipeline.ingest.neardup import best_match, level
from pipeline.ingest.prepare import PreparedText
from pipeline.ingest.rejects import Reject

# PostgreSQL's binary COPY format (documentation of COPY, "Binary Format"): header, rows, trailer
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER = b"\xff\xff"
_BAND_ROW = np.dtype([("fields", ">i2"), ("bucket_size", ">i4"), ("bucket", ">i8"), ("id_size", ">i4"), ("id", "V16")])
#: writers of texts take turns, so that each is compared with all that came before it
_LOCK = 0x1A6E57


@dataclass(slots=True)
class Written:
    """What became of a batch."""

    #: rows whose sighting is in the store now, in order
    seen: list[PreparedText] = field(default_factory=list)
    rejected: list[Reject] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)


def write(
    session: Session,
    rows: Sequence[PreparedText],
    *,
    source_id: int,
    run_id: int,
    path: str,
    splits: Sequence[str | None],
) -> Written:
    """Store a batch in the caller's transaction. The same rows again change nothing.

    Args:
        session: an open session.
        rows: what `prepare` made of a file's rows, in the file's order.
        source_id: where they were seen.
        run_id: the run that saw them.
        path: the file, for rejects.
        splits: the split that the source assigned to each row, or None.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    connection = _psycopg(session)
    done = Written()
    sightings = _new_sightings(connection, rows, source_id, path, done)

    known = _known_texts(connection, {row.id for row in done.seen})
    fresh: dict[uuid.UUID, PreparedText] = {}
    for row in done.seen:
        if row.id not in known and row.id not in fresh:
            fresh[row.id] = row
    roots = _find_roots(connection, list(fresh.values()))

    new_sighting = {key for key, _, _ in sightings}
    first_of: set[uuid.UUID] = set()
    for row in done.seen:
        if row.external_id not in new_sighting:
            done.counts["present"] += 1
        elif row.id in fresh and row.id not in first_of:
            first_of.add(row.id)
            duplicate = roots[row.id] is not None
            done.counts["near_duplicates" if duplicate else "new"] += 1
            done.counts["out_of_scope"] += not row.in_scope
            done.languages[row.language or "unknown"] += 1
        else:
            done.counts["exact_duplicates"] += 1
    _copy_texts(connection, fresh.values(), roots)
    splits_by_id = {row.external_id: split for row, split in zip(rows, splits, strict=True)}
    _copy(
        connection,
        "text_source (source_id, external_id, text_id, split, run_id)",
        ("int4", "text", "uuid", "text", "int8"),
        ((source_id, external_id, text_id, splits_by_id[external_id], run_id) for external_id, text_id, _ in sightings),
    )
    return done


def _new_sightings(
    connection: Connection[Any], rows: Sequence[PreparedText], source_id: int, path: str, done: Written
) -> list[tuple[str, uuid.UUID, int]]:
    """Sightings that the store doesn't have yet; rows whose id already names another text are rejected."""
    named: dict[str, uuid.UUID] = dict(
        connection.execute(
            "SELECT external_id, text_id FROM text_source WHERE source_id = %s AND external_id = ANY(%s)",
            (source_id, [row.external_id for row in rows]),
            binary=True,
        ).fetchall()
    )
    fresh = []
    for row in rows:
        before = named.get(row.external_id)
        if before is None:
            named[row.external_id] = row.id
            fresh.append((row.external_id, row.id, row.line))
        elif before != row.id:
            done.rejected.append(Reject(path, row.line, "id already names another text", row.external_id[:80]))
            continue
        done.seen.append(row)
    return fresh


def _known_texts(connection: Connection[Any], ids: set[uuid.UUID]) -> set[uuid.UUID]:
    rows = connection.execute("SELECT id FROM text WHERE id = ANY(%s::uuid[])", (_array(ids),), binary=True)
    return {id_ for (id_,) in rows}


def _find_roots(connection: Connection[Any], fresh: Sequence[PreparedText]) -> dict[uuid.UUID, uuid.UUID | None]:
    """For each new text, the earlier text that it nearly equals; None if it is the first of its kind.

    Only firsts are kept in the index, so `duplicate_of` is never a chain.
    """
    wanted = {bucket for row in fresh for bucket in row.buckets}
    in_bucket: dict[int, list[uuid.UUID]] = defaultdict(list)
    for bucket, text_id in connection.execute(
        "SELECT bucket, text_id FROM minhash_band WHERE bucket = ANY(%s::int8[])",
        (_array(sorted(wanted)),),
        binary=True,
    ):
        in_bucket[bucket].append(text_id)
    candidates = {text_id for ids in in_bucket.values() for text_id in ids}
    levelled = {
        text_id: level(masked)
        for text_id, masked in connection.execute(
            "SELECT id, masked FROM text WHERE id = ANY(%s::uuid[])", (_array(candidates),), binary=True
        )
    }
    roots: dict[uuid.UUID, uuid.UUID | None] = {}
    for row in fresh:
        near = {text_id for bucket in row.buckets for text_id in in_bucket.get(bucket, ())}
        root = best_match(row.levelled, ((text_id, levelled[text_id]) for text_id in near if text_id in levelled))
        roots[row.id] = root
        if root is None:
            levelled[row.id] = row.levelled
            for bucket in row.buckets:
                in_bucket[bucket].append(row.id)
    return roots


def _copy_texts(
    connection: Connection[Any], fresh: Iterable[PreparedText], roots: dict[uuid.UUID, uuid.UUID | None]
) -> None:
    # firsts go in before those that refer to them
    ordered = sorted(fresh, key=lambda row: roots[row.id] is not None)
    _copy(
        connection,
        "text (id, body, masked, language, language_score, in_scope, duplicate_of)",
        ("uuid", "text", "text", "text", "float4", "bool", "uuid"),
        (
            (row.id, row.body, row.masked, row.language, row.language_score, row.in_scope, roots[row.id])
            for row in ordered
        ),
    )
    _copy_bands(connection, [row for row in ordered if roots[row.id] is None])


def _copy_bands(connection: Connection[Any], firsts: Sequence[PreparedText]) -> None:
    """Half a dozen rows a text: packed for the binary COPY format all at once."""
    entries = np.zeros(sum(len(row.buckets) for row in firsts), dtype=_BAND_ROW)
    entries["fields"], entries["bucket_size"], entries["id_size"] = 2, 8, 16
    entries["bucket"] = [bucket for row in firsts for bucket in row.buckets]
    entries["id"] = np.frombuffer(b"".join(row.id.bytes * len(row.buckets) for row in firsts), dtype="V16")
    # in order of bucket, which is the order of the index
    entries = entries[np.argsort(entries["bucket"])]
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY minhash_band (bucket, text_id) FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.write(_COPY_HEADER + entries.tobytes() + _COPY_TRAILER)


def _copy(connection: Connection[Any], table: str, types: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def _array(values: Iterable[object]) -> str:
    """An array literal of ids or numbers: a good deal faster to make than a list is to adapt."""
    return "{" + ",".join(map(str, values)) + "}"


def _psycopg(session: Session) -> Connection[Any]:
    driver = session.connection().connection.driver_connection
    if not isinstance(driver, Connection):
        raise TypeError(f"texts are copied with psycopg, not {type(driver).__module__}")
    return driver
