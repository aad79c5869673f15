"""What stages and people make of the texts afterwards: summaries, disputes, words, requests."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine, insert, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.filters import centroid, sentiment
from pipeline.filters.summary import summarise
from pipeline.ledger.taxonomies import keep_taxonomy
from pipeline.review.find import FindConfig, find_disputes
from pipeline.search.query import Query
from pipeline.search.saved import save
from pipeline.search.spelling import renew
from pipeline.store import open_session
from tests.support.big.world import World

#: texts that the models learn from which look for wrong labels
_LEARNT = 3_000


def plant_derived(engine: Engine, world: World) -> None:
    """Compute and plant it, once all texts are there."""
    with open_session(engine) as session, session.begin():
        for stage in (centroid.STAGE, sentiment.STAGE):
            summarise(session, stage, world.keys)
        renew(session)
    find_disputes(engine, world.taxonomy, FindConfig(learnt=_LEARNT), seed=world.seed)
    with open_session(engine) as session, session.begin():
        _plant_versions(session, world)
        save(session, "harga <b>durian</b>", Query(words="harga durian", language="ms"))
        _plant_requests(session, world)
        save(session, "yang serupa dengan aduan", Query(meaning="jalan rosak di taman"))


def _plant_versions(session: Session, world: World) -> None:
    """The taxonomy in force, and an older version of it."""
    keep_taxonomy(session, world.taxonomy)
    t = store.TaxonomyVersion
    content = session.scalar(select(t.content))
    older = {**content, "labels": [dict(label) for label in content["labels"]]}
    older["labels"][0]["definition"] = {"en": "An older definition.", "ms": "Takrif yang lebih lama."}
    session.execute(insert(t).values(version="0123456789abcdef", content=older, first_seen=world.at(0)))


def _plant_requests(session: Session, world: World) -> None:
    """Runs that were asked for: one that waits, one that was begun, one that could not begin."""
    r = store.RunRequest
    last = session.scalar(select(store.Run.id).order_by(store.Run.id.desc()).limit(1))
    for values in (
        {"stage": "embed"},
        {"stage": "judge", "settled_at": world.at(0.99), "runs": [last]},
        {"stage": "train", "settled_at": world.at(0.98), "error": "no label can be learnt: give more texts"},
    ):
        at = values.get("settled_at", world.now) - timedelta(minutes=2)
        session.execute(insert(r).values(asked_by="badrul", asked_at=at, sent_at=at, **values))
