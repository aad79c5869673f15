"""Ingest over a real PostgreSQL: good rows in once, bad rows named by line and reason."""

from __future__ import annotations

import gzip
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import orjson
import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import InputError
from pipeline.store import make_engine, open_session
from pipeline.store.migrate import upgrade
from pipeline.store.tables.core import RunState
from pipeline.texts.ingest import SourceInfo, ingest
from pipeline.texts.masking import mask
from pipeline.texts.normalise import text_id
from pipeline.texts.prepare import PreparedText
from pipeline.texts.readers import MAX_LINE
from tests.support.rows import (
    GOOD,
    VOCABULARY,
    accounted,
    as_csv,
    as_jsonl,
    as_parquet,
    as_txt,
    bodies,
    contents,
    corpus,
    damaged,
    duplicates,
    jsonl,
    last_run,
    take,
    zstd,
)

_SECRET = "RAHSIA"


@pytest.fixture
def second(empty_database_url: str) -> Iterator[Engine]:
    """Another store, empty as the first."""
    engine = make_engine(empty_database_url)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.mark.parametrize(
    ("name", "make", "pack"),
    [
        ("t.jsonl", as_jsonl, bytes),
        ("t.jsonl.gz", as_jsonl, gzip.compress),
        ("t.jsonl.zst", as_jsonl, zstd),
        ("t.csv", as_csv, bytes),
        ("t.csv.gz", as_csv, gzip.compress),
        ("t.csv.zst", as_csv, zstd),
        ("t.parquet", as_parquet, bytes),
    ],
)
def test_every_format_gives_the_same_store(
    engine: Engine,
    second: Engine,
    tmp_path: Path,
    name: str,
    make: Callable[[Sequence[Mapping[str, object]]], bytes],
    pack: Callable[[bytes], bytes],
) -> None:
    path = tmp_path / name
    path.write_bytes(pack(make(GOOD)))
    report = take(engine, path)
    assert (report.rows, report.new, report.rejected) == (4, 4, {})
    take(second, jsonl(tmp_path / "reference.jsonl", GOOD))
    assert contents(engine) == contents(second)
    assert [row[1:] for row in contents(engine)["text_source"]] == [
        (row["id"], text_id(row["text"]), row.get("split")) for row in GOOD
    ]


@pytest.mark.parametrize(("name", "pack"), [("t.txt", bytes), ("t.txt.gz", gzip.compress), ("t.txt.zst", zstd)])
def test_lines_of_plain_text_are_known_by_file_and_line(
    engine: Engine, tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    rows = [row for row in GOOD if "\n" not in row["text"]]
    path = tmp_path / name
    path.write_bytes(pack(as_txt(rows)))
    assert take(engine, path).new == len(rows)
    assert bodies(engine) == {row["text"] for row in rows}
    assert [row[1] for row in contents(engine)["text_source"]] == [f"{name}:{line}" for line in (1, 2, 3)]


def test_bad_rows_are_counted_and_named_by_line_and_never_quoted(engine: Engine, tmp_path: Path) -> None:
    lines: list[tuple[bytes, str | None]] = [
        (b'{"id": "1", "text": "baris yang baik untuk disimpan"}', None),
        (f"{_SECRET} bukan JSON".encode(), "not valid JSON"),
        (f'["{_SECRET}"]'.encode(), "not a JSON object"),
        (f'"{_SECRET}"'.encode(), "not a JSON object"),
        (f'{{"id": "2", "teks": "{_SECRET}"}}'.encode(), "missing field"),
        (b'{"id": "3", "text": null}', "empty text"),
        (b'{"id": "4", "text": "   "}', "empty text"),
        (f'{{"id": "5", "text": ["{_SECRET}"]}}'.encode(), "text is not a string"),
        (b'{"id": "6", "text": "!!! ???"}', "no words"),
        (b'{"id": "7", "text": "@abu https://t.co/x"}', "only addresses and numbers"),
        (b'{"id": "7a", "text": "2024, 15.30"}', "only addresses and numbers"),
        (f'{{"id": "8", "text": "{_SECRET} \\ud800 separuh"}}'.encode(), "not valid JSON"),
        (f'{{"id": "9", "text": "{_SECRET} caf'.encode() + b'\xe9"}', "not UTF-8"),
        (f'{{"id": "10", "text": "{_SECRET} '.encode() + b"\xff\xfeb\x00" + b'"}', "not UTF-8"),
        (f'{{"id": "11", "text": "{_SECRET} '.encode() + b'\0"}', "not valid JSON"),
        (b'{"id": "12", "text": "sifar \\u0000 di tengah ayat"}', None),
        (f'{{"id": "13", "text": "{_SECRET} {"x" * (10 << 20)}"}}'.encode(), "line too long"),
        (f'{{"id": "14", "text": "{_SECRET} {"kata " * 5000}"}}'.encode(), "text too long"),
        (f'{{"id": "1", "text": "{_SECRET} nama yang sama bagi teks lain"}}'.encode(), "id already names another text"),
        (b'{"id": "1", "text": "baris yang baik  untuk disimpan"}', None),
        (f'{{"id": "{"9" * 3000}", "text": "{_SECRET}"}}'.encode(), "id too long"),
        (b'{"text": "baris tanpa nama"}', None),
        (b'{"id": 17, "text": "nama yang berupa nombor"}', None),
        (b'{"id": "18", "text": "baris terakhir tanpa hujung"', "not valid JSON"),
    ]
    path = tmp_path / "campur.jsonl"
    path.write_bytes(b"\n".join(line for line, _ in lines))
    report = take(engine, path, rejects_dir=tmp_path / "rejects")

    expected = [(number, reason) for number, (_, reason) in enumerate(lines, 1) if reason is not None]
    assert report.rejected == Counter(reason for _, reason in expected)
    assert report.rows == accounted(report) == len(lines)
    assert bodies(engine) == {
        "baris yang baik untuk disimpan",
        "sifar di tengah ayat",
        "baris tanpa nama",
        "nama yang berupa nombor",
    }
    assert {row[1] for row in contents(engine)["text_source"]} == {"1", "12", "campur.jsonl:22", "17"}
    assert report.rejects_file is not None
    written = Path(report.rejects_file).read_bytes()
    rejects = [orjson.loads(line) for line in written.splitlines()]
    assert [(reject["line"], reject["reason"]) for reject in rejects] == expected
    assert {reject["file"] for reject in rejects} == {str(path)}
    assert _SECRET.encode() not in written
    run = last_run(engine)
    assert run.state is RunState.DONE
    assert run.counts["rejected"] == report.rejected


def test_bad_rows_of_csv_are_named_too(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "campur.csv"
    path.write_bytes(
        b"id,text\n1,teks pertama yang baik\n2\n3,satu,dua\n4,caf\xe9 \n\xff5,nama rosak\n6,"
        + b"x" * (2 * MAX_LINE)
        + b'\n7,"baris satu\nbaris dua"\n8,\n'
    )
    report = take(engine, path)
    assert report.rejected == {"ragged row": 2, "not UTF-8": 2, "line too long": 1, "empty text": 1}
    assert report.rows == accounted(report) == 8
    assert bodies(engine) == {"teks pertama yang baik", "baris satu\nbaris dua"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("binari.jsonl", bytes(range(256)) * 20, "binary"),
        ("rosak.jsonl.gz", damaged(gzip.compress(as_jsonl(GOOD * 100))), "damaged"),
        ("potong.jsonl.gz", gzip.compress(as_jsonl(GOOD * 100))[:-20], "damaged or incomplete"),
        ("potong.jsonl.zst", zstd(as_jsonl(GOOD * 100))[:-20], "Truncated"),
        ("bukan.parquet", b"bukan parquet", "Parquet"),
        ("kosong.parquet", b"", "Parquet"),
        ("jadual.xlsx", b"PK", "CSV UTF-8"),
        ("tiada.jsonl", None, "no such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_in_one_line(
    engine: Engine, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=said) as error:
        take(engine, path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert contents(engine)["text"] == []


def test_a_folder_is_named(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "folder.jsonl"
    folder.mkdir()
    with pytest.raises(InputError, match="folder"):
        take(engine, folder)
    assert last_run(engine).state is RunState.FAILED


def test_an_empty_file_is_nothing_wrong(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "kosong.jsonl"
    path.touch()
    report = take(engine, path, rejects_dir=tmp_path / "rejects")
    assert (report.rows, report.rejected, report.rejects_file) == (0, {}, None)
    assert not (tmp_path / "rejects").exists()


def test_counts_add_up_to_the_rows_and_to_the_store(engine: Engine, tmp_path: Path) -> None:
    report = take(engine, jsonl(tmp_path / "a.jsonl", corpus(3_000, seed=4)))
    found = contents(engine)
    assert report.rows == accounted(report) == 3_000
    assert min(report.new, report.exact_duplicates, report.near_duplicates, *report.rejected.values()) > 0
    assert len(found["text"]) == report.new + report.near_duplicates == sum(report.languages.values())
    assert len(found["text_source"]) == report.new + report.near_duplicates + report.exact_duplicates
    assert len(duplicates(engine)) == report.near_duplicates


def test_reading_a_file_twice_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", corpus(2_000, seed=5))
    first = take(engine, path)
    before = contents(engine)
    again = take(engine, path)
    assert contents(engine) == before
    assert again.rejected == first.rejected
    assert again.present == again.rows - sum(again.rejected.values())
    assert (again.new, again.exact_duplicates, again.near_duplicates) == (0, 0, 0)


def test_a_text_seen_in_two_sources_is_one_text_with_two_sightings(engine: Engine, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", GOOD)
    take(engine, path)
    other = take(engine, path, source="lain")
    assert (other.new, other.exact_duplicates) == (0, 4)
    found = contents(engine)
    assert len(found["text"]) == 4
    assert Counter(row[0] for row in found["text_source"]) == {"sumber": 4, "lain": 4}


def test_what_is_told_of_a_source_later_completes_what_was_told_first(engine: Engine, tmp_path: Path) -> None:
    path = str(jsonl(tmp_path / "a.jsonl", GOOD))
    ingest(engine, [path], SourceInfo("s", url="https://contoh.my"), workers=0)
    ingest(engine, [path], SourceInfo("s", licence="CC0", redistributable=True), workers=0)
    with open_session(engine) as session:
        [source] = session.scalars(select(store.Source))
    assert (source.licence, source.url, source.redistributable) == ("CC0", "https://contoh.my", True)


def test_near_duplicates_are_found_in_other_files_and_runs_and_never_form_a_chain(
    engine: Engine, tmp_path: Path
) -> None:
    first = "Promosi hujung minggu: beli satu percuma satu untuk semua barangan dapur di kedai kami, datang sekarang"
    second = first.replace("Promosi", "PROMOSI").replace("sekarang", "sekarang juga") + "!!! https://kedai.my/x"
    third = second.replace("juga", "juga ya")
    unlike = "Cuaca hari ini panas betul, dekat kampung saya langsung tak ada angin sejak pagi"
    take(engine, *(jsonl(tmp_path / f"{i}.jsonl", [{"text": one}]) for i, one in enumerate((first, second))))
    report = take(engine, jsonl(tmp_path / "2.jsonl", [{"text": third}, {"text": unlike}]), source="lain")
    assert (report.new, report.near_duplicates) == (1, 1)
    assert duplicates(engine) == {second: first, third: first}


def test_a_crowd_of_texts_made_from_one_pattern_is_still_told_apart(engine: Engine, tmp_path: Path) -> None:
    rng = random.Random(6)
    pattern = (
        "Tahniah anda pemenang bertuah, sila hubungi kaunter kami untuk menuntut hadiah berupa {} dengan kadar segera"
    )
    rows = [{"text": pattern.format(" ".join(rng.choices(VOCABULARY, k=9)))} for _ in range(500)]
    copies = [{"text": row["text"].upper() + "!"} for row in rows]
    report = take(engine, jsonl(tmp_path / "a.jsonl", rows), jsonl(tmp_path / "b.jsonl", copies))
    assert report.rows == accounted(report)
    found = {id_: of for id_, *_, of in contents(engine)["text"]}
    assert all(of is None or found[of] is None for of in found.values())
    assert all(found[text_id(row["text"])] is not None for row in copies)


def test_personal_data_is_kept_out_of_what_people_see(engine: Engine, tmp_path: Path) -> None:
    secrets = ["012-345 6789", "ali@contoh.com.my", "@abu_bakar", "900101-14-5566", "https://t.co/abc123"]
    rows = [{"text": f"ini data peribadi orang: {secret} jangan sebar"} for secret in secrets]
    take(engine, jsonl(tmp_path / "a.jsonl", [*rows, {"text": "ayat biasa tanpa apa-apa"}]))
    with open_session(engine) as session:
        texts = session.scalars(select(store.Text)).all()
    masked = "\n".join(found.masked for found in texts)
    assert not any(secret in masked for secret in secrets)
    assert all(any(secret in found.body for found in texts) for secret in secrets)
    assert all(found.masked == mask(found.body) for found in texts)


def test_texts_in_other_languages_are_kept_out_of_scope(engine: Engine, tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "a.jsonl", [{"text": "今天天气很好"}, {"text": "korang nak pergi mana"}, {"text": "ᚠᚢᚦ 345 6"}]
    )
    report = take(engine, path, languages=("ms",))
    assert report.out_of_scope == 1
    assert report.languages == {"zh": 1, "ms": 1, "unknown": 1}
    with open_session(engine) as session:
        outside = session.scalars(select(store.Text.body).where(~store.Text.in_scope)).all()
    assert outside == ["今天天气很好"]


def test_fields_are_called_as_the_file_calls_them(engine: Engine, tmp_path: Path) -> None:
    rows = [{"nombor": 5, "kandungan": "teks di medan lain", "bahagian": "validation"}]
    take(engine, jsonl(tmp_path / "a.jsonl", rows), text_field="kandungan", id_field="nombor", split_field="bahagian")
    assert contents(engine)["text_source"] == [("sumber", "5", text_id("teks di medan lain"), "dev")]


def test_more_can_be_stored_with_a_batch_and_fails_with_it(engine: Engine, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [row | {"labels": ["hate"], "rest": 1} for row in GOOD])
    seen: list[tuple[object, ...]] = []

    def note(session: Session, run: int, rows: Sequence[PreparedText]) -> None:
        stored = set(session.scalars(select(store.Text.id)))
        seen.extend((run, row.id in stored, row.external_id, dict(row.fields)["labels"]) for row in rows)

    def refuse(session: Session, run: int, rows: Sequence[PreparedText]) -> None:
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        take(engine, path, keep=("labels",), on_written=refuse)
    assert contents(engine)["text"] == []
    report = take(engine, path, keep=("labels",), on_written=note)
    assert seen == [(report.run, True, row["id"], ["hate"]) for row in GOOD]


def test_rows_of_a_growing_file_are_stored_as_they_come(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("baris pertama\n")
    more = ["baris kedua\n", "baris ketiga\n"]
    seen: list[int] = []

    def follow() -> bool:
        seen.append(len(contents(engine)["text"]))
        if not more:
            return False
        with path.open("a") as file:
            file.write(more.pop(0))
        return True

    report = take(engine, path, follow=follow, workers=1)
    assert seen == [1, 2, 3]
    assert report.new == 3
