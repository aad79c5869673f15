"""What leaves the store says nothing of what was masked in it."""

from __future__ import annotations

import hashlib
import json
import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow.parquet import read_table
from sqlalchemy import Engine

from pipeline.judgement import RaterKind, RaterRef
from pipeline.raters.imported import import_labelled
from pipeline.raters.mapping import load_mapping
from pipeline.sharing.dataset_export import export_dataset
from pipeline.store import make_engine, open_session
from pipeline.store.public_ids import PublicIds
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.ingest import SourceInfo
from pipeline.texts.normalise import text_id
from tests.support.store import new_database

_TAXONOMY = load_taxonomy()


@pytest.fixture
def other_engine(server_url: str, template: str) -> Iterator[Engine]:
    """A second store."""
    with new_database(server_url, template) as url:
        made = make_engine(url)
        yield made
        made.dispose()


def _exported(engine: Engine, out: Path) -> list[dict[str, object]]:
    export_dataset(engine, _TAXONOMY, out, key=b"k" * 32)
    return [row for file in sorted(out.glob("data/*")) for row in read_table(file).to_pylist()]


def _import(engine: Engine, folder: Path, texts: list[str]) -> None:
    path = folder / "given.jsonl"
    rows = [{"id": str(i), "text": one, "labels": ["hate"]} for i, one in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    who = RaterRef(RaterKind.EXTERNAL, "given")
    meaning = load_mapping(None, _TAXONOMY, "labels")
    source = SourceInfo("given", "CC-BY-4.0")
    import_labelled(engine, [str(path)], source, meaning, who, languages=("ms", "id", "en"))


def test_a_masked_number_cannot_be_found_by_trying(engine: Engine, tmp_path: Path) -> None:
    whole = "siapa nak beli kereta lama saya telefon 012-345 6789 cepat sikit"
    _import(engine, tmp_path, [whole])
    [row] = _exported(engine, tmp_path / "out")
    assert "6789" not in str(row["text"])
    # the number itself is among those that are tried
    tried = {whole, str(row["text"])} | {whole.replace("6789", f"{end:04}") for end in range(10_000)}
    ids = {str(text_id(one)) for one in tried}
    ids |= {str(uuid.UUID(bytes=hashlib.blake2b(one.encode(), digest_size=16).digest())) for one in tried}
    assert row["id"] not in ids


def test_ids_are_the_same_in_every_export_and_other_in_another_store(
    engine: Engine, other_engine: Engine, tmp_path: Path
) -> None:
    texts = [f"kedai {word} di hujung jalan itu tutup awal hari {word}" for word in ("kopi", "kasut", "gitar", "buku")]
    found = []
    for number, store in enumerate((engine, engine, other_engine)):
        (tmp_path / str(number)).mkdir()
        _import(store, tmp_path / str(number), texts)
        found.append({str(row["text"]): row["id"] for row in _exported(store, tmp_path / str(number) / "out")})
    first, second, other = found
    assert first == second and len(first) == len(texts)
    assert not set(first.values()) & set(other.values())


def test_rows_do_not_come_in_the_order_of_the_texts_own_ids(engine: Engine, tmp_path: Path) -> None:
    words = [
        "durian",
        "kerusi",
        "payung",
        "basikal",
        "lampu",
        "tikar",
        "pinggan",
        "jendela",
        "kasut",
        "gitar",
        "pagi",
        "petang",
        "kedai",
        "jalan",
        "hujan",
    ]
    texts = [f"semalam {' '.join(random.Random(number).sample(words, 8))} {number}" for number in range(60)]
    _import(engine, tmp_path, texts)
    rows = [row for row in _exported(engine, tmp_path / "out") if row["split"] == "train"]
    with open_session(engine) as session:
        ids = PublicIds.of_store(session)
    own = [ids.text_id(uuid.UUID(str(row["id"]))) for row in rows]
    assert len(own) > 10
    assert own != sorted(own)
    assert [row["id"] for row in rows] == sorted(str(row["id"]) for row in rows)
