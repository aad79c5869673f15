"""Drift over a real store: weeks, samples and vectors, the command, and that nothing is written."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sqlalchemy import Engine, insert, update

from pipeline import store
from pipeline.drift.measure import DriftConfig
from pipeline.settings import Settings
from pipeline.store import open_session
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.normalise import text_id
from pipeline.vectors.table import put_vectors, register_encoder
from saring.actions.drift import drift
from saring.context import Context
from tests.support.commands import answered, typed
from tests.support.ledger import RULE, RuleLedger

#: a Monday
_FIRST = datetime(2026, 1, 5, 12, tzinfo=UTC)
_NOW = datetime(2026, 3, 9, tzinfo=UTC)
_WEEK = timedelta(days=7)
_DIMENSION = 8
_WORDS = (
    *("semalam", "kami", "pergi", "kedai", "kawan", "baru", "jalan", "jauh", "pagi", "petang", "rumah", "besar"),
    *("kecil", "baik", "murah", "lambat", "cepat"),
)


def plant_week(engine: Engine, week: int, size: int, *, share: float, language: str, centre: float) -> None:
    """Texts that came in one week: so many with a word of the rule, in a language, with vectors around a place."""
    rng, numbers = random.Random(week), np.random.default_rng(week)
    rows = []
    for i in range(size):
        words = [*rng.choices(_WORDS, k=9), f"w{week}x{i}"]
        words += [RULE["porn"]] if rng.random() < share else []
        body = " ".join(words)
        # ids from the end, so that these are drawn before those that the model learnt from
        rows.append({"id": text_id(body), "body": body, "masked": body, "language": language})
    vectors = numbers.normal(size=(size, _DIMENSION))
    vectors[:, 0] += centre
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with open_session(engine) as session, session.begin():
        session.execute(insert(store.Text), [row | {"created_at": _FIRST + week * _WEEK} for row in rows])
        put_vectors(session, "sixteen", [row["id"] for row in rows], vectors.astype(np.float32))


@pytest.fixture(scope="module")
def ledger(module_engine: Engine, module_home: Path) -> RuleLedger:
    """A champion, and nine weeks of texts, of which the last two are of another kind."""
    made = RuleLedger(module_engine, load_taxonomy(), module_home)
    ids = made.plant({"train": 160, "dev": 40, "test": 60})
    with open_session(module_engine) as session, session.begin():
        session.execute(update(store.Text).values(created_at=_FIRST, language="ms"))
        register_encoder(session, SimpleNamespace(name="sixteen", dimension=_DIMENSION))  # type: ignore[arg-type]
        vectors = np.random.default_rng(1).normal(size=(len(ids), _DIMENSION))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        put_vectors(session, "sixteen", ids, vectors.astype(np.float32))
    made.retrain()
    for week in range(1, 7):
        plant_week(module_engine, week, 80, share=0.2, language="ms", centre=0.0)
    for week in range(7, 9):
        plant_week(module_engine, week, 80, share=0.8, language="en", centre=4.0)
    return made


@pytest.fixture(scope="module")
def ours(ledger: RuleLedger) -> Iterator[Context]:
    url = ledger.engine.url.render_as_string(hide_password=False)
    made = Context(Settings(home=ledger.folder, database_url=url))
    yield made
    made.close()


def test_planted_drift_raises_its_alarms_and_the_new_texts_are_named(ours: Context) -> None:
    report = drift(ours, DriftConfig(weeks=8, recent=2), now=_NOW)
    assert report.measured_at == _NOW
    assert report.recent_since == datetime(2026, 2, 23, tzinfo=UTC)
    assert [week.texts for week in report.weeks] == [80] * 8
    assert {alarm.kind for alarm in report.alarms} == {"training", "earlier", "label", "score", "language"}
    assert [alarm.name for alarm in report.alarms if alarm.kind == "label"] == ["porn"]
    assert {alarm.name for alarm in report.alarms if alarm.kind == "language"} == {"ms", "en"}
    with open_session(ours.engine) as session:
        texts = [session.get_one(store.Text, new.id) for new in report.newest]
    assert texts
    assert {text.language for text in texts} == {"en"}
    assert all(new.labels is not None for new in report.newest)


def test_weeks_of_one_kind_raise_no_alarm(ours: Context) -> None:
    moment, long = store.Text.created_at, 60 * _WEEK
    with open_session(ours.engine) as session, session.begin():
        session.execute(update(store.Text).where(moment > _FIRST + 6.5 * _WEEK).values(created_at=moment - long))
    report = drift(ours, DriftConfig(weeks=6, recent=2), now=_NOW)
    with open_session(ours.engine) as session, session.begin():
        session.execute(update(store.Text).where(moment < _FIRST - _WEEK).values(created_at=moment + long))
    assert [week.texts for week in report.weeks] == [80] * 6
    # earlier texts are all that came before, the moved ones among them
    assert {alarm.kind for alarm in report.alarms} <= {"earlier"}
    assert report.training is not None


def test_the_sample_of_a_week_is_bounded_and_leaves_out_what_the_champion_learnt_from(ours: Context) -> None:
    report = drift(ours, DriftConfig(per_week=50), now=_NOW)
    assert {week.sampled for week in report.weeks} == {50}
    # the first week has the texts of the training, and a hundred others
    assert sum(week.learnt for week in report.weeks) == 0
    assert sum(report.weeks[0].given.values()) > 0


def test_the_same_seed_gives_the_same_report(ours: Context) -> None:
    first, second, other = (drift(ours, DriftConfig(recent=2), seed=seed, now=_NOW) for seed in (5, 5, 6))
    assert first == second
    assert replace(first, training=None, earlier=None, newest=(), alarms=()) == replace(
        other, training=None, earlier=None, newest=(), alarms=()
    )


def test_the_command_says_what_changed(ours: Context, ledger: RuleLedger) -> None:
    environment = {
        "SARING_HOME": str(ledger.folder),
        "SARING_DATABASE_URL": ledger.engine.url.render_as_string(hide_password=False),
    }
    result = answered(typed(environment, "drift", "--weeks", "8", "--recent", "2", "--json"))
    assert result["recent_since"].startswith("2026-02-2")
    assert "label" in {alarm["kind"] for alarm in result["alarms"]}
    assert result["weeks"][-1]["start"].startswith("2026-")
    said = typed(environment, "drift", "--weeks", "8", "--recent", "2").stdout
    assert "alarm: the share of texts with the label porn changed" in said
    assert "no earlier texts" not in said


def test_where_everything_is_recent_the_command_says_so(environment: dict[str, str], tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "jalan sesak lagi pagi ni"}\n{"text": "hujan lebat di Gombak petang tadi"}\n')
    assert typed(environment, "ingest", str(rows), "--source", "s").returncode == 0
    said = typed(environment, "drift").stdout
    assert "There are no earlier texts to compare with: everything is recent." in said


def test_a_store_without_texts_has_no_drift(environment: dict[str, str]) -> None:
    result = answered(typed(environment, "drift", "--json"))
    assert (result["weeks"], result["alarms"], result["champion"], result["training"]) == ([], [], None, None)
