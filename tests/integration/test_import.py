"""Import over a real PostgreSQL: labelled rows become texts and judgements; yes, no and unknown stay apart."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.errors import InputError
from pipeline.judgement import RaterKind, RaterRef, Tier
from pipeline.ledger.book import Recorded, judgements_by_text
from pipeline.ledger.resolve import resolve
from pipeline.raters.imported import ImportReport, import_labelled
from pipeline.raters.mapping import load_mapping
from pipeline.store import open_session
from pipeline.taxonomy import Taxonomy, load_taxonomy
from pipeline.texts.ingest import SourceInfo

_KIND = RaterKind.EXTERNAL
_CORPUS = RaterRef(_KIND, "korpus")
_ROWS = [
    {"id": "a", "text": "benci betul aku tengok puak tu", "labels": ["hate"], "not_labels": ["porn"]},
    {"id": "b", "text": "jadual bas petang ini berubah", "labels": ["safe for work", "informative"], "split": "test"},
    {"id": "c", "text": "siapa yang calar kereta aku siap la", "not_labels": ["safe for work"], "split": "train"},
    {"id": "d", "text": "entah apa benda yang dia cakap ni"},
]


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


class Importer:
    """Writes rows to a file and imports it."""

    def __init__(self, engine: Engine, taxonomy: Taxonomy, folder: Path) -> None:
        self.engine, self.taxonomy, self.folder = engine, taxonomy, folder

    def take(
        self,
        rows: Sequence[Mapping[str, object]],
        *,
        name: str = "rows.jsonl",
        source: SourceInfo | None = None,
        rater: RaterRef = _CORPUS,
        labels_field: str = "labels",
        mapping: str | None = None,
        **more: Any,
    ) -> ImportReport:
        path = self.folder / name
        if path.suffix == ".csv":
            with path.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.DictWriter(stream, list(dict.fromkeys(key for row in rows for key in row)))
                writer.writeheader()
                writer.writerows(rows)
        else:
            path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        map_file = None
        if mapping is not None:
            map_file = self.folder / "map.yaml"
            map_file.write_text(mapping, encoding="utf-8")
        return import_labelled(
            self.engine,
            [str(path)],
            source or SourceInfo("korpus"),
            load_mapping(map_file, self.taxonomy, labels_field),
            rater,
            **more,
        )

    def ledger(self) -> dict[str, list[tuple[str, set[str], set[str], int]]]:
        """Of each row's id: revision by revision what was said of it."""
        with open_session(self.engine) as session:
            j = store.Judgement
            found: dict[str, list[tuple[str, set[str], set[str], int]]] = {}
            for row in session.scalars(select(j).order_by(j.id)):
                source, id_ = row.external_ref.split(":", 1)
                found.setdefault(id_, []).append((source, set(row.asserted), set(row.denied), row.revision))
            return found

    def believed(self) -> dict[str, dict[str, bool | None]]:
        """Of each text: what is believed of its labels."""
        with open_session(self.engine) as session:
            bodies = {row[0]: row[1] for row in session.execute(select(store.Text.id, store.Text.body))}
            return {
                bodies[id_]: {label: one.value for label, one in resolve(judgements).items()}
                for id_, judgements in judgements_by_text(session)
            }


@pytest.fixture
def importer(engine: Engine, taxonomy: Taxonomy, tmp_path: Path) -> Importer:
    return Importer(engine, taxonomy, tmp_path)


def test_positive_negative_and_unknown_are_kept_apart(importer: Importer, taxonomy: Taxonomy) -> None:
    report = importer.take(_ROWS)
    assert importer.ledger() == {
        "a": [("korpus", {"hate"}, {"porn"}, 0)],
        "b": [("korpus", {"safe for work", "informative"}, set(), 0)],
        "c": [("korpus", set(), {"safe for work"}, 0)],
    }
    assert (report.texts.new, report.judgements, report.silent_rows) == (4, Recorded(new=3), 1)
    assert report.asserted == {"hate": 1, "safe for work": 1, "informative": 1}
    assert report.denied == {"porn": 1, "safe for work": 1}
    assert not report.unknown_values
    believed = importer.believed()
    assert believed[_ROWS[0]["text"]] == {"hate": True, "porn": False}
    assert "violence" not in believed[_ROWS[2]["text"]]
    with open_session(importer.engine) as session:
        assert set(session.scalars(select(store.Judgement.taxonomy_version))) == {taxonomy.version}


def test_the_rater_decides_how_far_it_is_trusted(importer: Importer) -> None:
    importer.take(_ROWS[:1], rater=RaterRef(RaterKind.LLM, "m"))
    importer.take([{**_ROWS[0], "labels": [], "not_labels": ["hate"]}], rater=RaterRef(RaterKind.HUMAN, "aisyah"))
    with open_session(importer.engine) as session:
        [(_, judgements)] = judgements_by_text(session)
    assert {judgement.rater for judgement in judgements} == {
        RaterRef(RaterKind.LLM, "m"),
        RaterRef(RaterKind.HUMAN, "aisyah"),
    }
    decision = resolve(judgements)["hate"]
    assert (decision.value, decision.tier) == (False, Tier.GOLD)


def test_licence_and_split_are_kept(importer: Importer) -> None:
    importer.take(_ROWS, source=SourceInfo("korpus", "CC-BY-4.0", "https://example.com/korpus"))
    with open_session(importer.engine) as session:
        source = session.scalars(select(store.Source)).one()
        splits = {
            row[0]: row[1] for row in session.execute(select(store.TextSource.external_id, store.TextSource.split))
        }
    assert (source.name, source.licence, source.url) == ("korpus", "CC-BY-4.0", "https://example.com/korpus")
    assert not source.redistributable
    assert splits == {"a": None, "b": "test", "c": "train", "d": None}


def test_labels_outside_the_taxonomy_are_reported_and_left_out(importer: Importer, taxonomy: Taxonomy) -> None:
    rows = [
        {"id": "1", "text": "gembira betul hari ni kawan", "labels": ["happiness", "safe for work"]},
        {"id": "2", "text": "semalam pergi kedai beli roti", "labels": ["happiness"], "not_labels": ["sadness"]},
        {"id": "3", "text": "puak tu memang menyusahkan orang", "labels": ["Hate Speech"]},
    ]
    report = importer.take(rows)
    assert report.unknown_values == {"happiness": 2, "sadness": 1}
    assert (report.silent_rows, report.texts.new) == (1, 3)
    assert importer.ledger() == {
        "1": [("korpus", {"safe for work"}, set(), 0)],
        "3": [("korpus", {"hate"}, set(), 0)],
    }
    with open_session(importer.engine) as session:
        said = {label for row in session.scalars(select(store.Judgement)) for label in (*row.asserted, *row.denied)}
    assert said <= set(taxonomy.keys)


def test_a_mapping_gives_a_data_sets_values_their_meaning(importer: Importer) -> None:
    rows = [
        {"tweet": "puak tu memang sampah masyarakat", "HS": 1, "HS_Race": 0, "id": "1"},
        {"tweet": "kaum tu kaki kedekut jangan harap", "HS": 1, "HS_Race": 1, "id": "2"},
        {"tweet": "cuaca hari ini baik sekali", "HS": 0, "HS_Race": 0, "id": "3"},
        {"tweet": "ini baris yang rosak labelnya", "HS": 7, "HS_Race": "", "id": "4"},
    ]
    mapping = """
        values: {1: {assert: [hate], deny: [safe for work]}, 0: {deny: [hate]}}
        fields: {HS_Race: {1: {assert: [racist]}, 0: {deny: [racist]}}}
    """
    for name in ("rows.csv", "rows.jsonl"):
        report = importer.take(rows, name=name, labels_field="HS", mapping=mapping, text_field="tweet")
        assert report.unknown_values == {"7": 1}
        assert report.silent_rows == 1
    # the same of both files
    assert report.judgements == Recorded(repeated=3)
    assert importer.ledger() == {
        "1": [("korpus", {"hate"}, {"safe for work", "racist"}, 0)],
        "2": [("korpus", {"hate", "racist"}, {"safe for work"}, 0)],
        "3": [("korpus", set(), {"hate", "racist"}, 0)],
    }


def test_importing_twice_adds_nothing(importer: Importer) -> None:
    importer.take(_ROWS)
    before = importer.ledger()
    again = importer.take(_ROWS)
    assert importer.ledger() == before
    assert again.judgements == Recorded(repeated=3)
    assert (again.texts.new, again.texts.present) == (0, 4)
    with open_session(importer.engine) as session:
        assert len(session.scalars(select(store.Text)).all()) == 4
        assert len(session.scalars(select(store.Rater)).all()) == 1


def test_a_corrected_file_makes_revisions_of_what_changed(importer: Importer) -> None:
    importer.take(_ROWS)
    corrected = [{**_ROWS[0], "labels": ["racist"]}, *_ROWS[1:3], {**_ROWS[3], "labels": ["informative"]}]
    report = importer.take(corrected)
    assert report.judgements == Recorded(new=1, revised=1, repeated=2)
    ledger = importer.ledger()
    assert ledger["a"] == [("korpus", {"hate"}, {"porn"}, 0), ("korpus", {"racist"}, {"porn"}, 1)]
    assert ledger["b"] == [("korpus", {"safe for work", "informative"}, set(), 0)]
    assert importer.believed()[_ROWS[0]["text"]] == {"racist": True, "porn": False}


def test_a_row_that_says_nothing_any_more_takes_back_what_it_said(importer: Importer) -> None:
    importer.take(_ROWS)
    report = importer.take([{**_ROWS[0], "labels": [], "not_labels": []}, *_ROWS[1:]])
    assert report.judgements.revised == 1
    assert not importer.believed()[_ROWS[0]["text"]]
    importer.take(_ROWS)
    assert importer.believed()[_ROWS[0]["text"]] == {"hate": True, "porn": False}


def test_a_row_that_takes_an_id_for_another_text_is_rejected(importer: Importer) -> None:
    rows = [_ROWS[0], {**_ROWS[1], "id": "a"}, _ROWS[2]]
    report = importer.take(rows)
    assert report.texts.rejected == {"id already names another text": 1}
    assert report.judgements == Recorded(new=2)
    assert set(importer.ledger()) == {"a", "c"}
    assert _ROWS[1]["text"] not in importer.believed()


def test_a_row_that_comes_twice_counts_once_and_one_that_says_something_else_is_a_voice_beside_it(
    importer: Importer,
) -> None:
    rows = [_ROWS[0], _ROWS[0], {**_ROWS[0], "labels": ["racist"], "not_labels": ["hate"]}]
    report = importer.take(rows)
    assert report.texts.new == 1
    assert report.judgements == Recorded(new=2, repeated=1)
    assert importer.believed()[_ROWS[0]["text"]] == {"hate": None, "racist": True, "porn": False}
    assert importer.take(rows).judgements == Recorded(repeated=3)


def test_a_file_with_a_row_for_each_annotator_is_the_work_of_as_many_raters(importer: Importer) -> None:
    rows = [
        {"id": "1", "text": "jangan lupa bawa payung esok", "siapa": who, "label": label}
        for who, label in (("ali", "safe"), ("siti", "harassment"), ("mei", "safe"), (7, "safe"), ("", "safe"))
    ]
    for recorded in (Recorded(new=5), Recorded(repeated=5)):
        path = importer.folder / "rows.jsonl"
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        mapping = load_mapping(None, importer.taxonomy, "label", rater_field="siapa")
        report = import_labelled(importer.engine, [str(path)], SourceInfo("set"), mapping, RaterRef(_KIND, "set"))
        assert report.judgements == recorded
        assert report.raters == 5
    with open_session(importer.engine) as session:
        [(_, judgements)] = judgements_by_text(session)
    assert {judgement.rater.name for judgement in judgements} == {"ali", "siti", "mei", "set/7", "set"}
    assert all(judgement.revision == 0 for judgement in judgements)


def test_an_import_that_was_stopped_still_tells_rows_of_one_id_apart(importer: Importer) -> None:
    rows: list[dict[str, object]] = [
        {"id": str(i), "text": f"baris nombor {i * 7919} tentang hal {i * i}", "labels": ["hate"]} for i in range(4_500)
    ]
    rows.append({**rows[0], "labels": ["racist"]})

    def stop(done: int, total: int | None, what: str, figures: str = "") -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        importer.take(rows, progress=stop)
    importer.take(rows)
    assert importer.ledger()["0"] == [("korpus", {"hate"}, set(), 0)]
    assert importer.ledger()["0#2"] == [("korpus", {"racist"}, set(), 0)]


def test_a_file_of_which_no_row_can_be_used_leaves_nothing_behind_and_is_read_when_it_is_mended(
    importer: Importer,
) -> None:
    with pytest.raises(InputError, match=r"no column 'text'.*'id', 'teks'.*--text-field teks"):
        importer.take([{"id": "1", "teks": "hujan lebat petang tadi"}])
    with open_session(importer.engine) as session:
        assert session.scalars(select(store.Source)).all() == []
    report = importer.take([{"id": "1", "text": "hujan lebat petang tadi"}])
    assert (report.texts.rows, report.texts.new) == (1, 1)


def test_two_rows_of_one_text_are_two_voices_that_may_disagree(importer: Importer) -> None:
    one, other = {**_ROWS[0], "not_labels": []}, {**_ROWS[0], "id": "z", "labels": [], "not_labels": ["hate"]}
    report = importer.take([one, other])
    assert (report.texts.new, report.texts.exact_duplicates) == (1, 1)
    assert report.judgements == Recorded(new=2)
    assert importer.believed()[_ROWS[0]["text"]] == {"hate": None}


def test_the_same_text_of_two_data_sets_is_judged_by_both(importer: Importer) -> None:
    importer.take(_ROWS[:1])
    importer.take(_ROWS[:1], source=SourceInfo("lain"), rater=RaterRef(RaterKind.EXTERNAL, "lain"))
    assert importer.ledger() == {"a": [("korpus", {"hate"}, {"porn"}, 0), ("lain", {"hate"}, {"porn"}, 0)]}


def test_broken_rows_are_named_and_the_rest_is_imported(importer: Importer, tmp_path: Path) -> None:
    rows = [{"id": "x", "labels": ["hate"]}, {"id": "y", "text": 5, "labels": ["hate"]}, _ROWS[0]]
    report = importer.take(rows, rejects_dir=tmp_path / "rejects")
    assert report.texts.rejected == {"missing field": 1, "text is not a string": 1}
    assert report.texts.rejects_file is not None
    assert [orjson.loads(line)["line"] for line in Path(report.texts.rejects_file).read_bytes().splitlines()] == [1, 2]
    assert set(importer.ledger()) == {"a"}


def test_a_file_that_is_not_there_changes_nothing(importer: Importer, tmp_path: Path, taxonomy: Taxonomy) -> None:
    mapping = load_mapping(None, taxonomy, "labels")
    with pytest.raises(InputError, match=r"nowhere\.jsonl"):
        import_labelled(importer.engine, [str(tmp_path / "nowhere.jsonl")], SourceInfo("korpus"), mapping, _CORPUS)
    assert not importer.ledger()


def test_an_import_with_another_mapping_does_not_go_on_from_a_stopped_one(importer: Importer) -> None:
    rows = [{"id": str(i), "text": f"baris nombor {i * 7919} tentang hal {i * i}", "class": "x"} for i in range(4_500)]

    def stop(done: int, total: int | None, what: str, figures: str = "") -> None:
        if done > 4_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        importer.take(rows, labels_field="class", mapping="values: {x: {assert: [porn]}}", progress=stop)
    importer.take(rows, labels_field="class", mapping="values: {x: {assert: [hate]}}")
    assert {tuple(revisions[-1][1]) for revisions in importer.ledger().values()} == {("hate",)}


def test_an_import_that_was_stopped_goes_on_and_ends_in_the_same_ledger(importer: Importer) -> None:
    rows = [
        {"id": str(i), "text": f"baris nombor {i * 7919} tentang hal {i * i}", "labels": ["hate"]} for i in range(4_500)
    ]

    def stop(done: int, total: int | None, what: str, figures: str = "") -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        importer.take(rows, progress=stop)
    importer.take(rows)
    ledger = importer.ledger()
    assert set(ledger) == {row["id"] for row in rows}
    assert all(len(revisions) == 1 for revisions in ledger.values())
