"""Rows to ingest, and what a store holds after it."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.store import open_session
from pipeline.texts.ingest import IngestReport, SourceInfo, ingest

_WORDS = """
    saya awak dia mereka kerajaan rakyat hari malam makan minum kedai kereta jalan cantik marah gembira tolong banyak
    sikit tengok dengar cakap really think people never always because something tomorrow nggak banget udah kayak gimana
    sama orang rumah sekolah harga minyak naik turun menteri polis doktor cuaca panas hujan banjir
"""
VOCABULARY = _WORDS.split()
GOOD = [
    {"id": "a", "text": "Harga minyak naik lagi, rakyat marah dengan kerajaan"},
    {"id": "b", "text": "Call saya di 012-345 6789 atau ali@contoh.com.my ya @abu", "split": "train"},
    {"id": "c", "text": 'dia kata "tak nak", lepas tu\npergi'},
    {"id": "d", "text": "🔥 Cafè baru kat Bangsar, sedap giler weh"},
]


def jsonl(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def take(engine: Engine, *paths: Path, source: str = "sumber", **more: Any) -> IngestReport:
    return ingest(engine, [str(path) for path in paths], SourceInfo(source), **({"workers": 0} | more))


def contents(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    """Everything that ingest stores, but for when and by which run."""
    t, s, b = store.Text, store.TextSource, store.MinhashBand
    wanted = {
        "text": select(t.id, t.body, t.masked, t.language, t.language_score, t.in_scope, t.duplicate_of).order_by(t.id),
        "text_source": select(store.Source.name, s.external_id, s.text_id, s.split)
        .join_from(s, store.Source, s.source_id == store.Source.id)
        .order_by(store.Source.name, s.external_id),
        "minhash_band": select(b.bucket, b.text_id).order_by(b.bucket, b.text_id),
    }
    with open_session(engine) as session:
        return {name: [tuple(row) for row in session.execute(query)] for name, query in wanted.items()}


def bodies(engine: Engine) -> set[str]:
    with open_session(engine) as session:
        return set(session.scalars(select(store.Text.body)))


def duplicates(engine: Engine) -> dict[str, str]:
    """Body of each near-duplicate, and of the text that it nearly equals."""
    found = {id_: (body, of) for id_, body, *_, of in contents(engine)["text"]}
    return {str(body): str(found[of][0]) for body, of in found.values() if of is not None}


def last_run(engine: Engine) -> store.Run:
    with open_session(engine) as session:
        return session.scalars(select(store.Run).order_by(store.Run.id.desc()).limit(1)).one()


def accounted(report: IngestReport) -> int:
    rejected = sum(report.rejected.values())
    return report.new + report.exact_duplicates + report.near_duplicates + report.present + rejected


def corpus(count: int, seed: int) -> list[dict[str, object]]:
    """Rows as a scrape has them: new, repeated, nearly repeated, foreign, and bad ones."""
    rng = random.Random(seed)
    rows: list[dict[str, object]] = []
    for i in range(count):
        words = rng.choices(VOCABULARY, k=rng.randint(1, 18))
        earlier = rng.choice(rows).get("text") if rows and rng.random() < 0.2 else None
        if isinstance(earlier, str):
            words = earlier.split()
            if rng.random() < 0.5 and len(words) > 8:
                words[rng.randrange(len(words))] = rng.choice(VOCABULARY)
        row: dict[str, object] = {
            "id": f"row-{i}",
            "text": " ".join(words),
            "split": rng.choice(("train", "test", None)),
        }
        if rng.random() < 0.01:
            row = rng.choice(({"id": f"row-{i}"}, row | {"text": "!!!"}, row | {"text": 7}, row | {"id": "row-0"}))
        rows.append(row)
    return rows


def as_jsonl(rows: Sequence[Mapping[str, object]]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def as_csv(rows: Sequence[Mapping[str, object]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, ("id", "text", "split"))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def as_parquet(rows: Sequence[Mapping[str, object]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in ("id", "text", "split")}), out)
    return out.getvalue()


def as_txt(rows: Sequence[Mapping[str, object]]) -> bytes:
    return "".join(f"{row['text']}\n" for row in rows).encode()


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


def damaged(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(100) + data[middle + 100 :]
