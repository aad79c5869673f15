"""Queues drawn from a real store."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine, select, update

from pipeline import store
from pipeline.errors import QueueError, RunConflict
from pipeline.judgement import RaterKind, RaterRef
from pipeline.queue.build import STAGE
from pipeline.queue.candidates import Candidates
from pipeline.queue.strategies.known import STRATEGIES
from pipeline.queue.strategies.protocol import Chances
from pipeline.queue.waiting import bump, drop
from pipeline.runs.record import stage_run
from pipeline.store import open_session
from pipeline.store.tables.human_loop import ProjectState, QueueState
from pipeline.taxonomy import Taxonomy, load_taxonomy
from pipeline.vectors.encoders.protocol import unit
from tests.support.queue import AISYAH, BALA, IMPORTED, LLM, Shelf, champion

RANDOM = {"random": 1.0}


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


@pytest.fixture
def shelf(engine: Engine, taxonomy: Taxonomy) -> Shelf:
    return Shelf(engine, taxonomy)


def test_a_queue_of_the_first_mix_keeps_every_promise(shelf: Shelf, taxonomy: Taxonomy) -> None:
    ids = shelf.plant(900, p=np.random.default_rng(2).uniform(0.02, 0.98, 900).round(3).tolist())
    for row in range(0, 60, 2):
        shelf.say(LLM, [ids[row]], {"porn"})
        shelf.decide(ids[row], "porn", kept=row % 4 == 0, score=0.4 + row / 1000, cut=0.45)
    shelf.say(LLM, ids[100:300], {"hate"}, {"safe for work"})
    report = shelf.build(model=champion(taxonomy), size=200, near=0.9)
    items = shelf.items()
    assert report.drawn == len(items) == 200
    assert (report.eligible, report.candidates, report.replaced) == (900, 900, 0)
    assert set(report.by_strategy) >= {"uncertain", "scarce", "suspect", "random"}
    assert report.champion == "sfw-test-1"
    assert len({item.text_id for item in items}) == 200
    assert all(0 < item.inclusion_probability <= 1 for item in items)
    assert len({item.priority for item in items}) == 200
    vectors = np.stack([shelf.vectors[item.text_id] for item in items])
    cosines = vectors @ vectors.T - 2 * np.eye(200)
    assert cosines.max() <= 0.9 + 1e-3
    assert report.near_alike > 0
    harsh = [item.harsh for item in items]
    assert harsh.count(False) >= 50
    assert "h" * 4 not in "".join("h" if one else "." for one in harsh)
    for item in items:
        assert item.harsh == any(not taxonomy[key].benign for key in item.expected)
        assert item.reason
        assert item.run_id == report.run_id
    assert report.harsh == harsh.count(True)
    # one in ten, rounded by a coin
    assert report.blind == sum(item.blind for item in items)
    assert len(items) // 10 <= report.blind <= len(items) // 10 + 1
    assert report.by_label["hate"] == sum("hate" in item.expected for item in items)
    assert any("needs more gold texts" in item.reason and item.label == "porn" for item in items)
    assert any("in a review sample: porn" in item.reason for item in items)
    # doubled chances: few texts can have a hundred times the chance of others and all be counted once
    weighted = sum(1 / item.inclusion_probability for item in items)
    assert 500 < weighted < 1500


def test_only_texts_that_wait_for_a_person_are_eligible(shelf: Shelf) -> None:
    good = shelf.plant(4)
    shelf.plant(1, in_scope=False)
    shelf.plant(1, duplicate_of=good[0])
    judged, taken_back, external = shelf.plant(3)
    shelf.say(AISYAH, [judged, taken_back], {"hate"})
    shelf.say(AISYAH, [taken_back], {"hate"}, withdrawn=True)
    shelf.say(RaterRef(RaterKind.EXTERNAL, "korpus"), [external], {"hate"})
    undecided = shelf.plant(1)
    shelf.say(BALA, undecided, set(), explanation="can't decide")
    here, there = shelf.plant(2)
    shelf.push(shelf.project(1), [here])
    gone = shelf.project(2)
    shelf.push(gone, [there])
    with open_session(shelf.engine) as session, session.begin():
        session.execute(update(store.Project).where(store.Project.id == gone).values(state=ProjectState.GONE))
    report = shelf.build(size=50, mix=RANDOM)
    assert set(shelf.ids()) == {*good, taken_back, external, there}
    assert report.eligible == 7
    assert "you asked for 50 texts; only 7 can be queued" in report.notes[-1]
    assert all(item.inclusion_probability == 1 for item in shelf.items())


def test_building_again_draws_anew_in_place_of_what_was_not_pushed(shelf: Shelf) -> None:
    shelf.plant(300)
    shelf.build(size=40)
    first = {item.text_id: (item.priority, item.inclusion_probability, item.blind) for item in shelf.items()}
    again = shelf.build(size=40)
    assert again.replaced == 40
    assert {item.text_id: (item.priority, item.inclusion_probability, item.blind) for item in shelf.items()} == first
    shelf.build(size=40, seed=2)
    assert set(shelf.ids()) != set(first)
    shelf.build(size=40)
    shelf.push(shelf.project(), list(first)[:10])
    after = shelf.build(size=40)
    assert after.replaced == 30
    assert after.eligible == 290
    assert not set(shelf.ids()) & set(list(first)[:10])
    with open_session(shelf.engine) as session:
        q = store.QueueItem
        states = session.execute(select(q.text_id, q.state)).all()
    assert sum(state is QueueState.PUSHED for _, state in states) == 10
    assert sum(state is QueueState.QUEUED for _, state in states) == 40


def test_a_pool_smaller_than_the_store_lowers_every_probability(shelf: Shelf) -> None:
    ids = shelf.plant(600)
    shelf.say(LLM, ids[:20], {"porn"})
    report = shelf.build(size=50, mix=RANDOM, pool=200, near=1.0, benign_share=0.0)
    assert (report.eligible, report.candidates) == (600, 200)
    chances = {item.text_id: item.inclusion_probability for item in shelf.items()}
    sought = [chances[i] for i in ids[:20] if i in chances]
    rest = [chances[i] for i in ids[20:] if i in chances]
    # what a machine said of a scarce label is all in the pool, of the others 180 in 580
    assert sought
    assert np.mean(sought) > 2.5 * np.mean(rest)
    assert sum(1 / chance for chance in chances.values()) == pytest.approx(600, rel=0.25)
    seen = set(shelf.ids())
    shelf.build(size=50, mix=RANDOM, pool=200, near=1.0, seed=99)
    assert len(seen & set(shelf.ids())) < 30, "another seed looks at another pool"


def test_near_alike_texts_never_come_together(shelf: Shelf) -> None:
    centres = unit(np.random.default_rng(4).normal(size=(12, 8)).astype(np.float32))
    crowd = unit(
        np.repeat(centres, 20, axis=0) + 0.01 * np.random.default_rng(5).normal(size=(240, 8)).astype(np.float32)
    )
    shelf.plant(240, vectors=crowd)
    report = shelf.build(size=30, near=0.95, benign_share=0.0)
    taken = np.stack([shelf.vectors[i] for i in shelf.ids()])
    assert (taken @ taken.T - 2 * np.eye(len(taken))).max() <= 0.95
    assert report.drawn <= 12
    assert report.drawn < report.asked
    assert "30" in report.notes[-1]


def test_without_a_champion_the_queue_says_what_it_goes_by(shelf: Shelf) -> None:
    ids = shelf.plant(80)
    report = shelf.build(size=20)
    assert report.champion is None
    assert any("draws at random" in note for note in report.notes)
    scores = {"hate": 0.5}
    shelf.say(LLM, ids[:10], set(), scores=scores)
    shelf.say(LLM, ids[10:], set(), {"hate"}, scores={"hate": 0.01})
    again = shelf.build(size=10, mix={"uncertain": 1.0}, near=1.0)
    assert any("uncertainty was taken from the LLM" in note for note in again.notes)
    assert len(set(shelf.ids()) & set(ids[:10])) >= 4


def test_enough_benign_texts_are_mixed_in_and_said_to_be(shelf: Shelf, taxonomy: Taxonomy) -> None:
    shelf.plant(400, p=[0.7] * 400)
    benign = shelf.plant(60, p=[0.001] * 60)
    shelf.build(model=champion(taxonomy), size=100, mix={"uncertain": 1.0}, benign_share=0.3)
    items = shelf.items()
    mild = [item for item in items if not item.harsh]
    assert len(items) == 100
    assert len(mild) >= 30
    assert {item.text_id for item in mild} <= set(benign)
    assert any(item.strategy == "benign" and "probably harmless" in item.reason for item in mild)
    few = shelf.build(model=champion(taxonomy), size=200, mix={"uncertain": 1.0}, benign_share=0.5)
    assert any("more harmless texts" in note for note in few.notes)


def test_known_answers_are_planted_and_look_like_any_other(shelf: Shelf) -> None:
    shelf.plant(200)
    agreed, disputed, alone, from_elsewhere, nothing = shelf.plant(5)
    shelf.say(AISYAH, [agreed, disputed, alone, nothing], {"hate"})
    shelf.say(BALA, [agreed], {"hate"})
    shelf.say(BALA, [disputed], {"porn"}, {"hate"})
    shelf.say(IMPORTED, [from_elsewhere], {"safe for work"})
    shelf.say(AISYAH, [nothing], set(), {"hate"})
    report = shelf.build(size=40, gold_share=0.25, near=0.999)
    items = shelf.items()
    gold = [item for item in items if item.gold]
    assert {item.text_id for item in gold} == {agreed, from_elsewhere}
    assert (report.gold, len(items)) == (2, 40)
    assert {item.strategy for item in gold} <= {item.strategy for item in items if not item.gold}
    assert {item.reason for item in gold} <= {item.reason for item in items if item.strategy == "random"}
    assert {tuple(item.expected): item.harsh for item in gold} == {("hate",): True, ("safe for work",): False}
    # once every project has had it, it cannot be planted; in another project it can
    one = shelf.project(1)
    shelf.push(one, [agreed])
    shelf.build(size=40, gold_share=0.25, near=0.999)
    assert {item.text_id for item in shelf.items() if item.gold} == {from_elsewhere}
    shelf.project(2)
    shelf.build(size=40, gold_share=0.25, near=0.999)
    assert {item.text_id for item in shelf.items() if item.gold} == {agreed, from_elsewhere}


def test_a_label_with_enough_gold_is_not_sought(shelf: Shelf) -> None:
    ids = shelf.plant(60)
    shelf.say(AISYAH, ids[:20], {"porn"})
    shelf.say(LLM, ids[20:40], {"porn"})
    short = shelf.build(size=10, mix={"scarce": 1.0}, gold_target=30, near=1.0, benign_share=0.0)
    assert {item.label for item in shelf.items()} == {"porn"}
    assert short.drawn == 10
    shelf.build(size=10, mix={"scarce": 0.5, "random": 0.5}, gold_target=20, near=1.0, benign_share=0.0)
    assert {item.label for item in shelf.items() if item.strategy == "scarce"} <= {None}


def test_a_reviewer_reorders_and_refuses(shelf: Shelf) -> None:
    shelf.plant(60)
    shelf.build(size=20)
    before = shelf.ids()
    with open_session(shelf.engine) as session, session.begin():
        bump(session, before[7], first=True)
        bump(session, before[2], first=False)
        drop(session, before[4])
    rest = [i for n, i in enumerate(before) if n not in (2, 4, 7)]
    assert shelf.ids() == [before[7], *rest, before[2]]
    shelf.build(size=59, near=1.0, benign_share=0.0)
    assert set(before) - set(shelf.ids()) == {before[4]}
    with open_session(shelf.engine) as session, pytest.raises(QueueError, match="is not waiting"):
        drop(session, before[4])


class Longest:
    """A strategy of somebody else's: one method."""

    def weigh(self, candidates: Candidates, size: float, rng: np.random.Generator) -> Chances:
        wanted = np.array([text.int % 3 == 0 for text in candidates.ids], dtype=np.float64)
        return Chances(wanted * min(1.0, size / wanted.sum()), wanted, lambda row: f"row {row} is divisible by three")


def test_a_strategy_is_one_method_and_a_name(shelf: Shelf) -> None:
    shelf.plant(300)
    plugged = {**STRATEGIES, "thirds": Longest()}
    with pytest.raises(QueueError, match="strategy 'thirds' is not known"):
        shelf.build(size=40, mix={"thirds": 1.0})
    report = shelf.build(size=40, mix={"thirds": 0.8, "random": 0.2}, strategies=plugged, benign_share=0.0)
    mine = [item for item in shelf.items() if item.strategy == "thirds"]
    assert len(mine) == report.by_strategy["thirds"] >= 20
    assert all(item.text_id.int % 3 == 0 and "divisible" in item.reason for item in mine)
    # what both want has the chance of both
    chances = {item.text_id.int % 3 == 0: item.inclusion_probability for item in shelf.items()}
    assert chances[True] > 2 * chances[False]


def test_what_was_pushed_while_the_queue_was_drawn_is_not_queued_again(shelf: Shelf) -> None:
    ids = shelf.plant(40)
    project = shelf.project()

    class Slow:
        """While it thinks, somebody pushes."""

        def weigh(self, candidates: Candidates, size: float, rng: np.random.Generator) -> Chances:
            shelf.push(project, ids[:15])
            return Chances(np.ones(len(candidates)), np.zeros(len(candidates)), lambda _: "slow")

    report = shelf.build(size=40, mix={"slow": 1.0}, strategies={"slow": Slow()}, near=1.0, benign_share=0.0)
    assert set(shelf.ids()) == set(ids[15:])
    assert report.drawn == 25


def test_an_empty_store_gives_an_empty_queue(shelf: Shelf) -> None:
    report = shelf.build(size=10)
    assert (report.drawn, report.eligible) == (0, 0)
    assert shelf.items() == []


def test_two_builds_do_not_run_at_once(shelf: Shelf) -> None:
    shelf.plant(5)
    with stage_run(shelf.engine, STAGE), pytest.raises(RunConflict):
        shelf.build(size=3)
    assert shelf.build(size=3).drawn == 3
