"""The registry of models: one champion a purpose, and why each model is in its state."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import ModelError
from pipeline.learning import registry
from pipeline.models.artefact import LabelSettings, Manifest
from pipeline.store import open_session
from pipeline.store.tables.core import ModelState


def manifest(version: str, purpose: str = "sfw") -> Manifest:
    return Manifest(
        version=version,
        purpose=purpose,
        backend="linear",
        created_at=datetime.now(UTC),
        code_version="0",
        taxonomy_version="t",
        exclusive=False,
        objective="f1",
        labels=(LabelSettings(key="porn", slope=1.0, offset=0.0, threshold=0.5),),
        config={},
        data={},
        metrics={"macro": 0.5},
        artefact_hash="abc",
    )


class Registry:
    """The registry, each call in a transaction of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def register(self, *versions: str, purpose: str = "sfw") -> None:
        for version in versions:
            with open_session(self.engine) as session, session.begin():
                registry.register(session, manifest(version, purpose), Path("/models") / version)

    def promote(self, version: str, reason: str = "better") -> registry.Promotion:
        with open_session(self.engine) as session, session.begin():
            return registry.promote(session, version, reason=reason)

    def rollback(self, reason: str = "worse", purpose: str = "sfw") -> registry.Promotion:
        with open_session(self.engine) as session, session.begin():
            return registry.rollback(session, purpose, reason=reason)

    def reject(self, version: str, reason: str) -> None:
        with open_session(self.engine) as session, session.begin():
            registry.reject(session, version, reason=reason)

    def champion(self, purpose: str = "sfw") -> str | None:
        with open_session(self.engine) as session:
            found = registry.champion(session, purpose)
            return found.version if found is not None else None

    def states(self) -> dict[str, str]:
        with open_session(self.engine) as session:
            return {model.version: str(model.state) for model in registry.list_models(session)}

    def reason(self, version: str) -> str | None:
        with open_session(self.engine) as session:
            return session.get_one(store.Model, version).reason


@pytest.fixture
def models(engine: Engine) -> Registry:
    return Registry(engine)


def test_a_new_model_is_a_candidate(models: Registry, session: Session) -> None:
    models.register("m1")
    model = session.get_one(store.Model, "m1")
    assert (model.state, model.purpose, model.labels, model.thresholds) == (
        ModelState.CANDIDATE,
        "sfw",
        ["porn"],
        {"porn": 0.5},
    )
    assert (model.metrics, model.artefact_hash, model.path, model.parent) == ({"macro": 0.5}, "abc", "/models/m1", None)
    assert models.champion() is None


def test_a_model_that_is_known_keeps_its_state(models: Registry) -> None:
    models.register("m1")
    models.promote("m1")
    models.register("m1")
    assert models.states() == {"m1": "champion"}


def test_one_champion_a_purpose(models: Registry) -> None:
    models.register("m1", "m2")
    models.register("s1", purpose="sentiment")
    models.promote("s1")
    assert models.promote("m1", "first").retired is None
    assert models.promote("m2", "by hand: better on rojak") == registry.Promotion(
        "m2", "m1", "by hand: better on rojak"
    )
    assert models.states() == {"m1": "retired", "m2": "champion", "s1": "champion"}
    assert (models.champion(), models.champion("sentiment")) == ("m2", "s1")
    reason = models.reason("m1")
    assert reason is not None
    assert reason.endswith(": replaced by m2 (by hand: better on rojak)")


def test_the_parent_is_the_champion_when_the_model_was_made(models: Registry, session: Session) -> None:
    models.register("m1")
    models.promote("m1")
    models.register("m2")
    models.promote("m2")
    models.register("m3")
    parents = {model.version: model.parent for model in registry.list_models(session)}
    assert parents == {"m1": None, "m2": "m1", "m3": "m2"}


def test_promoting_the_champion_changes_nothing(models: Registry) -> None:
    models.register("m1")
    models.promote("m1", "first")
    before = models.reason("m1")
    models.promote("m1", "again")
    assert (models.states(), models.reason("m1")) == ({"m1": "champion"}, before)


def test_an_unknown_model_cannot_be_promoted(models: Registry) -> None:
    with pytest.raises(ModelError, match="no model 'm9' is registered"):
        models.promote("m9")


def test_back_and_forth(models: Registry) -> None:
    models.register("m1", "m2")
    models.promote("m1")
    models.promote("m2")
    assert models.rollback("false alarms") == registry.Promotion("m1", "m2", "false alarms")
    assert models.states() == {"m1": "champion", "m2": "rejected"}
    reason = models.reason("m2")
    assert reason is not None
    assert reason.endswith(": rolled back to m1 (false alarms)")
    models.promote("m2", "mended")
    assert models.states() == {"m1": "retired", "m2": "champion"}


def test_rolling_back_twice_goes_two_champions_back_and_never_to_a_rejected_one(models: Registry) -> None:
    models.register("m1", "m2", "m3")
    for version in ("m1", "m2", "m3"):
        models.promote(version, "better than m1 and m2")
    assert [models.rollback().champion, models.rollback().champion] == ["m2", "m1"]
    assert models.states() == {"m1": "champion", "m2": "rejected", "m3": "rejected"}
    with pytest.raises(ModelError, match="m1 is the first champion of 'labels'"):
        models.rollback()
    assert models.champion() == "m1"


def test_of_several_that_it_replaced_the_last_one_comes_back(models: Registry) -> None:
    models.register("m1", "m2", "m3")
    for version in ("m1", "m2", "m3", "m2"):
        models.promote(version)
    assert models.rollback().champion == "m3"


def test_a_version_that_begins_another_is_not_taken_for_it(models: Registry) -> None:
    models.register("m1", "m_", "mx", "m_2")
    models.promote("mx")
    models.promote("m_2")
    models.promote("m_")
    with open_session(models.engine) as session, session.begin():
        # as if it were the first
        session.get_one(store.Model, "m_2").state = ModelState.CANDIDATE
    with pytest.raises(ModelError, match="m_ is the first champion"):
        models.rollback()


def test_a_rejected_model_says_why_and_only_a_promotion_brings_it_in(models: Registry) -> None:
    models.register("m1", "m2")
    models.promote("m1")
    models.reject("m2", "recall of porn falls")
    assert models.states() == {"m1": "champion", "m2": "rejected"}
    reason = models.reason("m2")
    assert reason is not None
    assert reason.endswith(": recall of porn falls")
    models.promote("m2", "by hand: it is the rojak that counts")
    assert models.states() == {"m1": "retired", "m2": "champion"}


def test_the_champion_is_not_rejected_nor_is_an_unknown_model(models: Registry) -> None:
    models.register("m1")
    models.promote("m1")
    with pytest.raises(ModelError, match="m1 is the champion: restore the one before with `saring models rollback`"):
        models.reject("m1", "worse")
    with pytest.raises(ModelError, match="no model 'm9' is registered"):
        models.reject("m9", "worse")
    assert models.states() == {"m1": "champion"}


def test_there_must_be_a_champion_to_roll_back(models: Registry) -> None:
    models.register("m1")
    with pytest.raises(ModelError, match="'labels' has no champion to roll back"):
        models.rollback()


def test_promotions_at_the_same_time_leave_one_champion(models: Registry) -> None:
    versions = [f"m{i}" for i in range(8)]
    models.register(*versions)
    together = threading.Barrier(len(versions))

    def promote(version: str) -> registry.Promotion:
        together.wait()
        return models.promote(version)

    with ThreadPoolExecutor(len(versions)) as pool:
        done = list(pool.map(promote, versions))
    states = models.states()
    [last] = [version for version, state in states.items() if state == "champion"]
    assert all(state == "retired" for version, state in states.items() if version != last)
    # they took turns: each but the last was retired by the next, and each but the first retired one
    assert sorted(one.retired or "" for one in done) == sorted(["", *(set(versions) - {last})])
