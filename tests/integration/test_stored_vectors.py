"""A model that needs vectors reads those of the store, and computes what is not there."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.models.artefact import load_model
from pipeline.preannotation.policy import default_policy
from pipeline.preannotation.propose import propose
from pipeline.store import open_session
from pipeline.taxonomy import load_taxonomy
from pipeline.vectors.encoders.protocol import Vectors, unit
from pipeline.vectors.stored import reading_vectors
from pipeline.vectors.table import put_vectors, register_encoder
from tests.support.ledger import RuleLedger


class Directions:
    """An encoder that notes what it computes."""

    name = "directions"
    dimension = 3

    def __init__(self) -> None:
        self.computed: list[str] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.computed += texts
        return unit(np.array([[len(body) % 7, 1, "lucah" in body] for body in texts], dtype=np.float32))


@pytest.fixture
def encoder() -> Directions:
    return Directions()


@pytest.fixture
def ledger(engine: Engine, tmp_path: Path, encoder: Directions) -> RuleLedger:
    """A ledger whose texts have vectors, but for ten of them."""
    made = RuleLedger(engine, load_taxonomy(), tmp_path)
    made.plant({"train": 160, "dev": 50, "test": 60})
    with open_session(engine) as session, session.begin():
        register_encoder(session, encoder)
        bodies = masked_of(engine)
        ids = sorted(made.texts)[10:]
        put_vectors(session, encoder.name, ids, Directions().encode([bodies[text_id] for text_id in ids]))
    return made


def masked_of(engine: Engine) -> dict[uuid.UUID, str]:
    with open_session(engine) as session:
        rows = session.execute(select(store.Text.id, store.Text.masked)).all()
    return {row.id: row.masked for row in rows}


def test_a_training_computes_only_vectors_that_the_store_lacks(
    ledger: RuleLedger, engine: Engine, encoder: Directions
) -> None:
    done = ledger.retrain(
        encoder=encoder.name, encode=encoder.encode, load=lambda folder: load_model(folder, encoder.encode)
    )
    assert done.promoted
    assert done.report.model.manifest.encoder == encoder.name
    without = sorted(ledger.texts)[:10]
    bodies = masked_of(engine)
    learnt = {bodies[text_id] for text_id, split in ledger.splits.items() if split != "test"}
    assert set(encoder.computed) & learnt == {bodies[i] for i in without if ledger.splits[i] != "test"}
    # The gate times the model as it is served: it computes the vector of each text.
    timed = {bodies[text_id] for text_id, split in ledger.splits.items() if split == "test"}
    assert timed <= set(encoder.computed)


def test_a_model_that_reads_vectors_gives_the_same_probabilities(
    ledger: RuleLedger, engine: Engine, encoder: Directions
) -> None:
    done = ledger.retrain(encoder=encoder.name, encode=encoder.encode)
    model = load_model(done.report.path, encoder.encode)
    bodies = masked_of(engine)
    asked = [*bodies.values(), "ini ayat baru", next(iter(bodies.values()))]
    expected = model.probabilities(asked)
    encoder.computed.clear()
    reads = reading_vectors(partial(open_session, engine), model, {masked: i for i, masked in bodies.items()})
    # What is stored has half precision.
    assert reads.probabilities(asked) == pytest.approx(expected, abs=2e-3)
    assert set(encoder.computed) == {bodies[i] for i in sorted(ledger.texts)[:10]} | {"ini ayat baru"}
    assert reads.probabilities([]).shape == (0, 2)


def test_a_model_of_words_stays_as_it_is(ledger: RuleLedger, engine: Engine) -> None:
    model = ledger.retrain().report.model
    assert reading_vectors(partial(open_session, engine), model, {}) is model


def test_proposals_for_texts_of_the_store_compute_only_what_it_lacks(
    ledger: RuleLedger, engine: Engine, encoder: Directions
) -> None:
    done = ledger.retrain(encoder=encoder.name, encode=encoder.encode)
    model = load_model(done.report.path, encoder.encode)
    encoder.computed.clear()
    ids, bodies = sorted(ledger.texts), masked_of(engine)
    with open_session(engine) as session:
        found = propose(session, ids, taxonomy=load_taxonomy(), model=model, policy=default_policy(), people=False)
    assert set(found) == set(ids)
    assert sorted(encoder.computed) == sorted(bodies[text_id] for text_id in ids[:10])


def test_a_training_says_of_how_many_texts_it_computed_no_vector(
    ledger: RuleLedger, engine: Engine, encoder: Directions
) -> None:
    learnt = [i for i in sorted(ledger.texts)[:10] if ledger.splits[i] == "train"]
    assert len(learnt) > 2
    done = ledger.retrain(encoder=encoder.name, encode=encoder.encode, computed_vectors=2)
    assert done.report.cut_short == f"{len(learnt) - 2} training texts without a stored vector got none"
