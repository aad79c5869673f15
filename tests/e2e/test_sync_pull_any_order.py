"""Whatever people do, and whichever events arrive, pulls end in what a comparison from scratch would have found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select

from pipeline import store
from pipeline.store import make_engine
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import AnnotationState, Decision
from saring.services import LabelStudioAccess
from sync.pull.interventions import decide
from tests.support.label_studio import TAXONOMY, Person, annotate, invited, lines
from tests.support.pulled import World, new_world
from tests.support.store import new_database

Json = dict[str, Any]
_OPERATIONS, _TASKS = 25, 6


@pytest.fixture(scope="module")
def people(label_studio: LabelStudioAccess) -> Iterator[list[Person]]:
    with ExitStack() as stack:
        yield [stack.enter_context(invited(label_studio)) for _ in range(2)]


@dataclass(slots=True)
class Crowd:
    """Two people, and events on their way."""

    world: World
    people: list[Person]
    tasks: list[int]
    rng: random.Random
    #: whether they change and delete each other's annotations
    meddling: bool
    #: annotations that are there, with whoever made them
    made: dict[int, Person] = field(default_factory=dict)
    #: the ticks in each annotation
    ticked: dict[int, list[str]] = field(default_factory=dict)
    #: everything that somebody wrote: the account, and the ticks
    wrote: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)
    on_their_way: list[Json] = field(default_factory=list)
    arrived: list[Json] = field(default_factory=list)

    def act(self) -> None:
        what = self.rng.choices(["create", "change", "delete", "skip", "take up"], [5, 4, 2, 2, 1])[0]
        if what == "create" or not self.made:
            person = self.rng.choice(self.people)
            labels, skipped = self._labels(), self.rng.random() < 0.2
            one = annotate(person.api, self.rng.choice(self.tasks), labels, was_cancelled=skipped)
            self.made[one["id"]] = person
            self._wrote(person, one["id"], labels)
            self._event("ANNOTATION_CREATED", {"annotation": {"id": one["id"]}})
            return
        chosen = self.rng.choice(sorted(self.made))
        # mostly, but not always, whoever made it
        own = not self.meddling or self.rng.random() < 0.7
        person = self.made[chosen] if own else self.rng.choice(self.people)
        path = f"/api/annotations/{chosen}/"
        if what == "delete":
            person.api.delete(path).raise_for_status()
            del self.made[chosen]
            self._event("ANNOTATIONS_DELETED", {"annotations": [{"id": chosen}]})
            return
        labels = self._labels()
        region = {"from_name": "labels", "to_name": "text", "type": "choices", "value": {"choices": labels}}
        changed: Json = {"skip": {"was_cancelled": True}, "take up": {"was_cancelled": False}}.get(
            what, {"result": [region]}
        )
        person.api.patch(path, json=changed).raise_for_status()
        self._wrote(person, chosen, labels if "result" in changed else self.ticked[chosen])
        self._event("ANNOTATION_UPDATED", {"annotation": {"id": chosen}})

    def deliver(self) -> None:
        """Some events arrive, late, out of order, or again; some never do."""
        self.rng.shuffle(self.on_their_way)
        count = self.rng.randint(0, len(self.on_their_way))
        coming = [one for one in self.on_their_way[:count] if self.rng.random() < 0.8]
        del self.on_their_way[:count]
        if self.arrived and self.rng.random() < 0.5:
            coming.append(self.rng.choice(self.arrived))
        self.arrived += coming
        if coming:
            with open_session(self.world.engine) as session, session.begin():
                session.execute(insert(store.Event), coming)

    def is_woken(self) -> bool:
        with open_session(self.world.engine) as session:
            return session.scalars(select(store.Event).where(store.Event.handled_at.is_(None))).first() is not None

    def _wrote(self, person: Person, annotation: int, labels: list[str]) -> None:
        self.ticked[annotation] = labels
        self.wrote.add((person.rater, tuple(sorted(labels))))

    def _labels(self) -> list[str]:
        return self.rng.sample(TAXONOMY.keys[:5], self.rng.randint(1, 2))

    def _event(self, action: str, body: Json) -> None:
        project = self.world.project.label_studio_id
        self.on_their_way.append(
            {"action": action, "label_studio_project": project, "body": body, "received_at": datetime.now(UTC)}
        )


def noted(engine: Engine) -> set[tuple[object, ...]]:
    """What is noted of the annotations that are there."""
    a = store.Annotation
    with open_session(engine) as session:
        return {
            (one.label_studio_id, one.created_at, one.updated_at, one.state, tuple(one.chosen), one.change, one.task_id)
            for one in session.scalars(select(a).where(a.state.not_in([AnnotationState.DELETED, AnnotationState.HELD])))
        }


@pytest.mark.parametrize(("seed", "meddling"), [(1, False), (2, False), (3, True), (4, True)])
def test_pulls_in_any_order_of_things_end_where_a_comparison_from_scratch_ends(
    server_url: str,
    engine: Engine,
    label_studio: LabelStudioAccess,
    people: list[Person],
    tmp_path: Path,
    seed: int,
    meddling: bool,
) -> None:
    rng = random.Random(seed)
    with new_world(engine, label_studio, tmp_path) as world:
        given = world.push(lines(_TASKS))
        engine.dispose()  # or the store cannot be copied
        with new_database(server_url, str(engine.url.database)) as url:
            crowd = Crowd(world, people, [one.task for one in given], rng, meddling)
            for _ in range(_OPERATIONS):
                crowd.act()
                if rng.random() < 0.4:
                    crowd.deliver()
                if crowd.is_woken() or rng.random() < 0.1:
                    world.pull()
                    assert not crowd.is_woken()
            world.pull()

            fresh = make_engine(url)
            scratch = World(fresh, world.client, world.api, world.project, tmp_path)
            assert scratch.said() == []
            scratch.reconcile()
            # where others worked on a task meanwhile, the server no longer tells that a rater deleted their own answer
            decide(engine, None, Decision.AGREED, taxonomy_version=TAXONOMY.version, now=datetime.now(UTC))
            if not meddling:
                assert set(world.stands()) == set(scratch.stands())
            # of what several wrote into one annotation, a comparison sees the last; what a pull met before that stays
            for one in (*world.stands(), *scratch.stands()):
                assert (one.rater, one.asserted) in crowd.wrote
            assert noted(engine) == noted(fresh)
            assert len(world.stands()) == len(set(world.stands()))
            fresh.dispose()

            before = world.revisions()
            assert world.reconcile().repaired == 0
            world.move_cursor(watermark=datetime(2020, 1, 1, tzinfo=UTC), looked_at=None)
            world.pull()
            assert world.revisions() == before
