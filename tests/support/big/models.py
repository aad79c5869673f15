"""Models that are really trained, on the first texts of the store: a retired one, the champion, and one rejected."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, update

from pipeline import store
from pipeline.learning.gate.rules import Margins
from pipeline.learning.registry import promote, reject
from pipeline.learning.retrain import retrain
from pipeline.learning.sets.snapshot import SnapshotPolicy
from pipeline.learning.train import TrainConfig
from pipeline.models.artefact import load_model
from pipeline.models.features import NgramConfig
from pipeline.models.linear import LinearConfig
from pipeline.store import open_session
from tests.support.big.world import World

#: inverse strength of the penalty, buckets of words (as a power of two), when it was trained, and what became of it
_TRAININGS = ((0.02, 10, 0.4, "retired"), (0.3, 13, 0.75, "champion"), (0.003, 9, 0.95, "rejected"))


def plant_models(engine: Engine, world: World, models: Path, snapshots: Path) -> str:
    """Train and register the models; the champion's version."""
    harmful = tuple(label.key for label in world.taxonomy.labels if not label.benign)
    champion = ""
    for strength, bits, moment, state in _TRAININGS:
        done = retrain(
            engine,
            world.taxonomy,
            TrainConfig(
                taxonomy_version=world.taxonomy.version,
                harmful=harmful,
                linear=LinearConfig(NgramConfig(char_bits=bits + 1, word_bits=bits), C=strength, workers=1),
                seed=world.seed,
            ),
            SnapshotPolicy(),
            models_dir=models,
            snapshots_dir=snapshots,
            load=load_model,
            margins=Margins(latency_ms=10_000),
        )
        version = done.report.model.manifest.version
        with open_session(engine) as session, session.begin():
            if state == "rejected" and done.promoted:
                promote(session, champion, reason="the one before is better on rare labels")
                reject(session, version, reason="not promoted: it finds fewer rare labels")
            elif state != "rejected":
                promote(session, version, reason=done.verdict)
            m = store.Model
            session.execute(update(m).where(m.version == version).values(created_at=world.at(moment)))
        champion = champion if state == "rejected" else version
    return champion
