"""Cost of an export beside a plain dump, and cost of an exploration.

Writes made-up texts with verdicts of a data set, two language models and people into a store of their own, and prints
JSON lines:

- `dump`: the peer. The same texts and the judgements on them, read by one query in order and written by pyarrow as they
  come: no resolving, no licences, no splits, no look for near-duplicates.
- `export`: `saring dataset export`.
- `explore`: `saring explore`, without its map (which takes as long as UMAP takes for the points that are asked for).

    python benchmarks/dataset_export.py --texts 20000
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from _measure import emit, measured, temporary_store
from sqlalchemy import Engine, insert, select

from pipeline import store
from pipeline.explore.explore import explore
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.sharing.dataset_export import export_dataset
from pipeline.store.session import open_session
from pipeline.taxonomy import Taxonomy, load_taxonomy
from pipeline.texts.normalise import text_id

_WORDS = tuple(
    """pagi petang malam kedai jalan sekolah hujan panas kereta rumah kawan jiran pasar ikan ayam nasi roti kopi teh
    bola gol pasukan lagu filem cerita guru murid buku harga mahal murah kerja cuti gaji bas lori masjid kampung bandar
    sungai""".split()  # noqa: SIM905
)
_BATCH = 5_000


def plant(engine: Engine, taxonomy: Taxonomy, texts: int) -> None:
    """Texts of one open source: each judged by a data set, half by two models, a tenth by a person."""
    draw = random.Random(8)
    raters = [
        (RaterRef(RaterKind.EXTERNAL, "made up"), 1.0),
        (RaterRef(RaterKind.LLM, "one", "1"), 0.5),
        (RaterRef(RaterKind.LLM, "two", "1"), 0.5),
        (RaterRef(RaterKind.HUMAN, "label-studio", "7"), 0.1),
    ]
    with open_session(engine) as session, session.begin():
        source = session.execute(
            insert(store.Source).values(name="made up", licence="CC0-1.0").returning(store.Source.id)
        ).scalar_one()
        for start in range(0, texts, _BATCH):
            bodies = [
                " ".join(draw.choices(_WORDS, k=draw.randint(6, 30))) + f" {i}"
                for i in range(start, min(start + _BATCH, texts))
            ]
            ids = {text_id(body): body for body in bodies}
            session.execute(
                insert(store.Text), [{"id": i, "body": b, "masked": b, "language": "ms"} for i, b in ids.items()]
            )
            session.execute(
                insert(store.TextSource),
                [{"source_id": source, "external_id": str(i), "text_id": i, "run_id": 0} for i in ids],
            )
            for who, share in raters:
                verdicts = [
                    NewJudgement(i, frozenset({draw.choice(taxonomy.keys)}), frozenset())
                    for i in ids
                    if draw.random() < share
                ]
                record(session, rater_id(session, who), verdicts, taxonomy_version=taxonomy.version)


def dump(engine: Engine, path: Path) -> int:
    """The texts with their judgements as they lie there; the rows."""
    t, j, r = store.Text, store.Judgement, store.Rater
    query = (
        select(t.id, t.masked, t.language, r.kind, r.name, j.asserted, j.denied)
        .join(j, j.text_id == t.id)
        .join(r, r.id == j.rater_id)
        .where(t.in_scope, t.duplicate_of.is_(None))
        .order_by(t.id, j.id)
    )
    names = ("id", "text", "lang", "kind", "name", "labels", "not_labels")
    strings = pa.list_(pa.string())
    types = (*[pa.string()] * 5, strings, strings)
    schema = pa.schema(list(zip(names, types, strict=True)))
    rows = 0
    with open_session(engine) as session, pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in session.execute(query, execution_options={"yield_per": _BATCH}).partitions():
            columns = list(zip(*part, strict=True))
            columns[0] = tuple(str(value) for value in columns[0])
            columns[3] = tuple(str(value) for value in columns[3])
            writer.write_table(pa.table([pa.array(c, k) for c, k in zip(columns, types, strict=True)], schema=schema))
            rows += len(part)
    return rows


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=20_000)
    texts = parser.parse_args().texts
    taxonomy = load_taxonomy()
    with temporary_store() as (engine, postgres), tempfile.TemporaryDirectory() as folder:
        plant(engine, taxonomy, texts)
        with measured(postgres) as took:
            judgements = dump(engine, Path(folder) / "dump.parquet")
        peer = took.seconds
        emit(
            "dump",
            {
                "texts": texts,
                "judgements": judgements,
                "seconds": peer,
                "texts_per_second": texts / peer,
                "peak_rss_mb": took.peak_rss_mb,
            },
        )
        with measured(postgres) as took:
            report = export_dataset(engine, taxonomy, Path(folder) / "set", key=bytes(32))
        emit(
            "export",
            {
                "texts": texts,
                "rows": report.counts["rows"],
                "seconds": took.seconds,
                "texts_per_second": texts / took.seconds,
                "times_the_dump": took.seconds / peer,
                "peak_rss_mb": took.peak_rss_mb,
            },
        )
        with measured(postgres) as took:
            exploration = explore(engine, taxonomy, encoder="none", points=0)
        emit(
            "explore",
            {
                "texts": texts,
                "judged": exploration.judged,
                "seconds": took.seconds,
                "texts_per_second": texts / took.seconds,
                "times_the_dump": took.seconds / peer,
                "peak_rss_mb": took.peak_rss_mb,
            },
        )


if __name__ == "__main__":
    main()
