"""Search among a million texts: by words, by likeness and with filters, beside SQLite's FTS5 and an exact scan.

The texts are made up: words of Zipf's distribution, one of which half of the texts have, each text with a
384-dimensional unit vector near one of 2,000 topics. Machines have judged a tenth of them, people a hundredth.

Told: how long the indexes take to build and how large they are, and the median and longest time of each kind of
search in milliseconds, the first page with labels included. For likeness, the share of the true 50 nearest that are
found. The peers answer less: FTS5 gives the first 50 ids by its rank (bm25), the exact scan the 50 nearest ids.

    python benchmarks/search.py [--texts 1000000] [--home FOLDER] [--rounds 20]

With --home the store is kept in that folder, and used again by the next call.
"""

from __future__ import annotations

import argparse
import hashlib
import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from _measure import emit, measured, temporary_store
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg import Connection
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from pipeline.search.find import search
from pipeline.search.narrow import Condition
from pipeline.search.near import index_of, make_index, nearest, vector_of
from pipeline.search.query import Query
from pipeline.search.spelling import renew
from pipeline.settings import Settings
from pipeline.store import make_engine, open_session
from pipeline.store.migrate import upgrade
from pipeline.taxonomy import load_taxonomy
from pipeline.vectors.encoders.protocol import Vectors, unit
from pipeline.vectors.table import partition_of, register_encoder
from saring.services import ensure_database, stop_services

_NAME, _DIMENSION, _TOPICS = "random", 384, 2_000
_WORDS, _LENGTH = 200_000, 14
_SYLLABLES = [consonant + vowel for consonant in "bcdghjklmnprst" for vowel in "aiueo"]
_CHUNK = 20_000


class Space:
    """The attributes that `register_encoder` needs."""

    name, dimension = _NAME, _DIMENSION

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Raise: only the name and the dimension are used."""
        raise TypeError(f"{self.name} has no model for {len(texts)} texts")


def word(number: int) -> str:
    """A number in syllables."""
    syllables = []
    number += 70
    while number:
        number, rest = divmod(int(number), len(_SYLLABLES))
        syllables.append(_SYLLABLES[rest])
    return "".join(syllables)


def bodies_of(start: int, count: int) -> list[str]:
    """Made-up texts; half of them have the word `saya`, and a tenth the word `rumah`."""
    rng = np.random.default_rng(start)
    drawn = np.minimum(rng.zipf(1.15, (count, _LENGTH)), _WORDS)
    often, tenth = rng.random(count) < 0.5, rng.random(count) < 0.1
    return [
        " ".join(
            [*(word(number) for number in row), *(["saya"] if a else []), *(["rumah"] if b else []), f"n{start + i}"]
        )
        for i, (row, a, b) in enumerate(zip(drawn.tolist(), often.tolist(), tenth.tolist(), strict=True))
    ]


def vectors_of(start: int, count: int) -> Vectors:
    """Their vectors."""
    centres = unit(np.random.default_rng(7).normal(size=(_TOPICS, _DIMENSION)).astype(np.float32))
    rng = np.random.default_rng([start, 1])
    near = centres[rng.integers(0, _TOPICS, count)]
    return unit(near + 0.9 * unit(rng.normal(size=near.shape).astype(np.float32)))


def load(engine: Engine, texts: int) -> None:
    """Put texts, vectors and judgements into the store, as ingest, embedding and raters would have."""
    with Session(engine) as session, session.begin():
        register_encoder(session, Space())
        session.execute(text("INSERT INTO source (name) VALUES ('common'), ('rare')"))
        session.execute(
            text("""
                INSERT INTO rater (kind, name, version) VALUES ('llm', 'a-model', '1'), ('human', 'label-studio', '1')
            """)
        )
    raw = engine.raw_connection()
    connection = raw.driver_connection
    assert isinstance(connection, Connection)
    register_vector(connection)
    for start in range(0, texts, _CHUNK):
        count = min(_CHUNK, texts - start)
        bodies = bodies_of(start, count)
        ids = [uuid.UUID(bytes=hashlib.blake2b(body.encode(), digest_size=16).digest()) for body in bodies]
        languages = ("ms", "id", "en")
        with connection.cursor() as cursor:
            with cursor.copy("COPY text (id, body, masked, language) FROM STDIN") as copy:
                for place, (text_id, body) in enumerate(zip(ids, bodies, strict=True)):
                    copy.write_row((text_id, "", body, languages[place % 3]))
            with cursor.copy(
                f"COPY {partition_of(_NAME)} (encoder, text_id, embedding) FROM STDIN WITH (FORMAT BINARY)"
            ) as copy:
                copy.set_types(["text", "uuid", "halfvec"])
                for text_id, vector in zip(ids, vectors_of(start, count), strict=True):
                    copy.write_row((_NAME, text_id, HalfVector(vector)))
            with cursor.copy("COPY text_source (source_id, external_id, text_id, run_id) FROM STDIN") as copy:
                for place, text_id in enumerate(ids):
                    copy.write_row((2 if place % 2_000 == 0 else 1, str(start + place), text_id, 0))
            with cursor.copy("COPY judgement (rater_id, text_id, asserted, taxonomy_version) FROM STDIN") as copy:
                for place, text_id in enumerate(ids):
                    if place % 10 == 0:
                        labels = ["hate"] if place % 1_000 == 0 else ["safe for work"]
                        copy.write_row((1, text_id, labels, "1"))
                    if place % 100 == 0:
                        copy.write_row((2, text_id, ["insult"] if place % 500 == 0 else ["safe for work"], "1"))
        connection.commit()
    raw.close()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as own:
        own.execute(text("VACUUM ANALYZE"))


#: kinds of searches: what they show, and the search
SEARCHES: tuple[tuple[str, dict[str, str]], ...] = (
    ("a word in half of the texts", {"words": "saya"}),
    ("two words, in a twentieth", {"words": "saya rumah"}),
    ("two words in a row", {"words": '"saya rumah"'}),
    ("any of three words", {"words": "saya or rumah or bubu"}),
    ("a word of one text", {"words": "n777"}),
    ("misspelled words", {"words": "sayaa rumha"}),
    ("a frequent word, a rare source", {"words": "saya", "source": "rare"}),
    ("a frequent word, a rare label", {"words": "saya", "label": "hate"}),
    ("a frequent word, a frequent label", {"words": "saya", "label": "safe for work"}),
    ("a frequent word, a language", {"words": "saya", "language": "en"}),
    ("a frequent word, free to be queued", {"words": "saya", "whereabouts": "free"}),
    ("a frequent label", {"label": "safe for work"}),
    ("like a text", {"like": ""}),
    ("like a text, with a word", {"like": "", "words": "saya"}),
    ("like a text, with a label", {"like": "", "label": "hate"}),
    ("like a text, free to be queued", {"like": "", "whereabouts": "free"}),
)


def measure(engine: Engine, rounds: int) -> None:
    """Measure each kind of search, and compare what the index finds with every vector."""
    taxonomy = load_taxonomy()
    with open_session(engine) as session:
        texts = session.execute(text("SELECT reltuples::bigint FROM pg_class WHERE relname = 'text'")).scalar_one()
        asked = session.scalars(text(f"SELECT id FROM text ORDER BY id LIMIT {rounds + 1}")).all()
        index = index_of(session, _NAME)
    emit("search", {"texts": texts, "vectors_indexed": index.present})
    for what, values in SEARCHES:
        if "like" in values and not index.present:
            emit("search", {"what": what, "skipped": "the vectors have no index: `saring search --index`"})
            continue
        waited, worked = [], 0.0
        hits = None
        for number in range(rounds + 1):
            query = Query.of(values | ({"like": str(asked[number])} if "like" in values else {}))
            with open_session(engine) as session:
                backend = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
                before = _processor_seconds(backend) + time.process_time()
                start = time.perf_counter()
                hits = search(session, taxonomy, query, encoder=_NAME)
                took = time.perf_counter() - start
                spent = _processor_seconds(backend) + time.process_time() - before
            if number:  # the first warms up
                waited.append(1000 * took)
                worked += 1000 * spent
        assert hits is not None
        emit(
            "search",
            {
                "what": what,
                "median_ms": statistics.median(waited),
                "longest_ms": max(waited),
                "processor_ms": worked / rounds,
                "known": hits.known,
                "complete": hits.complete,
            },
        )


def _processor_seconds(pid: int) -> float:
    """Processor time of a process so far, in steps of ten milliseconds."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def peers(texts: int, rounds: int) -> None:
    """Measure SQLite's FTS5 on the same texts, and an exact scan of the same vectors."""
    with tempfile.TemporaryDirectory(prefix="saring-bench-") as folder:
        db = sqlite3.connect(Path(folder) / "peer.db")
        db.execute("CREATE VIRTUAL TABLE t USING fts5(body)")
        start = time.perf_counter()
        for first in range(0, texts, _CHUNK):
            db.executemany(
                "INSERT INTO t VALUES (?)", ((body,) for body in bodies_of(first, min(_CHUNK, texts - first)))
            )
        db.commit()
        emit("search", {"who": f"SQLite {sqlite3.sqlite_version} FTS5", "made_s": time.perf_counter() - start})
        for words in ("saya", "saya rumah", "n777"):
            waited = []
            for _ in range(rounds):
                start = time.perf_counter()
                db.execute("SELECT rowid FROM t WHERE t MATCH ? ORDER BY rank LIMIT 50", (words,)).fetchall()
                waited.append(1000 * (time.perf_counter() - start))
            emit("search", {"who": "SQLite FTS5", "what": words, "median_ms": statistics.median(waited)})
    vectors = np.concatenate([vectors_of(at, min(_CHUNK, texts - at)) for at in range(0, texts, _CHUNK)])
    waited = []
    for number in range(rounds):
        start = time.perf_counter()
        near = vectors @ vectors[number]
        np.argpartition(-near, 50)[:50]
        waited.append(1000 * (time.perf_counter() - start))
    emit("search", {"who": "NumPy, every vector in memory", "median_ms": statistics.median(waited)})


def recall(engine: Engine, rounds: int) -> None:
    """The share of the true 50 nearest texts that the index finds."""
    with open_session(engine) as session:
        if not index_of(session, _NAME).present:
            return
        ids = session.scalars(text(f"SELECT id FROM text ORDER BY id LIMIT {rounds}")).all()
        shares = []
        for text_id in ids:
            vector = vector_of(session, _NAME, text_id)
            hits = list(nearest(session, _NAME, vector, Condition("true", {})).scores)[:50]
            exact = session.scalars(
                text(
                    f"SELECT text_id FROM {partition_of(_NAME)} "
                    f"ORDER BY (embedding <#> CAST(:vector AS halfvec)) + 0 LIMIT 50"
                ),
                {"vector": HalfVector(vector).to_text()},
            ).all()
            shares.append(len(set(hits) & set(exact)) / len(exact))
    emit("search", {"what": "share of the true 50 nearest", "mean": statistics.mean(shares), "worst": min(shares)})


@contextmanager
def _store(home: Path | None) -> Iterator[Engine]:
    if home is None:
        with temporary_store() as (engine, _):
            yield engine
        return
    settings = Settings(home=home)
    engine = make_engine(ensure_database(settings))
    try:
        upgrade(engine)
        yield engine
    finally:
        engine.dispose()
        stop_services(settings)


def main() -> None:
    """Fill the store if it is empty, make the indexes, and measure."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--texts", type=int, default=1_000_000)
    arguments.add_argument("--rounds", type=int, default=20)
    arguments.add_argument("--home", type=Path)
    arguments.add_argument("--no-index", action="store_true", help="leave the index of vectors as it is")
    arguments.add_argument("--no-peers", action="store_true")
    options = arguments.parse_args()
    with _store(options.home) as engine:
        with engine.connect() as connection:
            empty = connection.execute(text("SELECT NOT EXISTS (SELECT FROM text)")).scalar_one()
        if empty:
            load(engine, options.texts)
            with measured() as took, open_session(engine) as session, session.begin():
                words = renew(session)
            emit("search", {"what": "words counted", "seconds": took.seconds, "words": words})
        if not options.no_index:
            with measured() as took:
                made = make_index(engine, _NAME, memory=psutil.virtual_memory().available // 2)
            emit("search", {"what": "index of the vectors", "made": made, "seconds": took.seconds})
        measure(engine, options.rounds)
        recall(engine, options.rounds)
    if not options.no_peers:
        peers(options.texts, options.rounds)


if __name__ == "__main__":
    main()
