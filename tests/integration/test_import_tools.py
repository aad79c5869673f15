"""Imports of tables and of exports of labelling tools, as a program does them: what is recognised, and what refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from pipeline import store
from pipeline.errors import InputError
from pipeline.ledger.book import judgements_by_text
from pipeline.settings import Settings
from pipeline.store.session import open_session
from saring.home import Home


@pytest.fixture
def work(new_home: Path, database_url: str) -> Iterator[Home]:
    with Home(settings=Settings(home=new_home, database_url=database_url)) as made:
        yield made


def ledger(home: Home) -> set[tuple[str, str, str]]:
    """Who said what: name of the rater, labels asserted, labels denied."""
    with open_session(home.engine) as session:
        return {
            (judgement.rater.name, " ".join(sorted(judgement.asserted)), " ".join(sorted(judgement.denied)))
            for _, judgements in judgements_by_text(session)
            for judgement in judgements
        }


def test_an_export_is_recognised_and_its_annotators_are_raters(work: Home, tmp_path: Path) -> None:
    def annotation(by: int, label: str, cancelled: bool = False) -> object:
        value = {"type": "choices", "from_name": "kelas", "value": {"choices": [label]}}
        return {"completed_by": by, "was_cancelled": cancelled, "result": [value]}

    tasks = [
        {
            "id": 1,
            "data": {"text": "hujan lebat petang tadi"},
            "annotations": [annotation(4, "Safe for work"), annotation(5, "Informative"), annotation(6, "hate", True)],
        }
    ]
    path = tmp_path / "eksport.json"
    path.write_text(json.dumps(tasks, indent=2))
    for new in (2, 0):
        assert work.import_labelled(path, "set").judgements.new == new
    assert ledger(work) == {("set/4", "safe for work", ""), ("set/5", "informative", "")}


def test_what_was_rejected_is_denied_unless_the_mapping_reads_the_answer(work: Home, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "kucing tidur atas meja", "label": "hate", "answer": "reject"}\n')
    work.import_labelled(path, "prodigy")
    (tmp_path / "map.yaml").write_text("values: {accept: {assert: [porn]}, reject: {deny: [porn]}}")
    work.import_labelled(path, "own", labels_field="answer", mapping=tmp_path / "map.yaml")
    work.import_labelled(path, "plain", labels_field="label", preset="none")
    assert ledger(work) == {("prodigy", "", "hate"), ("own", "", "porn"), ("plain", "hate", "")}


def test_a_table_without_the_labels_is_refused_before_anything_is_stored(work: Home, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id;text;kelas;siapa\n1;hujan lebat petang tadi;hate;ali\n")
    with pytest.raises(InputError, match=r"no column 'labels'; its columns are 'id', 'text', 'kelas', 'siapa'"):
        work.import_labelled(path, "set")
    with pytest.raises(InputError, match="no column 'annotator'"):
        work.import_labelled(path, "set", labels_field="kelas", rater_field="annotator")
    with open_session(work.engine) as session:
        assert session.scalar(select(func.count()).select_from(store.Source)) == 0
    work.import_labelled(path, "set", labels_field="kelas", rater_field="siapa", rater="pasukan")
    assert ledger(work) == {("pasukan/ali", "hate", "")}
