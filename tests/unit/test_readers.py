"""Rows of files in every format, and what is said of files that can't be read."""

from __future__ import annotations

import csv
import gzip
import io
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InputError
from pipeline.texts.readers import MAX_LINE, Format, RawRow, format_of, read_rows
from pipeline.texts.rejects import Reject

_TEXTS = ["satu", "dua, tiga", 'kata "dia"', "baris\nbaru", "ñandú 😀"]


def as_jsonl(texts: Sequence[str]) -> bytes:
    return b"".join(orjson.dumps({"id": str(i), "text": text}) + b"\n" for i, text in enumerate(texts))


def as_csv(texts: Sequence[str]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([("id", "text"), *((str(i), text) for i, text in enumerate(texts))])
    return out.getvalue().encode()


def as_parquet(texts: Sequence[str]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"id": [str(i) for i in range(len(texts))], "text": list(texts)}), out)
    return out.getvalue()


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


def damaged(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(200) + data[middle + 200 :]


def texts_of(path: Path) -> list[str]:
    form = format_of(str(path))
    found = []
    for row in read_rows(str(path), form):
        assert isinstance(row, RawRow)
        fields = row.payload if isinstance(row.payload, dict) else orjson.loads(row.payload)
        found.append(fields["text"])
    return found


def read(path: Path, form: Format) -> tuple[list[RawRow], list[Reject]]:
    rows = list(read_rows(str(path), form))
    return [r for r in rows if isinstance(r, RawRow)], [r for r in rows if isinstance(r, Reject)]


def refusal(path: Path | str, form: Format = Format.JSONL) -> str:
    with pytest.raises(InputError) as error:
        list(read_rows(str(path), form))
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


@pytest.mark.parametrize("make", [as_jsonl, as_csv, as_parquet])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
def test_every_format_gives_the_same_texts(
    tmp_path: Path, make: Callable[[Sequence[str]], bytes], pack: Callable[[bytes], bytes]
) -> None:
    ending = {as_jsonl: ".jsonl", as_csv: ".csv", as_parquet: ".parquet"}[make]
    if make is as_parquet:
        pack = bytes  # it is compressed inside
    path = tmp_path / f"texts{ending}"
    path.write_bytes(pack(make(_TEXTS)))
    assert texts_of(path) == _TEXTS


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
def test_lines_of_plain_text_are_rows(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes(pack("\ufeffsatu\r\n\n  \ndua 😀\ntiga".encode()))
    rows, rejects = read(path, Format.TXT)
    assert rows == [RawRow(1, b"satu"), RawRow(4, "dua 😀".encode()), RawRow(5, b"tiga")]
    assert rejects == []


def test_members_of_a_compressed_file_are_read_one_after_the_other(tmp_path: Path) -> None:
    for pack in (gzip.compress, zstd):
        path = tmp_path / "texts.jsonl"
        path.write_bytes(pack(as_jsonl(["satu"])) + pack(as_jsonl(["dua"])))
        assert texts_of(path) == ["satu", "dua"]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.jsonl", Format.JSONL),
        ("a.ndjson.gz", Format.JSONL),
        ("a.json", Format.JSONL),
        ("A.CSV.zst", Format.CSV),
        ("s3://bucket/a.pq", Format.PARQUET),
        ("v1.2/a.txt", Format.TXT),
    ],
)
def test_the_name_tells_the_format(name: str, form: Format) -> None:
    assert format_of(name) is form


@pytest.mark.parametrize("name", ["a.docx", "a", "folder/", "a.gz", "jsonl"])
def test_a_name_that_tells_no_format_is_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(InputError, match="--format"):
        format_of(name)


@pytest.mark.parametrize("form", list(Format))
def test_a_missing_file_and_a_folder_are_named(tmp_path: Path, form: Format) -> None:
    assert "no such file" in refusal(tmp_path / "absent", form)
    assert "is a folder" in refusal(tmp_path, form)


@pytest.mark.parametrize("form", [Format.JSONL, Format.CSV, Format.TXT])
def test_an_empty_file_has_no_rows(tmp_path: Path, form: Format) -> None:
    path = tmp_path / "empty"
    for content in (b"", gzip.compress(b""), zstd(b"")):
        path.write_bytes(content)
        assert list(read_rows(str(path), form)) == []


@pytest.mark.parametrize("form", [Format.JSONL, Format.CSV, Format.TXT])
def test_what_is_not_text_is_refused(tmp_path: Path, form: Format) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 40)
    assert "binary" in refusal(path, form)
    path.write_bytes(as_parquet(_TEXTS))
    assert "--format parquet" in refusal(path, form)


def test_what_is_not_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    whole = as_parquet(_TEXTS * 500)
    for content in (b"", as_jsonl(_TEXTS), whole[: len(whole) // 2], damaged(whole)):
        path.write_bytes(content)
        assert "Parquet" in refusal(path, Format.PARQUET)


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_compressed_data_that_is_cut_short_is_refused_after_what_it_holds(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "texts.jsonl"
    whole = pack(as_jsonl([f"teks nombor {i * 7919}" for i in range(50_000)]))
    path.write_bytes(whole[: len(whole) * 2 // 3])
    rows = []
    with pytest.raises(InputError, match=r"texts\.jsonl"):
        for row in read_rows(str(path), Format.JSONL):
            rows.append(row)
    assert len(rows) > 1000


def test_damaged_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl.gz"
    path.write_bytes(damaged(gzip.compress(as_jsonl([f"teks nombor {i * 7919}" for i in range(50_000)]))))
    assert "damaged" in refusal(path)


@pytest.mark.parametrize("form", [Format.JSONL, Format.TXT, Format.CSV])
def test_a_line_that_is_too_long_is_passed_over_and_not_held(tmp_path: Path, form: Format) -> None:
    path = tmp_path / "file"
    head = b"text\n" if form is Format.CSV else b""
    path.write_bytes(gzip.compress(head + b"satu\n" + b"x" * (10 * MAX_LINE) + b"\ndua\n" + b"y" * (2 * MAX_LINE)))
    tracemalloc.start()
    rows, rejects = read(path, form)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    first = 2 if form is Format.CSV else 1
    assert [row.line for row in rows] == [first, first + 2]
    assert [(reject.line, reject.reason) for reject in rejects] == [
        (first + 1, "line too long"),
        (first + 3, "line too long"),
    ]
    assert rejects[0].detail.startswith(str(10 * MAX_LINE + 1))
    assert peak < 9 * MAX_LINE


def test_ragged_rows_of_csv_are_rejected_by_line(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(b'id,text\n1,"dua\nbaris"\n2\n3,a,b\n\n4,baik\n')
    rows, rejects = read(path, Format.CSV)
    assert [row.payload for row in rows] == [{"id": "1", "text": "dua\nbaris"}, {"id": "4", "text": "baik"}]
    assert [row.line for row in rows] == [2, 7]
    assert [(reject.line, reject.reason) for reject in rejects] == [(4, "ragged row"), (5, "ragged row")]


def test_a_quote_that_is_never_closed_loses_no_more_than_one_long_row(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    lines = "".join(f"{i},baris nombor {i}\n" for i in range(200_000))
    path.write_text('id,text\n0,"terbuka\n' + lines)
    rows, rejects = read(path, Format.CSV)
    assert [(reject.line, reject.reason) for reject in rejects] == [(2, "not valid CSV")]
    assert len(rows) == 200_000


def test_a_growing_file_is_followed_until_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"satu\ndu")
    more = [b"a\nti", b"ga\n", b""]

    def grow() -> bool:
        if not more:
            return False
        with path.open("ab") as file:
            file.write(more.pop(0))
        return True

    assert [row.payload for row in read_rows(str(path), Format.TXT, follow=grow) if isinstance(row, RawRow)] == [
        b"satu",
        b"dua",
        b"tiga",
    ]
