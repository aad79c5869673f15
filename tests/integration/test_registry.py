"""The registry of models and retraining from the ledger: one champion, changed only for one that is not worse."""

from __future__ import annotations

import random
import re
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.classifiers.artefact import LabelSettings, Manifest, load_model
from pipeline.classifiers.features import NgramConfig
from pipeline.classifiers.linear import LinearConfig
from pipeline.errors import ModelError, NotEnoughLabels, RunConflict
from pipeline.ingest.normalise import text_id
from pipeline.learning import registry
from pipeline.learning.retrain import Retrained, retrain
from pipeline.learning.snapshot import SnapshotPolicy
from pipeline.learning.train import TrainConfig
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.ledger.rater_kind import RaterKind
from pipeline.ledger.resolve import RaterRef
from pipeline.runs import stage_run
from pipeline.store import open_session
from pipeline.store.models import ModelState
from pipeline.taxonomy import Taxonomy, load_taxonomy

_RULE = {"porn": "lucah", "violence": "tumbuk"}
_FILLER = """
    semalam kami pergi kedai kawan baru jalan jauh pagi petang rumah besar kecil baik cantik murah lambat cepat ramai
    budak sekolah cikgu bas kereta motor laut bukit pulau kampung bandar cerita lagu filem buku main bola
"""


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


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
    with pytest.raises(ModelError, match="m1 is the first champion of 'sfw'"):
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


def test_there_must_be_a_champion_to_roll_back(models: Registry) -> None:
    models.register("m1")
    with pytest.raises(ModelError, match="'sfw' has no champion to roll back"):
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


class Ledger:
    """Texts that a data set judged by a rule, and split."""

    def __init__(self, engine: Engine, taxonomy: Taxonomy, folder: Path) -> None:
        self.engine, self.taxonomy, self.folder = engine, taxonomy, folder
        self.texts: dict[uuid.UUID, frozenset[str]] = {}
        self.splits: dict[uuid.UUID, str] = {}

    def plant(self, sizes: Mapping[str, int]) -> None:
        rng = random.Random(8)
        for split, size in sizes.items():
            for _ in range(size):
                labels = frozenset(label for label in _RULE if rng.random() < 0.4)
                words = [*rng.choices(_FILLER.split(), k=12), *(_RULE[label] for label in sorted(labels))]
                rng.shuffle(words)
                id_ = text_id(" ".join(words))
                self.texts[id_], self.splits[id_] = labels, split
                with open_session(self.engine) as session, session.begin():
                    session.execute(insert(store.Text).values(id=id_, body="secret", masked=" ".join(words)))
        with open_session(self.engine) as session, session.begin():
            source = session.execute(insert(store.Source).values(name="korpus").returning(store.Source.id)).scalar_one()
            rows = [
                {"source_id": source, "external_id": str(id_), "text_id": id_, "split": split, "run_id": 0}
                for id_, split in self.splits.items()
            ]
            session.execute(insert(store.TextSource), rows)
        self.say(RaterRef(RaterKind.EXTERNAL, "korpus"), self.texts)

    def say(
        self, who: RaterRef, texts: Mapping[uuid.UUID, frozenset[str]] | Sequence[uuid.UUID], *, flip: bool = False
    ) -> None:
        """Judge texts by the rule, or against it."""
        said = []
        for id_ in texts:
            yes, no = self.texts[id_], frozenset(_RULE) - self.texts[id_]
            said.append(NewJudgement(id_, *((no, yes) if flip else (yes, no))))
        with open_session(self.engine) as session, session.begin():
            record(session, rater_id(session, who), said, taxonomy_version=self.taxonomy.version)

    def retrain(self) -> Retrained:
        config = TrainConfig(
            taxonomy_version=self.taxonomy.version,
            linear=LinearConfig(ngrams=NgramConfig(char_bits=12, word_bits=11), workers=1),
            seed=3,
        )
        return retrain(
            self.engine,
            self.taxonomy,
            config,
            SnapshotPolicy(),
            models_dir=self.folder / "models",
            snapshots_dir=self.folder / "snapshots",
            load=load_model,
        )


@pytest.fixture
def ledger(engine: Engine, taxonomy: Taxonomy, tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(engine, taxonomy, tmp_path)
    made.plant({"train": 160, "dev": 50, "test": 60})
    yield made


def test_the_first_model_is_promoted_and_knows_its_snapshot(ledger: Ledger, models: Registry, session: Session) -> None:
    done = ledger.retrain()
    version = done.report.model.manifest.version
    assert (done.promoted, done.verdict) == (True, "the first model of its purpose")
    assert models.states() == {version: "champion"}
    assert done.report.evaluation.overall.macro_average_precision.value > 0.9
    assert done.report.splits == {"train": 160, "dev": 50, "test": 60}
    model = session.get_one(store.Model, version)
    [run] = session.scalars(select(store.Run))
    assert (model.snapshot_id, model.run_id) == (done.snapshot.id, run.id)
    assert run.counts["model"] == version
    assert load_model(Path(model.path)).manifest.data["snapshot"] == done.snapshot.hash


def test_a_worse_challenger_is_refused(ledger: Ledger, models: Registry) -> None:
    first = ledger.retrain().report.model.manifest.version
    # somebody who gets everything wrong judges what is trained on, and is believed before the data set
    poisoned = [id_ for id_, split in ledger.splits.items() if split == "train"]
    ledger.say(RaterRef(RaterKind.HUMAN, "badrul"), poisoned, flip=True)
    done = ledger.retrain()
    version = done.report.model.manifest.version
    assert version != first
    assert not done.promoted
    assert re.search(r"over 2 labels of the same \d+ texts", done.verdict)
    assert models.states() == {first: "champion", version: "candidate"}
    # and what was mended is no worse
    ledger.say(RaterRef(RaterKind.HUMAN, "badrul"), poisoned)
    mended = ledger.retrain()
    assert mended.promoted
    assert mended.report.evaluation.overall.macro_average_precision.value > 0.9
    assert models.champion() == mended.report.model.manifest.version


def test_retraining_from_the_same_ledger_gives_the_same_model(ledger: Ledger, models: Registry) -> None:
    first, second = ledger.retrain(), ledger.retrain()
    assert second.snapshot.id == first.snapshot.id
    assert second.report.model.manifest.version == first.report.model.manifest.version
    assert second.promoted
    assert models.states() == {first.report.model.manifest.version: "champion"}


def test_an_empty_ledger_is_no_model(engine: Engine, taxonomy: Taxonomy, models: Registry, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughLabels, match="nothing is decided of any text"):
        Ledger(engine, taxonomy, tmp_path).retrain()
    assert not models.states()


def test_two_trainings_do_not_run_at_once(ledger: Ledger, models: Registry) -> None:
    with stage_run(ledger.engine, "train", slice="sfw"), pytest.raises(RunConflict):
        ledger.retrain()
    assert not models.states()
