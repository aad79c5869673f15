"""The consensus over a real store: fitted from the ledger, in force for all who resolve; and `saring raters`."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import rater_id
from pipeline.ledger.consensus.fit import fit_consensus
from pipeline.ledger.consensus.rule import Method
from pipeline.ledger.consensus.saved import current_consensus
from pipeline.ledger.consensus.votes import LEAST_GOLD, Gold, read_votes
from pipeline.ledger.decisions import decided_texts
from pipeline.raters.report import rater_report
from pipeline.store import open_session
from pipeline.taxonomy import Taxonomy, load_taxonomy
from tests.support.commands import answered, typed
from tests.support.ledger import CORPUS, HUMAN, LLM, Book

EXPERT, HASTY, IDLE, CONTRARY = (RaterRef(RaterKind.LLM, name, "1") for name in ("expert", "hasty", "idle", "contrary"))
#: sensitivity and specificity
SKILLS = {EXPERT: (0.95, 0.97), HASTY: (0.75, 0.8), IDLE: (0.6, 0.75), CONTRARY: (0.25, 0.3)}
TEXTS, GOLD = 700, 420


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


class World:
    """Texts of which a third is hateful, people who say so of some of them, and machines of known skill."""

    def __init__(self, engine: Engine, taxonomy: Taxonomy, folder: Path) -> None:
        self.book = Book(engine, taxonomy, folder)
        self.engine, self.taxonomy = engine, taxonomy
        dice = np.random.default_rng(5)
        gold = self.book.plant(GOLD, source="people", split="train")
        self.held_out = self.book.plant(60, source="people again", split="test")
        self.ids: Sequence[uuid.UUID] = [*gold, *self.held_out, *self.book.plant(TEXTS - GOLD, source="scrape")]
        self.hateful = {one for one in self.ids if dice.random() < 1 / 3}
        self.say(HUMAN, [*gold, *self.held_out], self.hateful)
        for who, (sensitivity, specificity) in SKILLS.items():
            likely = {one: sensitivity if one in self.hateful else 1 - specificity for one in self.ids}
            self.say(who, self.ids, {one for one in self.ids if dice.random() < likely[one]})

    def say(self, who: RaterRef, ids: Sequence[uuid.UUID], hateful: set[uuid.UUID]) -> None:
        self.book.say(who, [one for one in ids if one in hateful], {"hate"}, {"porn"})
        self.book.say(who, [one for one in ids if one not in hateful], set(), {"hate", "porn"})

    def errors(self) -> int:
        """How many of the texts that nobody judged are not decided as they are."""
        with open_session(self.engine) as session:
            decided = {one.id: one.decisions["hate"].value for one in decided_texts(session, self.taxonomy)}
        return sum(decided[one] is not (one in self.hateful) for one in self.ids[GOLD + 60 :])


@pytest.fixture
def world(engine: Engine, taxonomy: Taxonomy, tmp_path: Path) -> World:
    return World(engine, taxonomy, tmp_path)


def answer(environment: dict[str, str], *words: str) -> Any:
    return answered(typed(environment, "raters", *words, "--json"))


def test_it_is_fitted_once_and_decides_for_all_who_resolve(world: World, environment: dict[str, str]) -> None:
    before = world.errors()
    done = fit_consensus(world.engine, world.taxonomy)
    assert (done.consensus.method, done.gold) == (Method.DAWID_SKENE, GOLD)
    # a label that nobody asserts has no model, and says why
    assert done.labels["hate"].model is not None
    assert done.labels["porn"].fallback is not None
    assert world.errors() < 0.2 * before
    with open_session(world.engine) as session:
        assert current_consensus(session) == done.consensus
        # the same again is not added again
        again = fit_consensus(world.engine, world.taxonomy)
        assert again.consensus.version == done.consensus.version
        rows = session.scalars(select(store.ConsensusRow)).all()
        assert [(row.version, row.method) for row in rows] == [(done.consensus.version, "dawid-skene")]
        assert rows[0].report["contest"]["macro_f1"]["difference"]["low"] > 0
    # what is frozen says under which consensus it was decided
    assert world.book.take().counts["consensus"] == done.consensus.version
    # a person who asks for the majority gets it, and the text is contested by nobody
    told = typed({**environment, "COLUMNS": "100"}, "raters", "fit").stdout
    assert f"used from now on: dawid-skene, {done.consensus.version}: macro F1 " in told
    assert "by majority (fewer than 30 assertions or denials): porn" in told
    fitted = answer(environment, "fit", "--method", "majority")
    assert (fitted["method"], fitted["why"]) == ("majority", "it was requested")
    assert world.errors() > 0.2 * before


def test_texts_of_the_test_set_have_no_say(world: World) -> None:
    with open_session(world.engine) as session:
        votes = read_votes(session, world.taxonomy)
    assert votes.texts == TEXTS
    assert int((votes.truth != -1).any(axis=1).sum()) == GOLD
    assert {one.name for one in votes.voters()} == {one.name for one in SKILLS}


def test_data_sets_stand_in_for_people_only_until_these_have_said_enough(
    engine: Engine, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    book = Book(engine, taxonomy, tmp_path)
    ids = book.plant(LEAST_GOLD + 10, split="train")
    book.say(LLM, ids, {"hate"})
    book.say(CORPUS, ids, {"hate"})
    people = ids[: LEAST_GOLD - 1]
    book.say(HUMAN, people, set(), {"hate"})
    with open_session(engine) as session:
        votes = read_votes(session, taxonomy)
        skill = {one.kind: one.labels["hate"] for one in rater_report(session, taxonomy).raters}
    assert (votes.gold, votes.gold_texts()) == (Gold.TRUSTED, len(ids))
    assert (skill[RaterKind.LLM].positives, skill[RaterKind.LLM].negatives) == (11, LEAST_GOLD - 1)
    book.say(HUMAN, ids[LEAST_GOLD - 1 : LEAST_GOLD], set(), {"hate"})
    with open_session(engine) as session:
        votes = read_votes(session, taxonomy)
        skill = {one.kind: one.labels["hate"] for one in rater_report(session, taxonomy).raters}
    assert (votes.gold, votes.gold_texts()) == (Gold.PEOPLE, LEAST_GOLD)
    # the data set is now measured itself, beside the machine
    for kind in (RaterKind.LLM, RaterKind.EXTERNAL):
        assert (skill[kind].positives, skill[kind].negatives) == (0, LEAST_GOLD)
        assert skill[kind].specificity is not None and skill[kind].specificity.value == 0


def test_what_raters_took_is_theirs_by_id_or_from_their_details(
    engine: Engine, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    book = Book(engine, taxonomy, tmp_path)
    with open_session(engine) as session, session.begin():
        rater_id(session, HASTY, {"tokens": 500, "cost": 0.1})
        rater_id(session, IDLE, {"cost_per_1000_texts": 3})
    for who in (EXPERT, HASTY, IDLE, CONTRARY):
        book.say(who, book.plant(20), {"hate"})
    with open_session(engine) as session:
        ids = {one.name: one.id for one in session.scalars(select(store.Rater))}
        found = rater_report(session, taxonomy, spending={ids["expert"]: (1_000, 0.5)}, prices={"contrary": 2.0})
    spent = {one.name: one.spent for one in found.raters}
    figures = {name: (one.tokens, one.cost, one.per_thousand) for name, one in spent.items() if one is not None}
    assert figures == {
        "expert": (1_000, pytest.approx(0.5), pytest.approx(25)),
        "hasty": (500, pytest.approx(0.1), pytest.approx(5)),
        "idle": (None, pytest.approx(0.06), pytest.approx(3)),
        "contrary": (None, pytest.approx(0.04), pytest.approx(2)),
    }


@pytest.mark.parametrize(
    "statement", ["DELETE FROM consensus", "UPDATE consensus SET method = 'x'", "TRUNCATE consensus"]
)
def test_the_database_refuses_to_change_or_remove_a_consensus(engine: Engine, statement: str) -> None:
    with pytest.raises(DBAPIError, match="consensuses are append-only"), engine.begin() as connection:
        connection.execute(text(statement))


def test_raters_says_who_is_worth_paying_for(world: World, environment: dict[str, str]) -> None:
    world.say(RaterRef(RaterKind.LLM, "expert", "2"), world.ids[:30], world.hateful)
    fit_consensus(world.engine, world.taxonomy)
    found = answer(environment, "--price", "expert=0.40")
    raters = {(one["name"], one["version"]): one for one in found["raters"]}
    assert found["method"] == "dawid-skene"
    assert raters["expert", "1"]["verdict"] == "worth"
    assert raters["expert", "1"]["cost_per_1000_texts"] == pytest.approx(0.4)
    hate = raters["hasty", "1"]["labels"]["hate"]
    # 95% intervals leave out what is true now and then
    assert hate["sensitivity"]["low"] - 0.03 < 0.75 < hate["sensitivity"]["high"] + 0.03
    assert hate["specificity"]["low"] - 0.03 < 0.8 < hate["specificity"]["high"] + 0.03
    # a new version is another rater, with little to go by
    assert raters["expert", "2"]["words"] == "too few gold texts to tell (n=30)"
    assert not any(one["kind"] == "human" for one in found["raters"])

    shown = typed({**environment, "COLUMNS": "100"}, "raters", "--price", "expert=0.40")
    assert shown.returncode == 0, shown.stderr
    assert "llm expert (1): worth paying for: macro F1 +" in shown.stdout
    assert max(map(len, shown.stdout.split("\n\n")[0].splitlines()[:6])) <= 100
    detail = typed({**environment, "COLUMNS": "100"}, "raters", "show", "hasty").stdout
    assert "sensitivity" in detail and "hate" in detail
    refused = typed(environment, "raters", "show", "nobody")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "the raters are contrary, expert, hasty, idle" in refused.stderr
    assert "NAME=COST" in typed(environment, "raters", "--price", "expert").stderr


def test_people_are_shown_when_asked_for_and_measured_without_their_own_word(
    world: World, environment: dict[str, str]
) -> None:
    other = RaterRef(RaterKind.HUMAN, "label-studio", "7")
    some = world.ids[:40]
    world.say(other, some, world.hateful)
    raters = {one["name"]: one for one in answer(environment, "--people")["raters"]}
    assert (raters["label-studio"]["version"], raters["label-studio"]["gold"]) == ("7", 40)
    assert raters["aisyah"]["gold"] == 40
    assert raters["aisyah"]["words"] == "outranks the consensus"


def test_with_nobody_to_combine_training_fits_nothing(
    engine: Engine, taxonomy: Taxonomy, environment: dict[str, str], tmp_path: Path
) -> None:
    book = Book(engine, taxonomy, tmp_path)
    book.say(EXPERT, book.plant(20), {"hate"})
    typed(environment, "train")
    with open_session(engine) as session:
        assert current_consensus(session) is None
    book.say(HASTY, book.plant(20), {"hate"})
    typed(environment, "train")
    with open_session(engine) as session:
        found = current_consensus(session)
    assert found is not None and found.method is Method.MAJORITY
