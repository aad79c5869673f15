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
from pipeline.store.tables.human_loop import AnnotationState
from saring.services import LabelStudioAccess
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
    #: annotations that are there, with whoever made them
    made: dict[int, Person] = field(default_factory=dict)
    on_their_way: list[Json] = field(default_factory=list)
    arrived: list[Json] = field(default_factory=list)

    def act(self) -> None:
        what = self.rng.choices(["create", "change", "delete", "skip", "take up"], [5, 4, 2, 2, 1])[0]
        if what == "create" or not self.made:
            person = self.rng.choice(self.people)
            one = annotate(
                person.api, self.rng.choice(self.tasks), self._labels(), was_cancelled=self.rng.random() < 0.2
            )
            self.made[one["id"]] = person
            self._event("ANNOTATION_CREATED", {"annotation": {"id": one["id"]}})
            return
        chosen = self.rng.choice(sorted(self.made))
        # mostly, but not always, whoever made it
        person = self.made[chosen] if self.rng.random() < 0.7 else self.rng.choice(self.people)
        path = f"/api/annotations/{chosen}/"
        if what == "delete":
            person.api.delete(path).raise_for_status()
            del self.made[chosen]
            self._event("ANNOTATIONS_DELETED", {"annotations": [{"id": chosen}]})
            return
        region = {"from_name": "labels", "to_name": "text", "type": "choices", "value": {"choices": self._labels()}}
        changed: Json = {"skip": {"was_cancelled": True}, "take up": {"was_cancelled": False}}.get(
            what, {"result": [region]}
        )
        person.api.patch(path, json=changed).raise_for_status()
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
            for one in session.scalars(select(a).where(a.state != AnnotationState.DELETED))
        }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_pulls_in_any_order_of_things_end_where_a_comparison_from_scratch_ends(
    server_url: str,
    engine: Engine,
    label_studio: LabelStudioAccess,
    people: list[Person],
    tmp_path: Path,
    seed: int,
) -> None:
    rng = random.Random(seed)
    with new_world(engine, label_studio, tmp_path) as world:
        given = world.push(lines(_TASKS))
        engine.dispose()  # or the store cannot be copied
        with new_database(server_url, str(engine.url.database)) as url:
            crowd = Crowd(world, people, [one.task for one in given], rng)
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
            assert set(world.stands()) == set(scratch.stands())
            assert noted(engine) == noted(fresh)
            assert len(world.stands()) == len(set(world.stands()))
            fresh.dispose()

            before = world.revisions()
            assert world.reconcile().repaired == 0
            world.move_cursor(watermark=datetime(2020, 1, 1, tzinfo=UTC), looked_at=None)
            world.pull()
            assert world.revisions() == before
