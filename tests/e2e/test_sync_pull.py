"""What a volunteer does to an annotation, and what the ledger gets of it: once, and in whose name."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from pipeline.store.tables.human_loop import AnnotationState, Change
from saring.services import LabelStudioAccess
from tests.support.label_studio import Line, Person, annotate, invited, tasks_of
from tests.support.pulled import World, denied_by, new_world

Json = dict[str, Any]


@pytest.fixture(scope="module")
def world(
    module_engine: Engine, label_studio: LabelStudioAccess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """One project for all tests here: each takes tasks that no other touches."""
    with new_world(module_engine, label_studio, tmp_path_factory.mktemp("world")) as made:
        made.pool = made.push([Line(f"ayat kumpulan {i} {uuid.uuid4().hex[:6]}", ("hate",)) for i in range(40)])
        yield made


@pytest.fixture(scope="module")
def balan(label_studio: LabelStudioAccess) -> Iterator[Person]:
    with invited(label_studio) as person:
        yield person


def ticks(*labels: str, origin: str | None = None) -> list[Json]:
    region: Json = {
        "id": "labels",
        "from_name": "labels",
        "to_name": "text",
        "type": "choices",
        "value": {"choices": list(labels)},
    }
    return [region | ({"origin": origin} if origin else {})]


def undecided() -> list[Json]:
    return [ticks("can't decide")[0] | {"id": "undecided", "from_name": "undecided"}]


def remark(text: str) -> list[Json]:
    return [{"id": "c", "from_name": "comment", "to_name": "text", "type": "textarea", "value": {"text": [text]}}]


def shown_prediction(world: World, task: int) -> Json:
    [found] = world.api.get(f"/api/tasks/{task}/").raise_for_status().json()["predictions"]
    return dict(found)


def test_what_is_submitted_comes_home_once_in_the_name_of_its_rater(world: World, balan: Person) -> None:
    [given] = world.take()
    annotate(balan.api, given.task, ["hate", "racist"])
    first = world.pull()
    assert first.counts["new submitted"] == 1
    [verdict] = world.said(given.text_id)
    assert verdict.rater == balan.rater
    assert (verdict.asserted, verdict.denied) == (("hate", "racist"), denied_by("hate", "racist"))
    # whether the change is still within the overlap or not
    again = world.pull()
    assert (again.counts["judgements"], again.counts["revisions"]) == (0, 0)
    world.move_cursor(watermark=world.cursor().watermark.replace(year=2020), looked_at=None)
    assert world.pull().counts["judgements"] == 0
    assert world.revisions(given.text_id) == [[verdict]]


def test_a_pull_without_news_leaves_no_trace(world: World) -> None:
    [given] = world.take()
    annotate(world.api, given.task, ["hate"])
    world.pull()
    world.a_minute_passes()
    before, watermark, said = world.runs(), world.cursor().watermark, world.said()
    report = world.pull()
    assert (report.projects, report.tasks, dict(report.counts)) == (1, 0, {})
    assert (world.runs(), world.cursor().watermark, world.said()) == (before, watermark, said)
    # and it does not go deaf
    annotate(world.api, given.task, ["porn"])
    assert world.pull().counts["judgements"] == 1


def test_a_correction_is_the_next_revision(world: World, balan: Person) -> None:
    [given] = world.take()
    made = annotate(balan.api, given.task, ["hate"])
    world.pull()
    balan.api.patch(f"/api/annotations/{made['id']}/", json={"result": ticks("porn")}).raise_for_status()
    assert world.pull().counts["revisions"] == 1
    [revisions] = world.revisions(given.text_id)
    assert [one.asserted for one in revisions] == [("hate",), ("porn",)]
    assert {one.rater for one in revisions} == {balan.rater}


def test_changes_between_two_pulls_are_one(world: World) -> None:
    [given] = world.take()
    made = annotate(world.api, given.task, ["hate"])
    for label in ("porn", "racist", "sexist"):
        world.change(made["id"], result=ticks(label))
    world.pull()
    [[verdict]] = world.revisions(given.text_id)
    assert verdict.asserted == ("sexist",)


def test_a_change_of_nothing_but_the_time_is_no_revision(world: World) -> None:
    [given] = world.take()
    made = annotate(world.api, given.task, ["hate"])
    world.pull()
    world.change(made["id"], result=ticks("hate"), lead_time=60.0)
    report = world.pull()
    assert (report.counts["revisions"], report.counts["updated"]) == (0, 1)
    assert [one.lead_time for one in world.mirror(given.task)] == [60.0]


def test_a_deleted_annotation_is_taken_back(world: World) -> None:
    [given] = world.take()
    made = annotate(world.api, given.task, ["hate"])
    world.pull()
    world.api.delete(f"/api/annotations/{made['id']}/").raise_for_status()
    report = world.pull()
    assert report.counts["deleted"] == 1
    [verdict] = world.said(given.text_id)
    assert verdict.withdrawn
    assert world.states(given.task) == [AnnotationState.DELETED]
    assert world.pull().counts["deleted"] == 0
    # the next one is another one
    annotate(world.api, given.task, ["porn"])
    world.pull()
    assert [one.asserted for one in world.stands(given.text_id)] == [("porn",)]
    assert len(world.revisions(given.text_id)) == 2


def test_a_deletion_and_a_new_annotation_between_two_pulls_are_told_apart(world: World) -> None:
    [given] = world.take()
    made = annotate(world.api, given.task, ["hate"])
    world.pull()
    world.api.delete(f"/api/annotations/{made['id']}/").raise_for_status()
    annotate(world.api, given.task, ["porn"])
    world.pull()
    assert [[one.withdrawn for one in some] for some in world.revisions(given.text_id)] == [[False, True], [False]]


def test_what_is_skipped_says_nothing_until_it_is_taken_up_again(world: World) -> None:
    [given] = world.take()
    # as the page sends it: the ticks are still in it
    made = annotate(world.api, given.task, ["hate"], was_cancelled=True)
    world.pull()
    assert world.said(given.text_id) == []
    assert world.states(given.task) == [AnnotationState.SKIPPED]
    world.change(made["id"], was_cancelled=False, result=ticks("hate"))
    world.pull()
    assert [one.asserted for one in world.stands(given.text_id)] == [("hate",)]
    world.change(made["id"], was_cancelled=True)
    world.pull()
    [revisions] = world.revisions(given.text_id)
    assert [one.withdrawn for one in revisions] == [False, True]


def test_cant_decide_is_a_verdict_that_asserts_and_denies_nothing(world: World) -> None:
    [given] = world.take()
    made = annotate(world.api, given.task, [], result=undecided() + remark("tanya 012-345 6789"))
    world.pull()
    [verdict] = world.stands(given.text_id)
    assert (verdict.asserted, verdict.denied) == ((), ())
    assert verdict.explanation == "can't decide: tanya <phone>"
    world.change(made["id"], result=ticks("hate"))
    world.pull()
    assert [one.asserted for one in world.stands(given.text_id)] == [("hate",)]


def test_a_remark_without_a_label_is_no_verdict(world: World) -> None:
    [given] = world.take()
    annotate(world.api, given.task, [], result=remark("hmm"))
    world.pull()
    assert world.said(given.text_id) == []
    [noted] = world.mirror(given.task)
    assert (noted.state, noted.comment) == (AnnotationState.EMPTY, "hmm")


def test_several_people_on_a_task_say_a_thing_each(world: World, balan: Person) -> None:
    [given] = world.take()
    annotate(world.api, given.task, ["hate"])
    annotate(balan.api, given.task, ["porn"])
    annotate(balan.api, given.task, ["racist"])
    world.pull()
    said = {(one.rater == balan.rater, one.asserted) for one in world.stands(given.text_id)}
    assert said == {(False, ("hate",)), (True, ("porn",)), (True, ("racist",))}


def test_what_somebody_said_stays_theirs_when_their_account_is_removed(
    world: World, label_studio: LabelStudioAccess
) -> None:
    before, after = world.take(2)
    with invited(label_studio) as chen:
        annotate(chen.api, before.task, ["hate"])
        world.pull()
        annotate(chen.api, after.task, ["hate"])
        world.api.delete(f"/api/users/{chen.user_id}/").raise_for_status()
        # the task changes, so that it is read again
        annotate(world.api, before.task, ["porn"])
        world.pull()
        mine = [one for one in world.said(before.text_id) if one.rater == chen.rater]
        assert [(one.asserted, one.withdrawn) for one in mine] == [(("hate",), False)]
        assert len(world.stands(before.text_id)) == 2
    # nobody can tell whose this was
    assert world.said(after.text_id) == []
    assert world.states(after.task) == [AnnotationState.INVALID]


def test_predictions_that_are_taken_over_in_bulk_are_kept_ticks_of_whoever_did_it(world: World) -> None:
    given = world.take(3)
    chosen = {"all": False, "included": [one.task for one in given]}
    done = world.api.post(
        "/api/dm/actions",
        params={"id": "predictions_to_annotations", "project": world.project.label_studio_id},
        json={"selectedItems": chosen},
    )
    assert done.raise_for_status().json()["detail"] == "Created 3 annotations"
    world.pull()
    for one in given:
        [verdict] = world.stands(one.text_id)
        assert verdict.asserted == ("hate",)
        [noted] = world.mirror(one.task)
        assert (noted.change, noted.predicted) == (Change.KEPT, ["hate"])
        assert noted.prediction_version == shown_prediction(world, one.task)["model_version"]


@pytest.mark.parametrize(
    ("labels", "origin", "change"),
    [
        (["hate"], "prediction", Change.KEPT),
        (["racist"], "prediction-changed", Change.CHANGED),
        (["hate", "racist"], "prediction-changed", Change.CHANGED),
    ],
)
def test_what_became_of_the_ticks_is_noted_and_outlives_the_predictions(
    world: World, labels: list[str], origin: str, change: Change
) -> None:
    [given] = world.take()
    ticked = shown_prediction(world, given.task)
    regions = ticks(*labels, origin=origin)
    made = annotate(world.api, given.task, labels, result=regions, parent_prediction=ticked["id"])
    world.pull()
    [noted] = world.mirror(given.task)
    assert (noted.change, noted.predicted, noted.prediction_version) == (change, ["hate"], ticked["model_version"])
    world.api.delete(f"/api/predictions/{ticked['id']}/").raise_for_status()
    world.change(made["id"], result=regions, lead_time=9.0)
    world.pull()
    [noted] = world.mirror(given.task)
    assert (noted.lead_time, noted.change) == (9.0, change)
    assert (noted.predicted, noted.prediction_version) == (["hate"], ticked["model_version"])


def test_a_prediction_that_went_before_the_first_look_is_known_from_our_own_records(world: World) -> None:
    [given] = world.take()
    ticked = shown_prediction(world, given.task)
    annotate(world.api, given.task, [], result=ticks("hate", origin="prediction"), parent_prediction=ticked["id"])
    world.api.delete(f"/api/predictions/{ticked['id']}/").raise_for_status()
    world.pull()
    [noted] = world.mirror(given.task)
    assert (noted.change, noted.predicted, noted.prediction_version) == (
        Change.KEPT,
        ["hate"],
        ticked["model_version"],
    )


def test_nothing_was_ticked_for_whoever_saw_a_blind_task(world: World) -> None:
    [given] = world.push([Line(f"ayat tanpa tanda {uuid.uuid4().hex[:6]}", ("hate",), blind=True)])
    annotate(world.api, given.task, ["hate"], parent_prediction=shown_prediction(world, given.task)["id"])
    world.pull()
    [noted] = world.mirror(given.task)
    assert (noted.change, noted.blind) == (Change.SCRATCH, True)
    assert not noted.predicted


def test_a_label_that_the_taxonomy_does_not_know_is_left_out_and_named(world: World) -> None:
    both, alone = world.take(2)
    annotate(world.api, both.task, ["hate", "tak dikenali"])
    annotate(world.api, alone.task, ["tak dikenali"])
    report = world.pull()
    assert report.unknown_labels == {"tak dikenali": 2}
    assert [one.asserted for one in world.stands(both.text_id)] == [("hate",)]
    assert world.said(alone.text_id) == []
    assert world.states(alone.task) == [AnnotationState.INVALID]


def test_a_task_is_done_once_somebody_judged_it_and_open_again_without_them(world: World) -> None:
    world.pull()
    given = next(
        one for one in world.take(5) if tasks_of(world.engine, world.project.project_id)[one.text_id].overlap == 1
    )

    def state() -> str:
        return tasks_of(world.engine, world.project.project_id)[given.text_id].state.value

    made = annotate(world.api, given.task, ["hate"], was_cancelled=True)
    world.pull()
    assert state() == "open"
    world.change(made["id"], was_cancelled=False)
    world.pull()
    assert state() == "done"
    world.api.delete(f"/api/annotations/{made['id']}/").raise_for_status()
    world.pull()
    assert state() == "open"
