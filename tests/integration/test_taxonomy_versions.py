"""Versions of the taxonomy are kept in the store, with what was judged under each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from pipeline import store
from pipeline.errors import TaxonomyError
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.ledger.taxonomies import keep_taxonomy, kept_taxonomy
from pipeline.settings import Settings
from pipeline.store import open_session
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.normalise import text_id
from saring.actions import guidelines
from saring.context import Context
from tests.support.commands import answered, typed

_FIRST = """
labels:
  - key: late
    definition: {en: The bus was late, ms: Bas lewat}
    exemplars: {en: [the bus was late again]}
"""
_SECOND = _FIRST.replace("The bus was late,", "The bus or the train was late,")


def context(engine: Engine, home: Path, file: Path) -> Context:
    url = engine.url.render_as_string(hide_password=False)
    return Context(Settings(home=home, database_url=url, taxonomy=file))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "buses.yaml"
    path.write_text(_FIRST)
    return path


@pytest.fixture
def ours(engine: Engine, new_home: Path, file: Path) -> Iterator[Context]:
    made = context(engine, new_home, file)
    yield made
    made.close()


def judge(engine: Engine, version: str, who: RaterRef, *texts: str) -> None:
    """Texts that somebody judges under a version; the store may be one that an older Saring filled."""
    with open_session(engine) as session, session.begin():
        for body in texts:
            session.merge(store.Text(id=text_id(body), body=body, masked=body))
        said = [NewJudgement(text_id(body), frozenset({"late"})) for body in texts]
        record(session, rater_id(session, who), said, taxonomy_version=version)


def kept(engine: Engine) -> int:
    with open_session(engine) as session:
        return session.execute(select(func.count()).select_from(store.TaxonomyVersion)).scalar_one()


def test_an_empty_store_stays_empty_and_one_with_judgements_keeps_the_taxonomy_in_force(
    engine: Engine, ours: Context
) -> None:
    """A backup is restored into an empty store only, so looking at one must add nothing."""
    assert ours.engine is not None
    assert kept(engine) == 0
    judge(engine, "older", RaterRef(RaterKind.HUMAN, "aisyah"), "bas lewat pagi ini")
    later = Context(ours.settings)
    assert later.engine is not None
    assert kept(engine) == 1
    later.close()


def test_a_taxonomy_that_cannot_be_read_does_not_keep_the_store_from_being_used(
    engine: Engine, ours: Context, file: Path
) -> None:
    judge(engine, "older", RaterRef(RaterKind.HUMAN, "aisyah"), "bas lewat pagi ini")
    file.write_text("labels: nothing")
    assert ours.engine is not None
    assert kept(engine) == 0


def test_what_is_kept_is_what_was_in_force(engine: Engine) -> None:
    taxonomy = load_taxonomy()
    with open_session(engine) as session, session.begin():
        assert keep_taxonomy(session, taxonomy)
        assert not keep_taxonomy(session, taxonomy)
    with open_session(engine) as session:
        back = kept_taxonomy(session, taxonomy.version)
    assert back == taxonomy


def test_an_import_keeps_the_version_that_it_used(new_home: Path, file: Path, environment: dict[str, str]) -> None:
    rows = new_home.parent / f"{new_home.name}.jsonl"
    rows.write_text(json.dumps({"text": "the bus was late today and we waited", "labels": ["late"]}) + "\n")
    done = typed({**environment, "SARING_TAXONOMY": str(file)}, "import", str(rows), "--source", "survey")
    rows.unlink()
    assert done.returncode == 0, done.stderr
    file.write_text(_SECOND)
    there = {**environment, "SARING_TAXONOMY": str(file)}
    listed = answered(typed(there, "taxonomy", "versions", "--json"))["versions"]
    assert [(version["current"], version["judgements"]) for version in listed] == [(True, 0), (False, 1)]
    change = answered(typed(there, "taxonomy", "changes", listed[1]["version"], "--json"))
    [late] = change["changed"]
    assert {"kind": "added", "text": "or the train"} in late["words"][0]["pieces"]


def test_judgements_are_counted_by_version_and_rater_also_where_the_content_is_lost(
    engine: Engine, ours: Context, new_home: Path, file: Path
) -> None:
    badrul, machine = RaterRef(RaterKind.HUMAN, "badrul"), RaterRef(RaterKind.LLM, "a-model", "1")
    judge(engine, "lost", badrul, "bas lewat pagi ini")
    judge(engine, ours.taxonomy.version, machine, "bas lewat pagi ini", "bas sampai lambat")
    guidelines.keep_current(ours)
    counted = {entry["version"]: entry for entry in guidelines.judgements_by_version(ours)["versions"]}
    assert {version: entry["judgements"] for version, entry in counted.items()} == {
        "lost": 1,
        ours.taxonomy.version: 2,
    }
    [use] = counted[ours.taxonomy.version]["raters"]
    assert (use["kind"], use["name"], use["judgements"]) == ("llm", "a-model", 2)
    with pytest.raises(TaxonomyError, match="is not kept"):
        guidelines.taxonomy_of(ours, "lost")

    file.write_text(_SECOND)
    later = context(engine, new_home, file)
    versions = guidelines.taxonomy_versions(later)
    assert [(version.version, version.current) for version in versions] == [
        (later.taxonomy.version, True),
        (ours.taxonomy.version, False),
    ]
    assert guidelines.previous(versions, later.taxonomy.version) == ours.taxonomy.version
    assert guidelines.previous(versions, ours.taxonomy.version) is None
    change = guidelines.taxonomy_change(later, ours.taxonomy.version)
    assert [label.key for label in change.changed] == ["late"]
    later.close()


def test_the_version_before_is_the_one_used_before() -> None:
    versions = [
        guidelines.Version("c", True, datetime(2026, 3, 1, tzinfo=UTC)),
        guidelines.Version("a", False, datetime(2026, 1, 1, tzinfo=UTC)),
        guidelines.Version("b", False, datetime(2026, 2, 1, tzinfo=UTC)),
    ]
    assert [guidelines.previous(versions, version) for version in "abc"] == [None, "a", "b"]
