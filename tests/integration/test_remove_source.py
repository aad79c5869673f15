"""Removing a source that was imported by mistake, over a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
import pytest
from sqlalchemy import Engine, func, select

from pipeline import store
from pipeline.errors import UsageError
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.decisions import decided_texts
from pipeline.raters.imported import ImportReport, import_labelled
from pipeline.raters.mapping import load_mapping
from pipeline.sharing.remove_source import SourceRemoval, preview_removal, remove_source
from pipeline.store import open_session
from pipeline.store.tables.core import RunState
from pipeline.store.texts import sample
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.ingest import SourceInfo
from tests.support.commands import answered, refused, typed

_TAXONOMY = load_taxonomy()
_BUS = "jadual bas petang ini berubah lagi, tengok papan kenyataan di stesen sebelum pergi kerja esok pagi"
_ROWS = [
    {"id": "1", "text": "benci betul aku tengok puak tu", "labels": ["hate"]},
    {"id": "2", "text": _BUS, "labels": ["safe for work", "informative"]},
    {"id": "3", "text": "entah apa benda yang dia cakap ni"},
]


def take(engine: Engine, folder: Path, source: str, rows: Sequence[Mapping[str, object]]) -> ImportReport:
    path = folder / f"{source}.jsonl"
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    rater = RaterRef(RaterKind.EXTERNAL, source)
    return import_labelled(
        engine, [str(path)], SourceInfo(source), load_mapping(None, _TAXONOMY, "labels"), rater, rejects_dir=None
    )


def remove(engine: Engine, source: str) -> SourceRemoval:
    return remove_source(engine, source, taxonomy_version=_TAXONOMY.version)


def believed(engine: Engine) -> dict[str, set[str]]:
    """Of each judged text in scope: the labels that it is believed to have."""
    with open_session(engine) as session:
        return {
            text.masked: {key for key, one in text.decisions.items() if one.value}
            for text in decided_texts(session, _TAXONOMY)
            if text.decisions
        }


def in_scope(engine: Engine) -> set[str]:
    """The texts that stages work on."""
    with open_session(engine) as session:
        t = store.Text
        return set(session.scalars(select(t.body).where(t.id.in_(select(sample(None).subquery().c.id)))))


def test_judgements_are_withdrawn_and_texts_of_no_other_source_go_out_of_scope(engine: Engine, tmp_path: Path) -> None:
    take(engine, tmp_path, "right", [{"id": "x", "text": _ROWS[0]["text"], "labels": ["racist"]}])
    take(engine, tmp_path, "mistake", _ROWS)
    expected = SourceRemoval("mistake", judgements=2, raters=1, rows=3, out_of_scope=2, kept=1)
    assert preview_removal(engine, "mistake") == expected
    assert len(in_scope(engine)) == 3

    assert remove(engine, "mistake") == expected
    assert in_scope(engine) == {_ROWS[0]["text"]}
    assert believed(engine) == {_ROWS[0]["text"]: {"racist"}}
    with open_session(engine) as session:
        # all that was ever said is still there
        assert session.scalar(select(func.count()).select_from(store.Judgement)) == 5
        assert session.scalar(select(func.count()).select_from(store.Judgement).where(store.Judgement.withdrawn)) == 2
        assert session.scalar(select(func.count()).select_from(store.Text)) == 3

    assert remove(engine, "mistake") == SourceRemoval("mistake", 0, 0, 0, 0, 0)


def test_the_same_files_can_be_imported_again(engine: Engine, tmp_path: Path) -> None:
    first = take(engine, tmp_path, "mistake", _ROWS)
    before, texts = believed(engine), in_scope(engine)
    remove(engine, "mistake")
    assert believed(engine) == {}
    again = take(engine, tmp_path, "mistake", _ROWS)
    assert (again.texts.new, again.judgements.revised) == (first.texts.new, first.judgements.new)
    assert (believed(engine), in_scope(engine)) == (before, texts)
    # and it is a near-duplicate's first text again
    later = take(engine, tmp_path, "later", [{"id": "n", "text": _BUS + "!", "labels": ["informative"]}])
    assert later.texts.near_duplicates == 1


def test_a_near_duplicate_from_another_source_takes_the_place_of_the_first(engine: Engine, tmp_path: Path) -> None:
    take(engine, tmp_path, "mistake", _ROWS)
    assert take(engine, tmp_path, "right", [{"id": "n", "text": _BUS + "!"}]).texts.near_duplicates == 1
    remove(engine, "mistake")
    assert in_scope(engine) == {_BUS + "!"}
    # a later text is compared with it
    assert take(engine, tmp_path, "more", [{"id": "m", "text": _BUS + "!!"}]).texts.near_duplicates == 1
    # and the first one, once it is back, is the near-duplicate
    assert take(engine, tmp_path, "mistake", _ROWS).texts.near_duplicates == 1
    assert _BUS + "!" in in_scope(engine)
    assert _BUS not in in_scope(engine)


def test_an_interrupted_import_begins_anew_after_a_removal(engine: Engine, tmp_path: Path) -> None:
    take(engine, tmp_path, "mistake", _ROWS)
    with open_session(engine) as session, session.begin():
        run = session.scalars(select(store.Run).where(store.Run.stage == "import")).one()
        run.state, run.checkpoint = RunState.FAILED, {"done": [str(tmp_path / "mistake.jsonl")]}
    remove(engine, "mistake")
    assert take(engine, tmp_path, "mistake", _ROWS).texts.rows == 3
    assert len(in_scope(engine)) == 3


def test_an_unknown_source_is_refused(engine: Engine, tmp_path: Path) -> None:
    take(engine, tmp_path, "right", _ROWS)
    for call in (remove, preview_removal):
        with pytest.raises(UsageError, match="no source 'wrong': known sources are right"):
            call(engine, "wrong")


def test_the_command_asks_for_yes_where_nobody_can_be_asked(
    engine: Engine, environment: dict[str, str], tmp_path: Path
) -> None:
    take(engine, tmp_path, "mistake", _ROWS)
    assert "add --yes" in refused(typed(environment, "sources", "remove", "mistake"), status=2)
    assert len(in_scope(engine)) == 3
    done = answered(typed(environment, "sources", "remove", "mistake", "--yes", "--json"))
    assert done == {"source": "mistake", "judgements": 2, "raters": 1, "rows": 3, "out_of_scope": 3, "kept": 0}
    assert "0 judgements withdrawn" in typed(environment, "sources", "remove", "mistake", "--yes").stdout
