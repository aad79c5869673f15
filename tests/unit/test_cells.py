"""Cells that spell a value, and exports of labelling tools: what is said, by whom, and whether it counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UsageError
from pipeline.raters.answers import make_preset, preset_of
from pipeline.raters.mapping import LabelMapping, MappedRow, Voice, load_mapping
from pipeline.taxonomy import Taxonomy, load_taxonomy
from pipeline.texts.cells import read_cell
from pipeline.texts.readers import Format, RawRow, read_rows


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


def said(*asserted: str, no: tuple[str, ...] = ()) -> MappedRow:
    return MappedRow(frozenset(asserted), frozenset(no))


@pytest.mark.parametrize(
    ("cell", "values"),
    [
        ("['hate', 'racist']", ["hate", "racist"]),
        ('["hate", "racist"]', ["hate", "racist"]),
        ("['hate' 'racist']", ["hate", "racist"]),
        ("('hate',)", ["hate"]),
        ("[]", []),
        ('{"choices": ["hate", "racist"]}', ["hate", "racist"]),
        ([{"label": "hate"}, {"name": "racist"}], ["hate", "racist"]),
        ({"taxonomy": [["kasar", "hate"], ["racist"]]}, ["hate", "racist"]),
        ("[hate]", ["[hate]"]),
        ("__import__('os')", ["__import__('os')"]),
        (float("nan"), []),
        (2.0, ["2"]),
        ("[" * 30_000 + "]" * 30_000, ["[" * 30_000 + "]" * 30_000]),
    ],
)
def test_a_cell_is_what_it_spells(cell: object, values: list[str]) -> None:
    assert [spelled.value for spelled in read_cell(cell)] == values


def test_keys_of_an_object_hold_or_do_not(taxonomy: Taxonomy) -> None:
    made = load_mapping(None, taxonomy, "labels")
    assert made.verdict({"labels": '{"hate": 1, "racist": 0, "porn": true}'}) == said("hate", "porn", no=("racist",))
    assert made.verdict({"labels": {"hate": 0.7}}) == said()
    assert made.unknown == {"hate=0.7": 1}


@pytest.mark.parametrize("cell", ["hate, racist", "hate;racist", "Hate|RACIST", "kebencian / perkauman"])
def test_separators_are_seen_where_every_part_is_a_label(taxonomy: Taxonomy, cell: str) -> None:
    assert load_mapping(None, taxonomy, "labels").verdict({"labels": cell}) == said("hate", "racist")


def test_a_label_with_a_comma_is_not_split_and_unknown_parts_are_reported_whole(taxonomy: Taxonomy) -> None:
    made = load_mapping(None, taxonomy, "labels")
    assert made.verdict({"labels": "hate, happiness"}) == said()
    assert made.unknown == {"hate, happiness": 1}
    told = load_mapping(None, taxonomy, "labels", separator="~")
    assert told.verdict({"labels": "hate ~ happiness"}) == said("hate")
    assert told.unknown == {"happiness": 1}


def test_numbers_and_truth_values_are_compared_as_what_they_spell(taxonomy: Taxonomy, tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text('fields: {a: {"1": {assert: [hate]}, "0": {deny: [hate]}}, b: {true: {assert: [porn]}}}')
    made = load_mapping(path, taxonomy, "labels")
    assert made.verdict({"a": "1.0", "b": "TRUE"}) == said("hate", "porn")
    assert made.verdict({"a": "0.000", "b": ""}) == said(no=("hate",))
    assert not made.unknown


def test_class_labels_of_parquet_have_their_names_and_their_numbers(taxonomy: Taxonomy, tmp_path: Path) -> None:
    features = {
        "label": {"names": ["safe for work", "hate"], "_type": "ClassLabel"},
        "many": {"feature": {"names": ["racist", "porn"], "_type": "ClassLabel"}, "_type": "Sequence"},
    }
    columns = {"text": ["a", "b", "c"], "label": [1, 0, -1], "many": [[0, 1], [], [1]]}
    described = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(pa.table(columns).replace_schema_metadata(described), tmp_path / "a.parquet")
    rows = [row.payload for row in read_rows(str(tmp_path / "a.parquet"), Format.PARQUET) if isinstance(row, RawRow)]
    by_name = load_mapping(None, taxonomy, "label")
    assert [by_name.verdict(row) for row in rows if isinstance(row, dict)] == [
        said("hate"),
        said("safe for work"),
        said(),
    ]
    assert load_mapping(None, taxonomy, "many").verdict(dict(rows[0])) == said("racist", "porn")
    (tmp_path / "map.yaml").write_text('values: {"1": {assert: [racist]}, "0": {deny: [racist]}}')
    by_number = load_mapping(tmp_path / "map.yaml", taxonomy, "label")
    assert [by_number.verdict(dict(row)) for row in rows] == [said("racist"), said(no=("racist",)), said()]


def test_names_of_labels_count_in_both_languages(taxonomy: Taxonomy) -> None:
    for label in taxonomy:
        assert taxonomy.canonical(label.name.en) == taxonomy.canonical(label.name.ms.upper()) == label.key


def test_rows_count_and_deny_on_conditions(taxonomy: Taxonomy, tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(
        "only_if: {state: [yes, no], round: 2}\ndeny_if: {state: no}\n".replace("yes", "ya").replace("no", "tak")
    )
    made = load_mapping(path, taxonomy, "label")
    assert made.verdict({"label": "hate", "state": "ya", "round": "2.0"}) == said("hate")
    assert made.verdict({"label": "hate", "state": "tak", "round": 2}) == said(no=("hate",))
    assert made.verdict({"label": "hate", "state": "ya", "round": 1}) == said()
    assert made.verdict({"label": "hate", "state": "langkau", "round": 2}) == said()
    for wrong in ("only_if: [a]", "deny_if: {a: {b: c}}", "only_if: {a: }"):
        path.write_text(f"{wrong}\nvalues: {{a: {{}}}}")
        with pytest.raises(UsageError, match=r"map\.yaml: `(only|deny)_if`"):
            load_mapping(path, taxonomy, "label")


def voices(taxonomy: Taxonomy, *rows: dict[str, Any], labels_field: str | None = None) -> list[list[Voice]]:
    name = preset_of(rows)
    assert name is not None
    preset = make_preset(name, labels_field, rows)
    made = LabelMapping(taxonomy, preset.labels_field, preset=preset)
    # only these fields are kept of a row
    kept = [{field: row.get(field) for field in made.read if field in row} | {"data": row.get("data")} for row in rows]
    assert not made.unknown
    return [made.voices(row) for row in kept]


def test_of_prodigy_reject_denies_and_ignore_says_nothing(taxonomy: Taxonomy) -> None:
    rows = [{"label": "harassment", "answer": a, "_annotator_id": "s-ali"} for a in ("accept", "reject", "ignore")]
    assert voices(taxonomy, *rows) == [
        [Voice(said("harassment"), "s-ali")],
        [Voice(said(no=("harassment",)), "s-ali")],
        [Voice(said(), "s-ali")],
    ]


def test_of_a_choice_of_prodigy_the_options_that_were_not_ticked_are_denied(taxonomy: Taxonomy) -> None:
    options = [{"id": "hate", "text": "Hate"}, {"id": "porn", "text": "Porn"}]
    rows = [{"options": options, "accept": ["hate"], "answer": answer} for answer in ("accept", "reject", "ignore")]
    assert voices(taxonomy, *rows) == [
        [Voice(said("hate", no=("porn",)))],
        [Voice(said(no=("hate",)))],
        [Voice(said())],
    ]


def test_of_label_studio_each_annotation_is_its_annotators(taxonomy: Taxonomy) -> None:
    def annotation(by: object, *labels: str, **more: Any) -> dict[str, Any]:
        value = {"type": "choices", "from_name": "kelas", "value": {"choices": list(labels)}}
        other = {"type": "choices", "from_name": "mood", "value": {"choices": ["marah"]}}
        return {"completed_by": by, "result": [value, other], **more}

    task = {
        "id": 3,
        "data": {"text": "hai"},
        "annotations": [
            annotation(4, "Hate", "racist"),
            annotation({"id": 5, "email": "siti@example.com"}, "porn"),
            annotation(6, "hate", was_cancelled=True),
        ],
    }
    assert voices(taxonomy, task, labels_field="kelas") == [
        [Voice(said("hate", "racist"), "4"), Voice(said("porn"), "siti@example.com"), Voice(said(), "6")]
    ]
    small = {"id": 1, "text": "hai", "annotator": 4, "annotation_id": 9, "lead_time": 1.5}
    assert voices(taxonomy, small | {"sentimen": "hate"}, small | {"sentimen": {"choices": ["hate", "porn"]}}) == [
        [Voice(said("hate"), "4")],
        [Voice(said("hate", "porn"), "4")],
    ]


def test_of_argilla_only_submitted_answers_count(taxonomy: Taxonomy) -> None:
    flat = {
        "text": "hai",
        "label.responses": ["hate", "porn", ["hate", "racist"]],
        "label.responses.users": ["u1", "u2", "u3"],
        "label.responses.status": ["submitted", "discarded", "submitted"],
    }
    expected = [Voice(said("hate"), "u1"), Voice(said(), "u2"), Voice(said("hate", "racist"), "u3")]
    assert voices(taxonomy, flat) == [expected]
    nested = {
        "fields": {"text": "hai"},
        "responses": {
            "label": [
                {"value": value, "user_id": user, "status": status}
                for value, user, status in zip(*(list(flat[k]) for k in list(flat)[1:]), strict=True)
            ]
        },
    }
    assert voices(taxonomy, nested) == [expected]


def test_of_doccano_each_user_is_a_rater(taxonomy: Taxonomy) -> None:
    rows = [{"text": "hai", "annotations": [{"label": "hate", "user": 1}, {"label": "porn", "user": 2}]}]
    assert preset_of(rows) is None
    made = LabelMapping(taxonomy, "label", preset=make_preset("doccano", None, rows))
    assert made.voices(rows[0]) == [Voice(said("hate"), "1"), Voice(said("porn"), "2")]
    assert made.voices({"text": "hai", "label": ["hate"]}) == [Voice(said("hate"))]


def test_a_mapping_that_reads_the_tools_own_answer_decides_by_itself(taxonomy: Taxonomy, tmp_path: Path) -> None:
    rows = [{"text": "hai", "answer": "reject"}]
    preset = make_preset("prodigy", "answer", rows)
    path = tmp_path / "map.yaml"
    path.write_text("values: {accept: {assert: [hate]}, reject: {deny: [hate]}}")
    assert load_mapping(path, taxonomy, "answer", preset=preset).reads_state_of_tool()
    assert not load_mapping(path, taxonomy, "label", preset=preset).reads_state_of_tool()
    path.write_text("only_if: {answer: accept}")
    assert load_mapping(path, taxonomy, "label", preset=preset).reads_state_of_tool()
    assert not load_mapping(path, taxonomy, "answer").reads_state_of_tool()
