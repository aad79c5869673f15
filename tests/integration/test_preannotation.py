"""Proposals for texts of a real store, and the policy fitted on what people decided there."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import numpy as np
import pytest
from sqlalchemy import Engine, insert

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.preannotation import Policy, Preannotator, default_policy, fit_policy, propose
from pipeline.preannotation.policy import FEATURES
from pipeline.preannotation.told import panel
from pipeline.store import open_session
from pipeline.taxonomy import load_taxonomy
from sync.push.task_rows import task_row
from tests.support.queue import AISYAH, BALA, IMPORTED, LLM, Shelf, champion

TAXONOMY = load_taxonomy()
SAFE = "safe for work"
EXTERNAL = RaterRef(RaterKind.EXTERNAL, "a-data-set", "1")


@pytest.fixture
def shelf(engine: Engine) -> Shelf:
    return Shelf(engine, TAXONOMY)


def preannotator(policy: Policy | None = None, *, model: bool = True) -> Preannotator:
    return Preannotator(TAXONOMY, champion(TAXONOMY) if model else None, policy or default_policy())


def ticked(shelf: Shelf, ids: Sequence[uuid.UUID], *, people: bool = True) -> list[tuple[str, ...]]:
    with open_session(shelf.engine) as session:
        found = propose(
            session, ids, taxonomy=TAXONOMY, model=champion(TAXONOMY), policy=default_policy(), people=people
        )
    return [found[one].labels for one in ids]


def test_many_texts_at_once_get_what_each_gets_alone(shelf: Shelf) -> None:
    ids = shelf.plant(60, p=np.linspace(0.02, 0.98, 60).round(3).tolist())
    shelf.say(LLM, ids[::4], {"violence", "hate"}, explanation="it blames a group")
    shelf.say(EXTERNAL, ids[::5], {SAFE})
    shelf.say(AISYAH, ids[::7], {"racist"})
    shelf.decide(ids[0], "hate", kept=False, score=0.1, cut=0.2)
    with open_session(shelf.engine) as session:
        together = preannotator().known(session, ids)
        alone = {one: preannotator().known(session, [one])[one] for one in ids}
    assert together == alone
    assert len({one.labels for one in together.values()}) > 2
    assert list(together) == ids


def test_order_repeats_and_unknown_ids_do_no_harm(shelf: Shelf) -> None:
    first, second = shelf.plant(2, p=[0.9, 0.1])
    with open_session(shelf.engine) as session:
        found = preannotator().known(session, [second, uuid.uuid4(), first, second])
    assert set(found) == {first, second}
    assert (found[first].labels, found[second].labels) == (("hate",), (SAFE,))


def test_texts_unknown_to_the_store_come_from_the_champion_alone(shelf: Shelf) -> None:
    shelf.say(LLM, shelf.plant(1, p=[0.3]), {"hate"})
    [hate, safe] = preannotator().fresh(["lain hate=0.8", "lain hate=0.3"])
    assert (hate.labels, safe.labels) == (("hate",), (SAFE,))
    assert hate.why == {"hate": "our model is 80% sure"}
    assert hate.scores["hate"] == pytest.approx(0.8)


def test_what_people_agree_on_wins_over_every_machine(shelf: Shelf) -> None:
    asserted, denied = shelf.plant(2, p=[0.02, 0.98])
    shelf.say(LLM, [asserted], {SAFE})
    shelf.say(LLM, [denied], {"hate"})
    shelf.say(EXTERNAL, [denied], {"hate"})
    shelf.say(AISYAH, [asserted], {"hate"})
    shelf.say(AISYAH, [denied], {SAFE})
    assert ticked(shelf, [asserted, denied]) == [("hate",), (SAFE,)]
    with open_session(shelf.engine) as session:
        found = propose(session, [asserted], taxonomy=TAXONOMY, model=champion(TAXONOMY), policy=default_policy())[
            asserted
        ]
    assert (found.scores["hate"], found.scores[SAFE], found.why["hate"]) == (1.0, 0.0, "people agreed on it")


def test_people_who_disagree_leave_it_to_the_machines(shelf: Shelf) -> None:
    [one] = shelf.plant(1, p=[0.9])
    shelf.say(AISYAH, [one], {"hate"})
    shelf.say(BALA, [one], set(), {"hate"})
    assert ticked(shelf, [one]) == [("hate",)]


def test_a_volunteer_is_never_shown_what_other_people_said(shelf: Shelf) -> None:
    """Neither by a tick nor by a reason: a second answer must be one of its own, a planted task must not tell."""
    [one] = shelf.plant(1, p=[0.2])
    with open_session(shelf.engine) as session:
        before = preannotator().known(session, [one])
    shelf.say(AISYAH, [one], {"hate"}, explanation="memang benci")
    shelf.say(IMPORTED, [one], {"hate"})
    with open_session(shelf.engine) as session:
        assert preannotator().known(session, [one]) == before
    assert ticked(shelf, [one]) == [("hate",)]


def test_a_machines_words_are_kept_masked_for_maintainers_and_never_reach_the_panel(
    shelf: Shelf, engine: Engine
) -> None:
    [one] = shelf.plant(1, p=[0.9])
    shelf.say(LLM, [one], {"hate"}, explanation="blames a group, see ali@example.com <script>alert(1)</script>")
    with open_session(engine) as session:
        proposal = preannotator().known(session, [one])[one]
    rows = [
        task_row(
            store.Task(text_id=one, batch="b", strategy="random", priority=0.5, blind=blind),
            uuid.UUID(int=7),
            "teks",
            "ms",
            proposal,
            "v",
        )
        for blind in (False, True)
    ]
    shown, blind = (row["data"]["why"] for row in rows)
    hate = TAXONOMY["hate"].name
    assert shown == (
        f"{hate.en}: Our model is 90% sure. A language model says so. / "
        f"{hate.ms}: Model kami 90% yakin. Satu model bahasa menyatakannya."
    )
    assert proposal.why["hate"].startswith("LLM a-model: blames a group")
    assert "ali@example.com" not in proposal.why["hate"]
    assert shown == panel(proposal.told)
    assert (blind, rows[1]["data"]["confidence"], rows[1]["predictions"][0]["result"]) == ("", None, [])
    assert rows[0]["predictions"][0]["result"][0]["value"] == {"choices": ["hate"]}
    # of both it is the queue's order that is served
    assert [row["predictions"][0]["score"] for row in rows] == [0.5, 0.5]


def test_a_demoted_label_is_not_ticked_on_the_word_that_was_demoted(shelf: Shelf) -> None:
    kept, demoted = shelf.plant(2, p=[0.4, 0.4])
    shelf.say(LLM, [kept, demoted], {"hate"})
    shelf.decide(demoted, "hate", kept=False, score=0.1, cut=0.2)
    assert ticked(shelf, [kept, demoted]) == [("hate",), (SAFE,)]


def test_versions_tell_champion_policy_and_taxonomy_apart(shelf: Shelf) -> None:
    weights = dict(default_policy().weights) | {"champion": 0.5}
    versions = {
        preannotator().version,
        preannotator(model=False).version,
        preannotator(Policy(weights)).version,
    }
    assert len(versions) == 3
    assert preannotator().version == f"sfw-test-1-fixed-{TAXONOMY.version[:8]}"
    assert preannotator(model=False).version.startswith("ledger-")
    # why nothing was fitted is no difference
    assert preannotator(default_policy("another reason")).version == preannotator().version


def test_the_policy_is_fitted_on_what_people_decided_but_not_on_the_test_split(shelf: Shelf) -> None:
    ids = shelf.plant(120, p=[0.3] * 120)
    # the language model is wrong on every second text
    shelf.say(LLM, ids[::2], {"hate"})
    shelf.say(LLM, ids[1::2], {SAFE})
    shelf.say(AISYAH, ids[: len(ids) // 2], {"hate"}, set(TAXONOMY.keys) - {"hate"})
    shelf.say(AISYAH, ids[len(ids) // 2 :], {SAFE}, set(TAXONOMY.keys) - {SAFE})
    with open_session(shelf.engine) as session, session.begin():
        source = store.Source(name="held-out", licence="CC0-1.0")
        run = store.Run(stage="ingest", state="done")
        session.add_all([source, run])
        session.flush()
        rows = [
            {"text_id": one, "source_id": source.id, "external_id": str(one), "split": "test", "run_id": run.id}
            for one in ids[:40]
        ]
        session.execute(insert(store.TextSource), rows)
    with open_session(shelf.engine) as session:
        policy = fit_policy(session, taxonomy=TAXONOMY, model=None)
        again = fit_policy(session, taxonomy=TAXONOMY, model=None)
    assert policy == again
    assert 0 < policy.fitted_on["texts"] <= 80
    assert policy.version.startswith("fitted")
    assert policy.fitted_on["held_out_log_loss"] < policy.fitted_on["fixed_log_loss"]
    assert policy.weights["llm"] < default_policy().weights["llm"]
    assert set(policy.weights) == set(FEATURES)


def test_without_people_the_weights_are_fixed_and_say_why(shelf: Shelf) -> None:
    shelf.say(LLM, shelf.plant(5), {"hate"})
    with open_session(shelf.engine) as session:
        policy = fit_policy(session, taxonomy=TAXONOMY, model=None)
    assert (policy.version, policy.fitted_on) == ("fixed", {"reason": "people have decided no usable text"})


def test_a_champion_whose_lessons_are_unknown_is_not_fitted_to(shelf: Shelf) -> None:
    shelf.say(AISYAH, shelf.plant(50), {"hate"})
    with open_session(shelf.engine) as session:
        policy = fit_policy(session, taxonomy=TAXONOMY, model=champion(TAXONOMY))
    assert policy.version == "fixed"
    assert "texts that the champion was trained on are not known" in policy.fitted_on["reason"]
