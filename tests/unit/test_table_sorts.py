"""Tables as spreadsheets and programs write them: delimiter, encoding, lists of JSON, nested fields, stray quotes."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError, UsageError
from pipeline.texts.csv_fields import Dialect
from pipeline.texts.csv_rows import csv_rows
from pipeline.texts.fields import find
from pipeline.texts.layout import Layout
from pipeline.texts.prepare import Options, prepare
from pipeline.texts.readers import Format, RawRow, format_of, read_rows
from pipeline.texts.rejects import Reject
from pipeline.texts.unusable import why_unusable

_ROWS = [
    {"id": "1", "text": "Jalan sesak; elok guna jalan lain", "label": "safe"},
    {"id": "2", "text": "kau ni lambat, balik la", "label": "harassment"},
    {"id": "3", "text": "nasi lemak kafé ‘Mak’", "label": "safe"},
]


def read(path: Path, layout: Layout | None = None) -> tuple[list[dict[str, Any]], list[Reject]]:
    rows, rejects = [], []
    for row in read_rows(str(path), format_of(str(path)), layout=layout or Layout()):
        if isinstance(row, Reject):
            rejects.append(row)
        else:
            rows.append(row.payload if isinstance(row.payload, dict) else json.loads(row.payload))
    return rows, rejects


def table(delimiter: str) -> str:
    lines = [delimiter.join(_ROWS[0])]
    lines += [delimiter.join(f'"{v}"' if delimiter in v else v for v in row.values()) for row in _ROWS]
    return "\r\n".join(lines) + "\r\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_delimiter_and_encoding_are_found(tmp_path: Path, delimiter: str, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(table(delimiter).encode(encoding))
    assert read(path) == (_ROWS, [])


def test_the_line_in_which_excel_names_the_delimiter_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("sep=;\nid;text\n1;hujan, panas\n")
    assert read(path) == ([{"id": "1", "text": "hujan, panas"}], [])


def test_a_table_of_one_column_has_no_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\nhujan; panas\nbaik\n")
    assert read(path)[0] == [{"text": "hujan; panas"}, {"text": "baik"}]


def test_what_the_caller_says_of_the_layout_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("id:text\n1:caf\xe9, teh\n".encode("latin-1"))
    assert read(path, Layout(":", "latin-1")) == ([{"id": "1", "text": "café, teh"}], [])
    assert Layout("tab").delimiter == "\t"
    for wrong in (("::", None), ('"', None), (None, "utf-99")):
        with pytest.raises(UsageError, match=r"--delimiter|--encoding"):
            Layout(*wrong)


def test_utf8_with_a_damaged_row_is_not_taken_for_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"text": "café"}\n'.encode() + b'{"text": "caf\xe9"}\n')
    first, second = read_rows(str(path), Format.JSONL)
    assert isinstance(first, RawRow)
    assert isinstance(second, RawRow)
    assert "café".encode() in first.payload
    assert b"caf\xe9" in second.payload


def test_a_letter_that_the_first_bytes_cut_is_no_sign_of_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for before in range((1 << 16) - 20, (1 << 16) + 4):
        path.write_text("text\n" + "a" * before + "é\n", encoding="utf-8")
        assert read(path)[0][0]["text"][-2:] == "aé"


def test_quotes_after_a_backslash_are_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,text\n1,"Dia kata \\"jangan\\", lepas tu diam"\n2,"tanda ""biasa"" pun"\n3,baik\n')
    texts = [row["text"] for row in read(path)[0]]
    assert texts == ['Dia kata "jangan", lepas tu diam', 'tanda "biasa" pun', "baik"]


@pytest.mark.parametrize("indent", [None, 2])
def test_one_list_of_json_is_read_object_by_object(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "a.json"
    rows: list[Any] = [_ROWS[0], {"text": "x" * 70_000, "likes": float("nan")}, 7, _ROWS[2]]
    path.write_text(json.dumps(rows, indent=indent))
    found, rejects = read(path)
    assert [row["text"] for row in found] == [_ROWS[0]["text"], "x" * 70_000, _ROWS[2]["text"]]
    assert [(reject.line, reject.reason) for reject in rejects] == [(3, "not a JSON object")]


def test_objects_over_several_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("\n".join(json.dumps(row, indent=1) for row in _ROWS))
    assert read(path) == (_ROWS, [])


def test_a_list_that_is_cut_short_is_named_after_the_objects_before_the_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(_ROWS)[:-20])
    rows = []
    with pytest.raises(InputError, match="cut short after 2 objects"):
        for row in read_rows(str(path), Format.JSONL):
            rows.append(row)
    assert len(rows) == 2


def test_a_zip_archive_of_one_file_is_read_and_other_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("kerja/a.csv", table(";"))
        archive.writestr("__MACOSX/._a.csv", b"\0")
    assert read(path) == (_ROWS, [])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b.csv", "id")
    with pytest.raises(InputError, match=r"2 files \(kerja/a.csv, b.csv\): unpack it"):
        read(path)
    with zipfile.ZipFile(tmp_path / "a.csv", "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    with pytest.raises(InputError, match=r"workbook.*CSV UTF-8"):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_stray_quote_costs_its_own_row_only(tmp_path: Path, end: str) -> None:
    lines = [
        "id,text,label",
        "1,jalan sesak,safe",
        '2,"apa la dia ni,harassment',
        "3,terima kasih cikgu,safe",
        '4,"hujan, ribut",safe',
        '5,dia kata "ok" je,safe',
        '6,"ok" kata dia,safe',
        '7,"baris satu',
        'baris, ""dua"", tiga",safe',
        '8,skrin 5" baru,safe',
    ]
    path = tmp_path / "a.csv"
    path.write_bytes(end.join(lines).encode())
    rows, rejects = read(path)
    assert [(reject.line, reject.reason) for reject in rejects] == [(3, "not valid CSV")]
    assert {row["id"]: row["text"] for row in rows} == {
        "1": "jalan sesak",
        "3": "terima kasih cikgu",
        "4": "hujan, ribut",
        "5": 'dia kata "ok" je',
        "6": '"ok" kata dia',
        "7": f'baris satu{end}baris, "dua", tiga',
        "8": 'skrin 5" baru',
    }


def test_a_stray_quote_that_another_stray_quote_closes_glues_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        'text,label\nsatu,safe\n"apa la dia,harassment\ndua,safe\ntiga,safe\nkata "lebat",safe\nempat,safe\n'
    )
    rows, rejects = read(path)
    assert [reject.line for reject in rejects] == [3]
    assert [row["text"] for row in rows] == ["satu", "dua", "tiga", 'kata "lebat"', "empat"]


def test_a_post_of_several_lines_with_commas_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,text,label\n1,"senarai:\nayam, ikan, sotong\nsayur, buah, roti\ntamat",safe\n2,baik,safe\n')
    rows, rejects = read(path)
    assert not rejects
    assert [row["text"] for row in rows] == ["senarai:\nayam, ikan, sotong\nsayur, buah, roti\ntamat", "baik"]


def test_a_field_is_found_by_name_then_by_path() -> None:
    row = {"a.b": 1, "a": {"b": 2, "c": [{"d": 3}]}, "id": 5}
    assert [find(row, name) for name in ("a.b", "a.c.0.d", "a.x", "a.c.1.d")] == [1, 3, None, None]
    task = {"id": 5, "data": {"text": "hai", "id": 9}, "annotations": []}
    assert (find(task, "text"), find(task, "id")) == ("hai", 5)
    assert find({"data": {"text": "hai"}}, "text") is None


def prepared(*rows: object, **options: Any) -> Any:
    lines = [row if isinstance(row, (bytes, dict)) else json.dumps(row).encode() for row in rows]
    return prepare(range(1, len(rows) + 1), lines, path="a", name="a", options=Options(Format.JSONL, **options))


def test_what_nobody_reads_is_no_reason_to_lose_a_row() -> None:
    found = prepared(
        b'{"id": 1, "text": "kucing tidur atas meja", "likes": NaN}',
        b'{"id": 2, "text": "kucing tidur atas kerusi", "name": "abu \\ud83d", "n": -Infinity}',
        b'{"id": 3, "text": "lawak gila video semalam \\ud83d"}',
        b'{"id": 4, "text": "lawak gila video ni \\ud83d\\ude02"}',
        b'{"id": 5, "text": "lawak \\ud83d gila"}',
    )
    assert [row.body for row in found.rows] == [
        "kucing tidur atas meja",
        "kucing tidur atas kerusi",
        "lawak gila video semalam",
        "lawak gila video ni 😂",
    ]
    assert [(reject.line, reject.reason) for reject in found.rejects] == [(5, "not valid JSON")]


def test_ids_that_a_spreadsheet_has_rounded_do_not_name_rows() -> None:
    found = prepared({"id": "1.78E+18", "text": "jalan sesak"}, {"id": "1,7E+18", "text": "hujan lebat"}, {"id": "1E5"})
    assert [row.external_id for row in found.rows] == ["a:1", "a:2"]
    assert found.rounded_ids == 2


def test_of_an_unusable_file_the_columns_are_named_and_one_is_guessed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"no": 1, "isi aduan": "lampu jalan rosak sejak semalam", "x": {"y": 2}}\n')
    said = why_unusable([(str(path), Format.JSONL)], Layout(), "text", {"missing field": 1})
    assert said == (
        f"{path}: there is no column 'text'; its columns are 'no', 'isi aduan', 'x.y': perhaps --text-field "
        '"isi aduan"'
    )
    path.write_text('{"text": 5, "tweet": "hujan"}\n')
    said = why_unusable([(str(path), Format.JSONL)], Layout(), "text", {"text is not a string": 1})
    assert "none of its 1 rows can be used (1 text is not a string)" in said
    assert "perhaps --text-field tweet" in said


def test_columns_that_were_read_as_one_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "aduan.csv"
    path.write_text("No. Aduan;Teks Aduan;Tarikh\n1;lampu jalan rosak;2026\n")
    said = why_unusable([(str(path), Format.CSV)], Layout(delimiter=","), "Teks Aduan", {"missing field": 1})
    assert said == (
        f"{path}: there is no column 'Teks Aduan'; its only column is 'No. Aduan;Teks Aduan;Tarikh': separated by "
        "semicolons? Give --delimiter semicolon"
    )
    path.write_text("Aduan\nlampu jalan rosak\n")
    said = why_unusable([(str(path), Format.CSV)], Layout(), "text", {"missing field": 1})
    assert said.endswith("its columns are 'Aduan': perhaps --text-field Aduan")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.xlsx", b"PK", "Excel workbooks cannot be read: save it as 'CSV UTF-8' first"),
        ("a.ods", b"PK", "spreadsheets cannot be read: save it as 'CSV UTF-8' first"),
    ],
)
def test_a_workbook_is_named_with_what_to_do(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        format_of(str(path))
    assert str(caught.value) == f"{path}: {said}"


_CELLS = st.text(st.sampled_from('ab ,;"\n\r\\…'), max_size=12)


@given(st.lists(st.tuples(st.integers(0, 99).map(str), _CELLS, st.just("safe")), max_size=12), st.sampled_from(",;\t"))
def test_tables_that_programs_write_are_read_as_they_were(rows: list[tuple[str, str, str]], delimiter: str) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("id", "text", "label"), *rows])
    written.seek(0)
    found = csv_rows("a.csv", written, Dialect(delimiter), before=0, longest=10_000)
    assert [row if isinstance(row, Reject) else tuple(row[1].values()) for row in found] == rows
