"""A volunteer's word can be left out, and taken in again, and nothing of it is lost."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, func, select

from pipeline import store
from pipeline.errors import UsageError
from pipeline.judgement import RaterKind, RaterRef, Tier
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.ledger.decisions import decided_texts
from pipeline.store.session import open_session
from pipeline.taxonomy import Taxonomy, load_taxonomy
from sync.quality.exclusion import HISTORY, exclude, include, volunteers

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def taxonomy() -> Taxonomy:
    return load_taxonomy()


@pytest.fixture
def text_id(engine: Engine, taxonomy: Taxonomy) -> uuid.UUID:
    """A text that a model calls safe, and volunteer 7 calls hateful."""
    text_id = uuid.uuid4()
    with open_session(engine) as session, session.begin():
        session.add(
            store.Text(id=text_id, body="selamat pagi semua", masked="selamat pagi semua", language="ms", in_scope=True)
        )
        session.flush()
        for kind, name, version, label in (
            (RaterKind.LLM, "a-model", "1", "safe for work"),
            (RaterKind.HUMAN, "label-studio", "7", "hate"),
        ):
            rater = rater_id(session, RaterRef(kind, name, version))
            said = NewJudgement(text_id, frozenset({label}), external_ref="ls:1:1:x" if name == "label-studio" else "")
            record(session, rater, [said], taxonomy_version=taxonomy.version)
    return text_id


def _believed(engine: Engine, taxonomy: Taxonomy) -> dict[str, tuple[bool | None, Tier]]:
    with open_session(engine) as session:
        [one] = decided_texts(session, taxonomy)
        return {key: (decision.value, decision.tier) for key, decision in one.decisions.items()}


def test_what_an_excluded_volunteer_said_is_not_believed(
    engine: Engine, taxonomy: Taxonomy, text_id: uuid.UUID
) -> None:
    assert _believed(engine, taxonomy)["hate"] == (True, Tier.GOLD)
    done = exclude(engine, "7", why="answers unread", now=_NOW)
    assert (done.excluded, done.changed, done.texts) == (True, True, 1)
    believed = _believed(engine, taxonomy)
    assert believed["safe for work"] == (True, Tier.SILVER)
    assert believed["hate"] == (False, Tier.SILVER)


def test_included_again_they_are_believed_as_before(engine: Engine, taxonomy: Taxonomy, text_id: uuid.UUID) -> None:
    before = _believed(engine, taxonomy)
    exclude(engine, "7", why="answers unread", now=_NOW)
    assert include(engine, "7").excluded is False
    assert _believed(engine, taxonomy) == before


def test_the_ledger_keeps_what_an_excluded_volunteer_said(engine: Engine, text_id: uuid.UUID) -> None:
    exclude(engine, "7", why="answers unread", now=_NOW)
    with open_session(engine) as session:
        assert session.scalar(select(func.count()).select_from(store.Judgement)) == 2


def test_excluding_twice_keeps_the_first_moment_and_says_so(engine: Engine, text_id: uuid.UUID) -> None:
    exclude(engine, "7", why="answers unread", now=_NOW)
    again = exclude(engine, "7", why="spoke with them", now=datetime(2026, 2, 1, tzinfo=UTC))
    assert (again.changed, again.why) == (False, "spoke with them")
    with open_session(engine) as session:
        rater = session.scalars(select(store.Rater).where(store.Rater.version == "7")).one()
        assert rater.excluded_at == _NOW


def test_a_volunteer_of_whom_nothing_is_known_is_named_with_those_there_are(engine: Engine, text_id: uuid.UUID) -> None:
    with pytest.raises(UsageError, match=r"#8 .* there are 7"):
        exclude(engine, "8", why="answers unread", now=_NOW)


def test_nobody_is_excluded_without_a_reason(engine: Engine, text_id: uuid.UUID) -> None:
    with pytest.raises(UsageError, match="--reason"):
        exclude(engine, "7", why="  ", now=_NOW)


def test_every_decision_on_a_volunteer_is_kept_with_its_reason(engine: Engine, text_id: uuid.UUID) -> None:
    exclude(engine, "7", why="answers unread", now=_NOW)
    exclude(engine, "7", why="answers unread", now=_NOW)
    include(engine, "7", why="spoke with them", now=datetime(2026, 2, 1, tzinfo=UTC))
    with open_session(engine) as session:
        [volunteer] = volunteers(session)
    assert volunteer.excluded_at is None
    assert volunteer.details[HISTORY] == [
        {"at": "2026-01-01T00:00:00+00:00", "excluded": True, "why": "answers unread"},
        {"at": "2026-02-01T00:00:00+00:00", "excluded": False, "why": "spoke with them"},
    ]
