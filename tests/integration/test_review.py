"""The review: which disputes are found, and in which order they come."""

from __future__ import annotations

import random
import uuid
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.review.items import Item
from pipeline.store import open_session
from pipeline.store.tables.human_loop import AnnotationState, Change
from pipeline.store.tables.review import DisputeKind
from pipeline.texts.normalise import text_id
from tests.support.ledger import CORPUS, LLM
from tests.support.review import AISYAH, BALA, CHONG, NOW, OTHER_LLM, Desk, counts

_FILLER = [
    f"{first}{second}"
    for first in ("ka", "mi", "su", "pe", "to", "ra", "ni")
    for second in ("lan", "tik", "ram", "bu", "sok")
]


@pytest.fixture
def desk(engine: Engine, tmp_path: Path) -> Desk:
    return Desk(engine, tmp_path)


def test_each_dispute_is_found_with_its_reason_in_numbers(desk: Desk) -> None:
    [by_people] = desk.dispute()
    by_data, by_machines, agreed = desk.plant(3)
    desk.say(CORPUS, [by_data], {"porn"})
    desk.say(RaterRef(RaterKind.EXTERNAL, "lain"), [by_data], set(), {"porn"})
    desk.say(LLM, [by_machines, agreed], {"racist"})
    desk.say(OTHER_LLM, [by_machines], set(), {"racist"})
    assert desk.find().found == {"disagreement": 2, "undecided": 1}
    first = desk.next()
    assert first is not None
    assert (first.text_id, first.labels) == (by_people, ("hate",))
    assert [why.sentence for why in first.why] == ["people disagree on hate: 1 yes, 1 no"]
    assert {vote.rater for vote in first.votes} == {AISYAH, BALA}
    assert first.harsh
    second = desk.next(after=first.place)
    assert second is not None
    assert [why.sentence for why in second.why] == ["data sets disagree on porn: 1 yes, 1 no"]
    machine = desk.next(DisputeKind.UNDECIDED)
    assert machine is not None
    assert [why.sentence for why in machine.why] == ["machines disagree on racist, and no rule decides: 1 yes, 1 no"]


def test_somebody_who_could_not_decide_brings_the_text_to_a_reviewer(desk: Desk) -> None:
    [text] = desk.plant(1)
    with open_session(desk.engine) as session, session.begin():
        project = session.execute(
            insert(store.Project)
            .values(url="http://x", label_studio_id=1, label_studio_created_at=NOW, title="p", harsh_cap=9)
            .returning(store.Project.id)
        ).scalar_one()
        rater = session.execute(
            insert(store.Rater).values(kind="human", name="label-studio", version="1").returning(store.Rater.id)
        ).scalar_one()
        session.execute(
            insert(store.Annotation).values(
                project_id=project,
                label_studio_id=5,
                created_at=NOW,
                updated_at=NOW,
                task_id=2,
                text_id=text,
                rater_id=rater,
                state=AnnotationState.UNDECIDED,
                change=Change.SCRATCH,
            )
        )
    desk.find()
    item = desk.next(DisputeKind.UNDECIDED)
    assert item is not None
    assert (item.labels, item.undecided) == ((), 1)
    assert [why.sentence for why in item.why] == ["people who could not decide: 1"]
    assert desk.settle(text, yes="informative").kinds == (DisputeKind.UNDECIDED,)
    assert desk.waiting() == counts()
    desk.find()
    assert desk.waiting() == counts()


def test_the_most_valuable_comes_first_and_every_text_comes_once(desk: Desk) -> None:
    plain = desk.dispute(5)
    [double] = desk.plant(1)
    desk.say(AISYAH, [double], {"hate", "racist"})
    desk.say(BALA, [double], set(), {"hate", "racist"})
    desk.find()
    met, after = [], None
    while (item := desk.next(after=after)) is not None:
        met.append(item.text_id)
        after = item.place
    assert met == [double, *sorted(plain)]


def test_a_dispute_that_ended_by_itself_is_passed_over(desk: Desk) -> None:
    first, second = sorted(desk.dispute(2))
    desk.find()
    desk.say(CHONG, [first], {"hate"})
    desk.say(RaterRef(RaterKind.HUMAN, "label-studio", "4"), [first], {"hate"})
    desk.say(RaterRef(RaterKind.HUMAN, "label-studio", "5"), [first], {"hate"})
    item = desk.next()
    assert item is not None
    assert item.text_id == second
    assert desk.waiting() == counts(1)


def test_new_answers_are_found_without_reading_everything(desk: Desk) -> None:
    old = desk.dispute()
    assert desk.catch_up() == 0
    desk.find()
    desk.settle(old[0], yes="hate")
    new = desk.dispute(2)
    desk.say(LLM, desk.plant(3), {"hate"})
    assert desk.catch_up() == 3
    assert desk.waiting() == counts(2)
    desk.say(AISYAH, new[:1], set(), {"hate"})
    assert desk.catch_up() == 1
    assert desk.waiting() == counts(1)
    assert desk.catch_up() == 0


def test_only_the_most_valuable_are_kept_and_all_are_counted(desk: Desk) -> None:
    desk.dispute(7)
    report = desk.find(most=3)
    assert report.found["disagreement"] == 7
    assert report.waiting["disagreement"] == 3


def test_planted_errors_of_people_data_sets_and_machines_are_found(desk: Desk) -> None:
    words = {"porn": "lucah cabul", "violence": "tumbuk pukul"}
    draw = random.Random(4)
    rows: dict[uuid.UUID, str] = {}
    with open_session(desk.engine) as session, session.begin():
        for i in range(300):
            label, filler = [*words][i % 2], draw.sample(_FILLER, 9)
            body = " ".join([*filler[:5], words[label], *filler[5:]])
            rows[text_id(body)] = label
            session.execute(insert(store.Text).values(id=text_id(body), body="secret", masked=body))
    raters = {AISYAH: "people", CORPUS: "a data set", LLM: "machines"}
    by = {text: [*raters][number // 100] for number, text in enumerate(rows)}
    wrong = {text for number, text in enumerate(rows) if number % 20 == 3}
    for text, label in rows.items():
        given = label if text not in wrong else next(other for other in words if other != label)
        desk.say(by[text], [text], {given}, set(words) - {given})
    report = desk.find(suspects=True)
    assert report.learnt == 300
    assert {"porn", "violence"} <= set(report.suspected)
    assert "hate" in report.left_out
    met: dict[uuid.UUID, Item] = {}
    item = desk.next(DisputeKind.SUSPECT)
    while item is not None:
        met[item.text_id] = item
        item = desk.next(DisputeKind.SUSPECT, after=item.place)
    assert len(wrong & set(list(met)[:15])) >= 12
    for rater, who in raters.items():
        own = [met[text] for text in met if by[text] == rater and text in wrong]
        assert len(own) >= 3
        assert all(why.sentence.startswith(f"{who} say") for one in own for why in one.why)
    # people's labels measure models, so they come before those of machines
    kinds = [by[text] for text in met if text in wrong]
    assert kinds.index(AISYAH) < kinds.index(LLM)
    # the reviewer says that the label was right: it is not doubted again
    first = next(iter(met.values()))
    given = {vote.rater: vote for vote in first.votes}[by[first.text_id]]
    settled = desk.settle(first.text_id, yes=",".join(given.asserted), no=",".join(given.denied))
    assert settled.kinds == (DisputeKind.SUSPECT,)
    assert desk.waiting()["suspect"] == len(met) - 1
