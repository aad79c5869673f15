"""Accounts that write, change or delete annotations of others, which Label Studio lets every account do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from pipeline.errors import UsageError
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import AnnotationState, Decision
from saring.services import LabelStudioAccess
from sync.pull.interventions import Interventions, decide, held_deletions, interventions
from tests.support.commands import answered, refused, typed
from tests.support.label_studio import TAXONOMY, Person, annotate, invited
from tests.support.pulled import World, new_world


@pytest.fixture(scope="module")
def people(label_studio: LabelStudioAccess) -> Iterator[tuple[Person, Person]]:
    with invited(label_studio) as aina, invited(label_studio) as balan:
        yield aina, balan


@pytest.fixture
def aina(people: tuple[Person, Person]) -> Person:
    return people[0]


@pytest.fixture
def balan(people: tuple[Person, Person]) -> Person:
    return people[1]


@pytest.fixture
def world(engine: Engine, label_studio: LabelStudioAccess, tmp_path: Path) -> Iterator[World]:
    with new_world(engine, label_studio, tmp_path) as made:
        yield made


def rewrite(api: httpx.Client, annotation: int, label: str) -> None:
    region = {"from_name": "labels", "to_name": "text", "type": "choices", "value": {"choices": [label]}}
    api.patch(f"/api/annotations/{annotation}/", json={"result": [region]}).raise_for_status()


def stand(world: World) -> set[tuple[str, tuple[str, ...]]]:
    return {(one.rater, one.asserted) for one in world.stands()}


def noted(world: World) -> tuple[Interventions, ...]:
    with open_session(world.engine) as session:
        return interventions(session)


def decided(world: World, numbers: list[int] | None, decision: Decision) -> int:
    return decide(world.engine, numbers, decision, taxonomy_version=TAXONOMY.version, now=datetime.now(UTC)).withdrawn


def test_what_another_writes_into_an_answer_is_the_word_of_that_other(
    world: World, aina: Person, balan: Person
) -> None:
    [given] = world.take()
    made = annotate(aina.api, given.task, ["hate"])
    world.pull()
    rewrite(balan.api, made["id"], "porn")
    assert world.pull().counts["changed by another account"] == 1
    assert stand(world) == {(aina.rater, ("hate",)), (balan.rater, ("porn",))}
    # a second look and a full comparison find nothing more
    world.pull()
    assert world.reconcile().repaired == 0
    assert noted(world) == (Interventions(balan.rater, 0, 1, 0, 0),)
    # she writes it again: both have spoken
    rewrite(aina.api, made["id"], "racist")
    world.pull()
    assert stand(world) == {(aina.rater, ("racist",)), (balan.rater, ("porn",))}


def test_an_answer_that_is_emptied_by_another_stays(world: World, aina: Person, balan: Person) -> None:
    [given] = world.take()
    made = annotate(aina.api, given.task, ["hate"])
    world.pull()
    for change in ({"result": []}, {"was_cancelled": True}):
        balan.api.patch(f"/api/annotations/{made['id']}/", json=change).raise_for_status()
        world.pull()
        assert stand(world) == {(aina.rater, ("hate",))}


def test_an_answer_in_the_name_of_another_is_the_word_of_whoever_made_it(
    world: World, aina: Person, balan: Person
) -> None:
    [given] = world.take()
    annotate(balan.api, given.task, ["hate"], completed_by=aina.user_id)
    assert world.pull().counts["written by another account"] == 1
    assert stand(world) == {(balan.rater, ("hate",))}


@pytest.mark.parametrize("change", [{"ground_truth": True}, {"lead_time": 9.0}, {"completed_by": "other"}])
def test_a_change_that_says_nothing_of_the_text_leaves_the_answer_with_its_rater(
    world: World, aina: Person, balan: Person, change: dict[str, object]
) -> None:
    [given] = world.take()
    made = annotate(aina.api, given.task, ["hate"])
    world.pull()
    fields = {name: balan.user_id if value == "other" else value for name, value in change.items()}
    balan.api.patch(f"/api/annotations/{made['id']}/", json=fields).raise_for_status()
    world.pull()
    assert stand(world) == {(aina.rater, ("hate",))}
    assert noted(world) == ()


def test_a_deletion_by_another_waits_for_a_maintainer(world: World, aina: Person, balan: Person) -> None:
    given = world.take(3)
    made = [annotate(aina.api, one.task, ["hate"]) for one in given]
    world.pull()
    for one in made[:2]:
        balan.api.delete(f"/api/annotations/{one['id']}/").raise_for_status()
    aina.api.delete(f"/api/annotations/{made[2]['id']}/").raise_for_status()
    report = world.pull()
    # her own is taken back at once
    assert (report.counts["deleted by another account"], report.counts["deleted"]) == (2, 1)
    assert {one.text_id for one in world.stands()} == {one.text_id for one in given[:2]}
    world.pull()
    assert world.reconcile().repaired == 0
    assert noted(world) == (Interventions(balan.rater, 0, 0, 2, 2),)

    with open_session(world.engine) as session:
        first, second = held_deletions(session)
    assert (first.rater, first.actor, first.labels, first.task) == (
        aina.rater,
        balan.rater,
        ("hate",),
        given[0].task,
    )
    assert decided(world, [first.id], Decision.AGREED) == 1
    assert decided(world, [second.id], Decision.REFUSED) == 0
    assert {one.text_id for one in world.stands()} == {given[1].text_id}
    assert world.states(given[0].task) == [AnnotationState.DELETED]
    world.pull()
    assert world.reconcile().repaired == 0
    assert {one.text_id for one in world.stands()} == {given[1].text_id}
    with pytest.raises(UsageError, match="no deletion"):
        decided(world, [first.id], Decision.AGREED)


def test_a_deletion_by_the_account_that_saring_uses_is_a_maintainers(world: World, aina: Person) -> None:
    [given] = world.take()
    made = annotate(aina.api, given.task, ["hate"])
    world.pull()
    world.api.delete(f"/api/annotations/{made['id']}/").raise_for_status()
    world.pull()
    assert world.stands() == []
    assert noted(world) == ()


def test_whoever_deletes_an_answer_that_they_rewrote_takes_back_their_own_word_only(
    world: World, aina: Person, balan: Person
) -> None:
    [given] = world.take()
    made = annotate(aina.api, given.task, ["hate"])
    world.pull()
    rewrite(balan.api, made["id"], "porn")
    world.pull()
    balan.api.delete(f"/api/annotations/{made['id']}/").raise_for_status()
    world.pull()
    assert stand(world) == {(aina.rater, ("hate",))}


def test_whoever_deletes_their_answer_that_another_rewrote_takes_back_their_own_word_only(
    world: World, aina: Person, balan: Person
) -> None:
    [given] = world.take()
    made = annotate(aina.api, given.task, ["hate"])
    world.pull()
    rewrite(balan.api, made["id"], "porn")
    world.pull()
    aina.api.delete(f"/api/annotations/{made['id']}/").raise_for_status()
    world.pull()
    assert stand(world) == {(balan.rater, ("porn",))}
    assert decided(world, None, Decision.AGREED) == 1
    assert stand(world) == set()


def test_a_text_that_is_changed_under_an_answer_does_not_get_that_answer(
    world: World, aina: Person, balan: Person
) -> None:
    [given] = world.take()
    annotate(aina.api, given.task, ["hate"])
    world.pull()
    data = balan.api.get(f"/api/tasks/{given.task}/").json()["data"]
    changed = {"data": data | {"text": "Jadual bas hari ini sudah keluar, terima kasih."}}
    balan.api.patch(f"/api/tasks/{given.task}/", json=changed).raise_for_status()
    world.pull()
    assert [(one.text_id, one.asserted) for one in world.stands()] == [(given.text_id, ("hate",))]


def test_a_maintainer_reads_who_did_what_and_decides_at_the_command_line(
    world: World, aina: Person, balan: Person, environment: dict[str, str]
) -> None:
    given = world.take(2)
    for one in given:
        made = annotate(aina.api, one.task, ["hate"])
        world.pull()
        balan.api.delete(f"/api/annotations/{made['id']}/").raise_for_status()
    world.pull()
    report = typed(environment | {"COLUMNS": "200"}, "sync", "quality").stdout
    assert f"#{balan.rater} deleted 2 annotations of others: 2 wait for you, see `saring sync deletions`" in report
    listed = answered(typed(environment, "sync", "deletions", "--json"))["waiting"]
    assert [(one["rater"], one["actor"]) for one in listed] == [(aina.rater, balan.rater)] * 2
    shown = typed(environment, "sync", "deletions").stdout
    assert all(f"#{person.rater}" in shown for person in (aina, balan))

    assert "add --agree or --refuse" in refused(typed(environment, "sync", "deletions", "1"), 2)
    assert "or give --all" in refused(typed(environment, "sync", "deletions", "--agree"), 2)
    first = str(listed[0]["id"])
    assert answered(typed(environment, "sync", "deletions", first, "--agree", "--json")) == {
        "decided": 1,
        "withdrawn": 1,
    }
    said = typed(environment, "sync", "deletions", "--all", "--refuse").stdout
    assert "1 deletion decided; 1 judgement kept." in said
    assert len(world.stands()) == 1
    assert "No deletion waits" in typed(environment, "sync", "deletions").stdout
