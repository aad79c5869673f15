"""Write prepared rows to the store: sightings, new texts, near-duplicates. One call belongs to one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from psycopg import Connection
from sqlalchemy.orm import Session

from pipeline.store import locks
from pipeline.store.locks import Lock
from pipeline.texts import copying
from pipeline.texts.near_duplicates import best_match, level
from pipeline.texts.prepare import PreparedText
from pipeline.texts.rejects import Reject

#: stands in place of a run's number where no run read the texts; runs have numbers from 1
NO_RUN = 0
#: the reason why a row is rejected whose text was erased on request
ERASED = "the text was erased"
#: texts that one new text is compared with in full
_COMPARED = 100


@dataclass(slots=True)
class Written:
    """Result of writing a batch."""

    #: rows whose sighting is now in the store, in order
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
    """Write a batch in the caller's transaction. Writing the same rows again changes nothing.

    Args:
        session: an open session.
        rows: prepared rows of a file, in the file's order.
        source_id: id of their source.
        run_id: id of the run that read them.
        path: the file, for rejects.
        splits: the split of each row in the source, or None.
    """
    locks.take(session, Lock.TEXTS)
    connection = _psycopg(session)
    written = Written()
    rows, splits = _without_erased(connection, rows, splits, path, written)
    sightings = _new_sightings(connection, rows, splits, source_id, path, written)

    known, removed = _known_texts(connection, {row.key for row in written.seen})
    # A text whose only source was removed is taken up like a new one.
    fresh: dict[bytes, PreparedText] = {}
    for row in written.seen:
        if row.key not in known:
            fresh.setdefault(row.key, row)
    roots = _find_roots(connection, list(fresh.values()))
    _copy_texts(connection, {key: row for key, row in fresh.items() if key not in removed}, roots)
    _take_up(connection, [fresh[key] for key in fresh.keys() & removed], roots)
    _copy_bands(connection, [row for key, row in fresh.items() if key not in roots])
    _copy_sightings(connection, sightings, source_id, run_id)

    written.counts["present"] = len(written.seen) - len(sightings)
    written.counts["exact_duplicates"] = len(sightings) - len(fresh)
    written.counts["near_duplicates"] = len(roots)
    written.counts["new"] = len(fresh) - len(roots)
    written.counts["out_of_scope"] = sum(not row.in_scope for row in fresh.values())
    written.languages.update(row.language or "unknown" for row in fresh.values())
    return written


def _without_erased(
    connection: Connection[Any],
    rows: Sequence[PreparedText],
    splits: Sequence[str | None],
    path: str,
    written: Written,
) -> tuple[Sequence[PreparedText], Sequence[str | None]]:
    """The rows whose text was not erased, with their splits; the others are rejected."""
    erased = {
        key
        for (key,) in connection.execute(
            "SELECT uuid_send(text_id) FROM erased_text WHERE text_id = ANY(%s::uuid[])",
            (_uuids({row.key for row in rows}),),
            binary=True,
        )
    }
    if not erased:
        return rows, splits
    written.rejected += [Reject(path, row.line, ERASED, "") for row in rows if row.key in erased]
    kept = [(row, split) for row, split in zip(rows, splits, strict=True) if row.key not in erased]
    return [row for row, _ in kept], [split for _, split in kept]


def _new_sightings(
    connection: Connection[Any],
    rows: Sequence[PreparedText],
    splits: Sequence[str | None],
    source_id: int,
    path: str,
    written: Written,
) -> list[tuple[PreparedText, str | None]]:
    """Sightings that are not in the store yet; rows whose id already belongs to another text are rejected."""
    named: dict[str, bytes] = dict(
        connection.execute(
            "SELECT external_id, uuid_send(text_id) FROM text_source WHERE source_id = %s AND external_id = ANY(%s)",
            (source_id, [row.external_id for row in rows]),
            binary=True,
        ).fetchall()
    )
    fresh = []
    for row, split in zip(rows, splits, strict=True):
        before = named.get(row.external_id)
        if before is None:
            named[row.external_id] = row.key
            fresh.append((row, split))
        elif before != row.key:
            written.rejected.append(Reject(path, row.line, "id already names another text", row.external_id[:80]))
            continue
        written.seen.append(row)
    return fresh


def _known_texts(connection: Connection[Any], keys: Collection[bytes]) -> tuple[set[bytes], set[bytes]]:
    """The texts that the store has, and apart from them those that no source has any more (see `removal`)."""
    rows = connection.execute(
        "SELECT uuid_send(t.id), NOT t.in_scope AND t.duplicate_of IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM text_source s WHERE s.text_id = t.id)"
        " FROM text t WHERE t.id = ANY(%s::uuid[])",
        (_uuids(keys),),
        binary=True,
    ).fetchall()
    return {key for key, is_removed in rows if not is_removed}, {key for key, is_removed in rows if is_removed}


def _find_roots(connection: Connection[Any], fresh: Sequence[PreparedText]) -> dict[bytes, bytes]:
    """For new texts that are near-duplicates of an earlier text: the key of that text, by their own key.

    Near-duplicates are not in the index, so `duplicate_of` is never a chain.
    """
    numbers = np.frombuffer(b"".join(row.buckets for row in fresh), dtype="<i8")
    distinct, counts = np.unique(numbers, return_counts=True)
    in_bucket: dict[int, list[bytes]] = {bucket: [] for bucket in distinct[counts > 1].tolist()}
    for bucket, key in connection.execute(
        "SELECT bucket, uuid_send(text_id) FROM minhash_band WHERE bucket = ANY(%s::int8[])",
        ("{" + ",".join(map(str, distinct.tolist())) + "}",),
        binary=True,
    ):
        in_bucket.setdefault(bucket, []).append(key)

    # Most buckets occur once. Only rows in one of the other buckets can have a match or be one.
    owners = np.repeat(np.arange(len(fresh)), [len(row.buckets) // 8 for row in fresh])
    shared = np.isin(numbers, np.fromiter(in_bucket, dtype="<i8"))
    its_buckets: dict[int, list[int]] = {}
    for owner, bucket in zip(owners[shared].tolist(), numbers[shared].tolist(), strict=True):
        its_buckets.setdefault(owner, []).append(bucket)

    near = (_nearest(in_bucket, buckets) for buckets in its_buckets.values())
    levelled = _levelled(connection, {key for keys in near for key in keys})
    roots: dict[bytes, bytes] = {}
    for owner, buckets in its_buckets.items():  # in order of the rows
        row = fresh[owner]
        own = level(row.masked)
        root = best_match(own, ((key, levelled[key]) for key in _nearest(in_bucket, buckets)))
        if root is not None:
            roots[row.key] = root
            continue
        levelled[row.key] = own
        for bucket in buckets:
            in_bucket[bucket].append(row.key)
    return roots


def _nearest(in_bucket: dict[int, list[bytes]], buckets: Sequence[int]) -> list[bytes]:
    """The texts to compare with: the `_COMPARED` texts that share the most buckets.

    The limit matters where many texts follow one pattern and share their buckets.
    """
    shared = Counter(key for bucket in buckets for key in in_bucket[bucket])
    if len(shared) <= _COMPARED:
        return list(shared)
    return sorted(shared, key=lambda key: (-shared[key], key))[:_COMPARED]


def _levelled(connection: Connection[Any], keys: Collection[bytes]) -> dict[bytes, str]:
    rows = connection.execute(
        "SELECT uuid_send(id), masked FROM text WHERE id = ANY(%s::uuid[])", (_uuids(keys),), binary=True
    )
    return {key: level(masked) for key, masked in rows}


def _copy_texts(connection: Connection[Any], fresh: dict[bytes, PreparedText], roots: dict[bytes, bytes]) -> None:
    copying.copy(
        connection,
        "text (id, body, masked, language, language_score, in_scope, duplicate_of)",
        (
            b"\0\7"
            + copying.key(key)
            + copying.text(row.body)
            + copying.text(row.masked)
            + copying.text(row.language)
            + copying.real(row.language_score)
            + copying.boolean(row.in_scope)
            + copying.key(roots.get(key))
            for key, row in fresh.items()
        ),
    )


def _take_up(connection: Connection[Any], rows: Sequence[PreparedText], roots: dict[bytes, bytes]) -> None:
    changes = [(row.in_scope, root.hex() if (root := roots.get(row.key)) else None, row.key.hex()) for row in rows]
    with connection.cursor() as cursor:
        cursor.executemany("UPDATE text SET in_scope = %s, duplicate_of = %s::uuid WHERE id = %s::uuid", changes)


def _copy_bands(connection: Connection[Any], firsts: Sequence[PreparedText]) -> None:
    packed = copying.bands([row.buckets for row in firsts], [row.key for row in firsts])
    copying.copy(connection, "minhash_band (bucket, text_id)", (packed,))


def _copy_sightings(
    connection: Connection[Any], sightings: Sequence[tuple[PreparedText, str | None]], source_id: int, run_id: int
) -> None:
    head = b"\0\5" + copying.integer(source_id) + copying.bigint(run_id)
    copying.copy(
        connection,
        "text_source (source_id, run_id, external_id, text_id, split)",
        (head + copying.text(row.external_id) + copying.key(row.key) + copying.text(split) for row, split in sightings),
    )


def _uuids(keys: Collection[bytes]) -> str:
    """An array literal, which is much faster than adapting a list of UUIDs."""
    return "{" + ",".join(key.hex() for key in keys) + "}"


def _psycopg(session: Session) -> Connection[Any]:
    driver = session.connection().connection.driver_connection
    if not isinstance(driver, Connection):
        raise TypeError(f"texts are copied with psycopg, not {type(driver).__module__}")
    return driver
