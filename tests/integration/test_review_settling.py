"""Disputes are settled and undone, by one reviewer or by several at once."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.errors import ReviewChanged, ReviewError, UsageError
from pipeline.judgement import Tier
from pipeline.review.leases import KEPT
from pipeline.review.reasons import Ground, Reason
from pipeline.review.reviewer import Reviewer
from pipeline.review.settle import Undone, settled_lately
from pipeline.store import open_session
from pipeline.store.tables.review import DisputeKind
from tests.support.review import AISYAH, BALA, CHONG, MEI, NOW, NUR, REASON, Desk, counts


@pytest.fixture
def desk(engine: Engine, tmp_path: Path) -> Desk:
    return Desk(engine, tmp_path)


def test_a_settlement_takes_the_text_off_the_list_and_decides(desk: Desk) -> None:
    [text] = desk.dispute()
    desk.find()
    item = desk.next()
    assert item is not None
    done = desk.settle(text, no="hate", shown=item.fingerprint, reason=Reason.given("meaning", "ia  satu petikan"))
    assert (done.kinds, done.remaining, done.repeated) == ((DisputeKind.DISAGREEMENT,), (), False)
    assert desk.tier(text) == (False, Tier.GOLD)
    assert desk.next() is None
    assert desk.waiting() == counts()
    desk.find()
    assert desk.waiting() == counts()
    after = desk.look(text)
    assert after is not None
    assert not after.waiting
    [(vote, reason)] = after.settlements
    assert (vote.rater, vote.denied, vote.explanation) == (MEI.rater, {"hate"}, "meaning: ia satu petikan")
    assert reason == Reason(Ground.MEANING, "ia satu petikan")


def test_what_was_settled_can_be_told_with_why_it_was_there(desk: Desk) -> None:
    ids = desk.dispute(3)
    desk.find()
    for text in ids:
        desk.settle(text, yes="hate")
    desk.find()
    with open_session(desk.engine) as session:
        mine = settled_lately(session, MEI)
        assert settled_lately(session, NUR) == []
    assert [done.text_id for done in mine] == ids[::-1]
    assert {why.sentence for done in mine for why in done.why[DisputeKind.DISAGREEMENT]} == {
        "people disagree on hate: 1 yes, 1 no"
    }
    assert {done.reason for done in mine} == {REASON}


def test_settled_twice_is_settled_once(desk: Desk) -> None:
    [text] = desk.dispute()
    desk.find()
    item = desk.next()
    assert item is not None
    first = desk.settle(text, no="hate", shown=item.fingerprint)
    again = desk.settle(text, no="hate", shown=item.fingerprint)
    assert (again.judgement, again.repeated) == (first.judgement, True)
    with open_session(desk.engine) as session:
        assert len(session.scalars(select(store.Judgement).where(store.Judgement.text_id == text)).all()) == 3


def test_labels_left_unsaid_stay_in_question(desk: Desk) -> None:
    [text] = desk.plant(1)
    desk.say(AISYAH, [text], {"hate", "racist"})
    desk.say(BALA, [text], set(), {"hate", "racist"})
    desk.find()
    done = desk.settle(text, yes="hate")
    assert (done.kinds, done.remaining) == ((), (DisputeKind.DISAGREEMENT,))
    item = desk.next()
    assert item is not None
    assert item.labels == ("racist",)
    assert desk.settle(text, yes="hate,racist").kinds == (DisputeKind.DISAGREEMENT,)
    assert desk.tier(text, "racist") == (True, Tier.GOLD)


def test_undo_brings_the_text_back_and_goes_on_to_the_settlement_before(desk: Desk) -> None:
    first, second = sorted(desk.dispute(2))
    desk.find()
    desk.settle(first, yes="hate")
    desk.settle(second, yes="hate")
    assert desk.undo() == Undone(second, (DisputeKind.DISAGREEMENT,))
    assert desk.tier(second) == (None, Tier.CONTESTED)
    assert desk.tier(first) == (True, Tier.GOLD)
    item = desk.next()
    assert item is not None
    assert item.text_id == second
    assert desk.settle(second, no="hate", shown=item.fingerprint).repeated is False
    assert desk.undo() == Undone(second, (DisputeKind.DISAGREEMENT,))
    assert desk.undo() == Undone(first, (DisputeKind.DISAGREEMENT,))
    assert desk.undo() is None
    assert desk.waiting() == counts(2)
    with open_session(desk.engine) as session:
        said = session.scalars(select(store.Judgement).join(store.Rater).where(store.Rater.name == "adjudication"))
        assert sorted(row.withdrawn for row in said) == [False, False, False, True, True, True]


def test_undo_of_a_second_settlement_leaves_the_first(desk: Desk) -> None:
    [text] = desk.dispute()
    desk.find()
    desk.settle(text, yes="hate")
    desk.settle(text, no="hate")
    assert desk.tier(text) == (False, Tier.GOLD)
    assert desk.undo() == Undone(text, ())
    assert desk.tier(text) == (True, Tier.GOLD)


def test_two_reviewers_are_given_different_texts(desk: Desk) -> None:
    ids = sorted(desk.dispute(2))
    desk.find()
    for_mei, for_nur = desk.next(who=MEI), desk.next(who=NUR)
    assert for_mei is not None
    assert for_nur is not None
    assert [for_mei.text_id, for_nur.text_id] == ids
    assert desk.next(who=Reviewer("9")) is None
    # theirs stays theirs, and the next one is loaded before it is wanted
    again = desk.next(who=MEI)
    assert again is not None
    assert again.text_id == ids[0]
    assert desk.next(who=MEI, without=[ids[0]]) is None
    # after some minutes a text is free again
    late = desk.next(who=MEI, without=[ids[0]], now=NOW + KEPT + timedelta(seconds=1))
    assert late is not None
    assert late.text_id == ids[1]


def test_the_second_reviewer_is_told_who_is_at_it_and_shown_what_was_settled(desk: Desk) -> None:
    [text] = desk.dispute()
    desk.find()
    for_mei = desk.next(who=MEI)
    for_nur = desk.look(text, NUR)
    assert for_mei is not None
    assert for_nur is not None
    assert for_nur.held is not None
    assert (for_nur.held.holder, for_nur.held.name) == ("7", "Mei")
    desk.settle(text, MEI, yes="hate", shown=for_mei.fingerprint)
    with pytest.raises(ReviewChanged, match="another reviewer settled this text"):
        desk.settle(text, NUR, no="hate", shown=for_nur.fingerprint)
    shown = desk.look(text, NUR)
    assert shown is not None
    assert (shown.waiting, shown.held) == (False, None)
    assert shown.decisions["hate"].value is True
    # having seen it, they may settle it otherwise, and the newest counts
    desk.settle(text, NUR, no="hate", shown=shown.fingerprint)
    assert desk.tier(text) == (False, Tier.GOLD)


def test_votes_that_came_meanwhile_are_shown_before_anything_is_settled(desk: Desk) -> None:
    [text] = desk.dispute()
    desk.find()
    item = desk.next()
    assert item is not None
    desk.say(CHONG, [text], {"racist"})
    with pytest.raises(ReviewChanged, match="votes on this text changed"):
        desk.settle(text, yes="hate", shown=item.fingerprint)
    assert desk.tier(text) == (None, Tier.CONTESTED)
    again = desk.look(text)
    assert again is not None
    assert {vote.rater for vote in again.votes} == {AISYAH, BALA, CHONG}
    desk.settle(text, yes="hate", shown=again.fingerprint)


def test_at_the_same_moment_only_one_settles(desk: Desk) -> None:
    [text] = desk.dispute()
    desk.find()
    item = desk.next()
    assert item is not None
    outcome: list[str] = []
    gate = threading.Barrier(2)

    def work(who: Reviewer, label: str) -> None:
        gate.wait()
        try:
            desk.settle(text, who, **{label: "hate"}, shown=item.fingerprint)
            outcome.append("settled")
        except ReviewChanged:
            outcome.append("told")

    threads = [threading.Thread(target=work, args=args) for args in ((MEI, "yes"), (NUR, "no"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome) == ["settled", "told"]


def test_nobody_settles_a_dispute_about_their_own_vote_unless_they_are_alone(desk: Desk) -> None:
    own, others = sorted(desk.dispute(2))
    desk.say(CHONG, [own], {"hate", "porn"})
    desk.say(BALA, [own], set(), {"hate", "porn"})
    desk.find()
    chong = Reviewer("9", "Chong", volunteer="3")
    item = desk.next(who=chong)
    assert item is not None
    assert item.text_id == others
    assert desk.next(who=chong, after=item.place) is None
    with pytest.raises(ReviewError, match="you voted on this text yourself"):
        desk.settle(own, chong, yes="hate")
    alone = Reviewer("9", "Chong", volunteer="3", alone=True)
    item = desk.next(who=alone)
    assert item is not None
    assert item.text_id == own
    assert desk.settle(own, alone, yes="hate,porn").kinds == (DisputeKind.DISAGREEMENT,)


@pytest.mark.parametrize(
    ("yes", "no", "message"),
    [
        ("", "", "nothing is marked"),
        ("hat", "", "no label 'hat'"),
        ("hate", "hate", "marked yes and no at once"),
        ("hate,safe for work", "", "cannot be both"),
    ],
)
def test_marks_that_cannot_be_a_judgement_are_refused(desk: Desk, yes: str, no: str, message: str) -> None:
    [text] = desk.dispute()
    with pytest.raises(UsageError, match=message):
        desk.settle(text, yes=yes, no=no)
    assert desk.tier(text) == (None, Tier.CONTESTED)


def test_an_unknown_text_is_refused(desk: Desk) -> None:
    with pytest.raises(ReviewError, match="no such text"):
        desk.settle(uuid.uuid4(), yes="hate")
    assert desk.look(uuid.uuid4()) is None
