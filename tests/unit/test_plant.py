"""The demo's input: what is planted is what is written down."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline.taxonomy import Taxonomy, load_taxonomy
from pipeline.texts.near_duplicates import SIMILAR, level, similarity
from pipeline.texts.prepare import Options, Prepared, prepare
from pipeline.texts.readers import Format
from saring.demo.plant import HUMAN, NOISE, Planted, plant, read_corpus


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


@pytest.fixture(scope="module")
def planted(taxonomy: Taxonomy, tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant(tmp_path_factory.mktemp("demo") / "input", taxonomy, seed=1)


def prepared(path: Path) -> Prepared:
    lines = path.read_bytes().splitlines()
    return prepare(range(1, len(lines) + 1), lines, path=str(path), name=path.name, options=Options(Format.JSONL))


def rows(path: Path) -> dict[str, Any]:
    return {row["id"]: row for row in map(orjson.loads, path.read_bytes().splitlines())}


def test_the_corpus_speaks_of_every_label_and_of_no_other(taxonomy: Taxonomy) -> None:
    lines = read_corpus()
    counts = Counter(label for line in lines for label in line.labels)
    assert set(counts) == set(taxonomy.keys)
    assert min(counts.values()) >= 50
    assert len({line.id for line in lines}) == len({line.text for line in lines}) == len(lines)


def test_the_corpus_contradicts_no_exclusion_of_the_taxonomy(taxonomy: Taxonomy) -> None:
    excludes = {label.key: set(label.excludes) for label in taxonomy}
    assert not [line.id for line in read_corpus() if any(excludes[label] & set(line.labels) for label in line.labels)]


def test_the_same_seed_plants_the_same(planted: Planted, taxonomy: Taxonomy, tmp_path: Path) -> None:
    again, other = plant(tmp_path / "a", taxonomy, seed=1), plant(tmp_path / "b", taxonomy, seed=2)
    for name in ("raw", "llm", "human"):
        one = getattr(planted, name).read_bytes()
        assert one == getattr(again, name).read_bytes()
        assert one != getattr(other, name).read_bytes()
    assert (again.wrong, again.right, again.rows) == (planted.wrong, planted.right, planted.rows)


def test_exactly_the_broken_rows_are_rejected(planted: Planted) -> None:
    found = prepared(planted.raw)
    assert len(found.rejects) == planted.broken
    assert len({reject.reason for reject in found.rejects}) >= 8
    ids = {row.external_id for row in found.rows}
    assert len(ids) == len(found.rows)
    assert {id_ for kind in planted.rows.values() for id_ in kind} <= ids


def test_repeats_repeat_and_near_duplicates_nearly_do(planted: Planted) -> None:
    by_id = {row.external_id: row for row in prepared(planted.raw).rows}
    assert len(planted.rows["exact"]) == 60
    assert len(planted.rows["near"]) == 40
    for id_ in planted.rows["exact"]:
        assert by_id[id_].key == by_id[id_.removesuffix("-again")].key
    for id_ in planted.rows["near"]:
        near, first = by_id[id_], by_id[id_.removesuffix("-nearly")]
        assert near.body != first.body
        assert near.line > first.line
        assert similarity(level(near.masked), level(first.masked)) >= SIMILAR


def test_the_stand_in_is_wrong_about_as_often_as_it_is_said_to_be(planted: Planted) -> None:
    truth = {line.id: set(line.labels) for line in read_corpus()}
    said = rows(planted.llm)
    wrong_rows = sum(not set(row["labels"]) <= truth[id_] for id_, row in said.items())
    assert wrong_rows / len(said) == pytest.approx(NOISE, abs=0.03)
    assert all(label in said[id_]["labels"] and label not in truth[id_] for id_, label in planted.wrong)
    assert all(label in said[id_]["labels"] and label in truth[id_] for id_, label in planted.right)


def test_people_say_the_truth_of_a_share_and_none_of_it_is_counted_as_planted(
    planted: Planted, taxonomy: Taxonomy
) -> None:
    truth = {line.id: set(line.labels) for line in read_corpus() if line.labels}
    people = rows(planted.human)
    assert len(people) / len(truth) == pytest.approx(HUMAN, abs=0.01)
    for id_, row in people.items():
        assert set(row["labels"]) == truth[id_]
        assert set(row["not_labels"]) == set(taxonomy.keys) - truth[id_]
    assert not {id_ for id_, _ in (*planted.wrong, *planted.right)} & set(people)


def test_what_was_planted_is_written_beside_the_files(planted: Planted) -> None:
    written = orjson.loads((planted.raw.parent / "planted.json").read_bytes())
    assert written["rows"] == planted.rows
    assert written["broken"] == planted.broken
    assert [tuple(pair) for pair in written["wrong"]] == planted.wrong
