"""Search by likeness: the texts whose vectors have the greatest cosine with a vector, by an index where there is one.

The index is HNSW (Malkov & Yashunin 2018, arXiv:1603.09320) as pgvector has it, for the vectors of one encoder. The
command `saring search --index` makes it: that takes minutes and much memory, so nothing starts it unasked. Without it
every vector is compared, which is exact, and quick enough for some 100,000 texts.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from pgvector import HalfVector
from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import EncoderError
from pipeline.progress import Progress, silent
from pipeline.search.narrow import Condition
from pipeline.store.session import open_session
from pipeline.vectors.encoders.protocol import Vectors
from pipeline.vectors.table import get_vectors, partition_of

#: nearest texts that are looked at, and how thoroughly the index looks for them: pgvector's most, which takes no longer
#: than to go on looking, and finds texts that a hasty look misses
MOST_LOOKED, _THOROUGH = 1_000, 1_000
#: vectors from which the index is worth its making
WORTH_AN_INDEX = 100_000
#: bytes of memory that pgvector 0.8 takes for a vector while it builds the graph, beside the vector
_OF_THE_GRAPH = 2_600
#: seconds between two looks at how far the building is
_LOOK = 1.0


@dataclass(frozen=True, slots=True)
class Nearest:
    """Texts that meet a condition, the most similar first."""

    #: cosine of each
    scores: dict[uuid.UUID, float]
    #: texts that were looked at
    looked: int
    #: True: there are no others
    complete: bool


def vector_of(session: Session, encoder: str, text_id: uuid.UUID) -> Vectors:
    """The vector of a text.

    Raises:
        EncoderError: it has none.
    """
    vector = get_vectors(session, encoder, [text_id]).get(text_id)
    if vector is None and session.get(store.ErasedText, text_id) is not None:
        raise EncoderError(f"the words of text {text_id} were erased: no text can be compared with it")
    if vector is None:
        raise EncoderError(f"text {text_id} has no vector of {encoder}: run `saring embed`")
    return vector


def nearest(
    session: Session,
    encoder: str,
    vector: Vectors,
    meets: Condition,
    *,
    among: Sequence[uuid.UUID] | None = None,
    but: uuid.UUID | None = None,
    most: int = MOST_LOOKED,
) -> Nearest:
    """The texts that are most similar to a vector and meet a condition.

    Args:
        session: an open session.
        encoder: the space.
        vector: a unit vector of it.
        meets: the condition, asked of the nearest texts.
        among: only texts with these ids, all of which are compared; None: all.
        but: a text to leave out.
        most: texts to look at.
    """
    space = session.get(store.Encoder, encoder)
    if space is None:
        return Nearest({}, 0, complete=True)
    table = partition_of(encoder)
    # The expression of the index: the column has vectors of any dimension.
    distance = f"(v.embedding::halfvec({space.dimension})) <#> CAST(:vector AS halfvec({space.dimension}))"
    looked = most + (but is not None)
    values = {"vector": HalfVector(vector).to_text(), "most": looked} | dict(meets.parameters)
    where = ""
    if among is not None:
        where, values["among"] = "WHERE v.text_id = ANY(CAST(:among AS uuid[]))", list(among)
    else:
        for name, value in (
            ("ef_search", _THOROUGH),
            ("iterative_scan", "relaxed_order"),
            ("max_scan_tuples", 20 * MOST_LOOKED),
        ):
            session.execute(text(f"SET LOCAL hnsw.{name} = {value}"))
    rows = session.execute(
        text(f"""
            WITH near AS MATERIALIZED (
                SELECT v.text_id, {distance} AS distance FROM {table} v {where} ORDER BY {distance} LIMIT :most
            )
            SELECT t.id, n.distance, {meets.sql} FROM near n JOIN text t ON t.id = n.text_id
        """),  # noqa: S608 - own words only, and a table's name that is a hash
        values,
    ).all()
    nearest_first = sorted((float(far), text_id) for text_id, far, so in rows if so and text_id != but)
    return Nearest({text_id: -far for far, text_id in nearest_first[:most]}, len(rows), len(rows) < looked)


@dataclass(frozen=True, slots=True)
class Index:
    """The index of an encoder's vectors."""

    #: True: there is one, and searches use it
    present: bool
    #: vectors, as PostgreSQL last counted or estimated them
    vectors: int

    @property
    def worth_making(self) -> bool:
        """True where searches are slow without it."""
        return not self.present and self.vectors >= WORTH_AN_INDEX


def index_of(session: Session, encoder: str) -> Index:
    """State of the index of an encoder's vectors."""
    vectors, present = session.execute(
        text("""
            SELECT coalesce(max(c.reltuples), 0), coalesce(bool_or(a.amname = 'hnsw' AND i.indisvalid), false)
            FROM pg_class c LEFT JOIN pg_index i ON i.indrelid = c.oid
                LEFT JOIN pg_class x ON x.oid = i.indexrelid LEFT JOIN pg_am a ON a.oid = x.relam
            WHERE c.oid = to_regclass(:table)
        """),
        {"table": partition_of(encoder)},
    ).one()
    if vectors <= 0 and session.scalar(text("SELECT to_regclass(:table)"), {"table": partition_of(encoder)}):
        # PostgreSQL has not counted them yet, so they are new, and few or many.
        some = f"SELECT count(*) FROM (SELECT FROM {partition_of(encoder)} LIMIT {WORTH_AN_INDEX}) AS v"  # noqa: S608
        vectors = session.execute(text(some)).scalar_one()
    return Index(bool(present), max(0, round(vectors)))


def make_index(
    engine: Engine,
    encoder: str,
    *,
    memory: int | None = None,
    progress: Progress = silent,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Make the index of an encoder's vectors, while others read and write them; False if there is one already.

    Args:
        engine: the store.
        encoder: the space.
        memory: bytes that the server may use for it; None: as much as the server is set to. With less than the graph
            takes, the building is several times slower.
        progress: told how many vectors are in it.
        sleep: waits between two looks.

    Raises:
        EncoderError: the space has no vectors.
    """
    with open_session(engine) as session:
        space, index = session.get(store.Encoder, encoder), index_of(session, encoder)
    if space is None:
        raise EncoderError(f"there are no vectors of {encoder}: run `saring embed`")
    if index.present:
        return False
    table, name = partition_of(encoder), f"{partition_of(encoder)}_near"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        # It waits for the transactions of others, and nobody waits for it.
        connection.execute(text("SET lock_timeout = 0"))
        if memory is not None:
            needed = index.vectors * (2 * space.dimension + _OF_THE_GRAPH)
            kilobytes = max(64 << 10, min(memory, needed) >> 10)
            connection.execute(text(f"SET maintenance_work_mem = '{kilobytes}kB'"))
        try:
            with ThreadPoolExecutor(1) as apart:
                building = apart.submit(_build, connection, table, name, space.dimension)
                _follow(engine, pid, building, index.vectors, progress, sleep)
        finally:
            connection.execute(text("RESET lock_timeout"))
            connection.execute(text("RESET maintenance_work_mem"))
    return True


def _build(connection: Connection, table: str, name: str, dimension: int) -> None:
    # An attempt that was broken off leaves an index that is not valid.
    connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
    connection.execute(
        text(
            f"CREATE INDEX CONCURRENTLY {name} ON {table} USING hnsw ((embedding::halfvec({dimension})) halfvec_ip_ops)"
        )
    )
    connection.execute(text(f"ANALYZE {table}"))


def _follow(
    engine: Engine,
    pid: int,
    building: Future[None],
    total: int,
    progress: Progress,
    sleep: Callable[[float], None],
) -> None:
    """Tell of the building until it is done; where the caller wants no more of it, stop it."""
    try:
        while not building.done():
            sleep(_LOOK)
            with engine.connect() as other:
                row = other.execute(
                    text("SELECT tuples_done, tuples_total FROM pg_stat_progress_create_index WHERE pid = :pid"),
                    {"pid": pid},
                ).first()
            if row is not None:
                progress(int(row[0]), total, "indexing the vectors")
    except BaseException:
        with engine.connect() as other:
            other.execute(text("SELECT pg_cancel_backend(:pid)"), {"pid": pid})
        raise
    building.result()
