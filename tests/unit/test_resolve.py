"""resolve(): what is believed of a text, from what was said of it."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.judgement import ADJUDICATION, Decision, Judgement, RaterKind, RaterRef, Tier
from pipeline.ledger.resolve import current_judgements, resolve, text_tier
from tests.support.judgements import EXCLUDES, LABELS, TRUST, judgements, ledgers, opinions, piles, said


@given(piles, st.randoms())
def test_the_order_of_arrival_does_not_matter(pile: list[Judgement], shuffler: random.Random) -> None:
    shuffled = list(pile)
    shuffler.shuffle(shuffled)
    assert resolve(shuffled, excludes=EXCLUDES) == resolve(pile, excludes=EXCLUDES)


@given(piles)
def test_the_same_row_twice_is_the_same_row(pile: list[Judgement]) -> None:
    assert resolve(pile + pile[:3], excludes=EXCLUDES) == resolve(pile, excludes=EXCLUDES)


@given(piles)
def test_it_answers_to_anything_and_changes_nothing(pile: list[Judgement]) -> None:
    before = [replace(judgement) for judgement in pile]
    excludes = dict(EXCLUDES)
    first = resolve(iter(pile), excludes=excludes)
    assert pile == before
    assert excludes == EXCLUDES
    assert resolve(pile, excludes=excludes) == first
    for label, decision in first.items():
        assert label in LABELS
        assert (decision.value is None) == (decision.tier in (Tier.CONTESTED, Tier.UNKNOWN))


@given(ledgers())
def test_each_decision_names_judgements_that_exist_and_still_stand(pile: list[Judgement]) -> None:
    standing = {judgement.id: judgement for judgement in current_judgements(pile)}
    for label, decision in resolve(pile, excludes=EXCLUDES).items():
        assert list(decision.judgements) == sorted(set(decision.judgements))
        assert set(decision.judgements) <= set(standing)
        if decision.value is not None:
            assert decision.judgements
        for id_ in decision.judgements:
            one = standing[id_]
            implied = frozenset().union(*(EXCLUDES.get(label_, frozenset()) for label_ in one.asserted))
            assert label in one.asserted | one.denied | implied


@given(ledgers())
def test_a_label_that_nobody_speaks_of_is_not_decided(pile: list[Judgement]) -> None:
    spoken = frozenset().union(*(j.asserted | j.denied for j in current_judgements(pile)))
    assert set(resolve(pile)) == spoken


@given(ledgers(), st.data())
def test_whatever_lower_ranks_say_a_higher_rank_is_not_moved(pile: list[Judgement], data: st.DataObject) -> None:
    rank = data.draw(st.integers(0, len(TRUST) - 2))
    higher = [j for j in pile if j.rater.kind in TRUST[: rank + 1]]
    below = (*TRUST[rank + 1 :], RaterKind.RULE, RaterKind.CLASSIFIER)
    lower = [
        replace(j, id=j.id + 100, supersedes=None if j.supersedes is None else j.supersedes + 100)
        for j in data.draw(ledgers(below))
    ]
    decided = {label: d for label, d in resolve(higher, excludes=EXCLUDES).items() if d.judgements}
    mixed = resolve(higher + lower, excludes=EXCLUDES)
    assert {label: mixed[label] for label in decided} == decided


@pytest.mark.parametrize(("higher", "lower"), list(itertools.pairwise(TRUST)))
@pytest.mark.parametrize("higher_id", [1, 2])
def test_the_higher_rank_decides_against_any_number_below(higher: RaterKind, lower: RaterKind, higher_id: int) -> None:
    crowd = [said(lower, 10 + n, no="hate", name=f"r{n}", external_ref=str(n)) for n in range(5)]
    decision = resolve([*crowd, said(higher, higher_id, yes="hate")])["hate"]
    assert decision.value is True
    assert decision.judgements == (higher_id,)
    without = resolve(crowd)["hate"]
    assert without.value is False
    assert without.judgements == (10, 11, 12, 13, 14)


@pytest.mark.parametrize(
    ("kind", "tier"),
    [
        (RaterKind.HUMAN, Tier.GOLD),
        (RaterKind.EXTERNAL, Tier.SILVER),
        (RaterKind.LLM, Tier.SILVER),
        (RaterKind.BOOTSTRAP, Tier.SILVER),
        (RaterKind.PSEUDO, Tier.PSEUDO),
        (RaterKind.RULE, Tier.PSEUDO),
    ],
)
def test_the_tier_says_who_decided(kind: RaterKind, tier: Tier) -> None:
    decisions = resolve([said(kind, 1, yes="hate", no="porn")])
    assert decisions == {"hate": Decision(True, tier, (1,)), "porn": Decision(False, tier, (1,))}
    assert text_tier(decisions) is tier


@pytest.mark.parametrize(
    ("kind", "tier"),
    [
        (RaterKind.HUMAN, Tier.CONTESTED),
        (RaterKind.EXTERNAL, Tier.CONTESTED),
        (RaterKind.LLM, Tier.UNKNOWN),
        (RaterKind.PSEUDO, Tier.UNKNOWN),
    ],
)
def test_people_who_disagree_make_it_contested_and_machines_unknown(kind: RaterKind, tier: Tier) -> None:
    pile = [said(kind, 1, yes="hate,porn", name="a"), said(kind, 2, yes="porn", no="hate", name="b")]
    decisions = resolve(pile)
    assert decisions["hate"] == Decision(None, tier, (1, 2))
    assert decisions["porn"].value is True
    assert decisions["porn"].judgements == (1, 2)
    if tier is Tier.CONTESTED:
        assert text_tier(decisions) is Tier.CONTESTED


@pytest.mark.parametrize(
    ("yes", "no", "decided"),
    [
        (1, 1, (None, Tier.CONTESTED)),
        (2, 1, (True, Tier.SILVER)),
        (1, 2, (False, Tier.SILVER)),
        (2, 2, (None, Tier.CONTESTED)),
        (3, 2, (None, Tier.CONTESTED)),
        (4, 2, (True, Tier.SILVER)),
        (3, 0, (True, Tier.GOLD)),
    ],
)
def test_two_thirds_of_three_people_or_more_settle_a_dispute(
    yes: int, no: int, decided: tuple[bool | None, Tier]
) -> None:
    pile = [said(RaterKind.HUMAN, n + 1, yes="hate", version=str(n)) for n in range(yes)]
    pile += [said(RaterKind.HUMAN, 100 + n, no="hate", version=str(100 + n)) for n in range(no)]
    found = resolve(pile)["hate"]
    assert (found.value, found.tier) == decided


def test_a_majority_of_data_sets_settles_nothing() -> None:
    pile = [said(RaterKind.EXTERNAL, n, yes="hate", external_ref=str(n)) for n in (1, 2)]
    pile += [said(RaterKind.EXTERNAL, 3, no="hate", external_ref="3")]
    assert resolve(pile)["hate"].tier is Tier.CONTESTED


def test_a_dispute_between_people_is_not_settled_by_machines() -> None:
    pile = [said(RaterKind.HUMAN, 1, yes="hate", name="a"), said(RaterKind.HUMAN, 2, no="hate", name="b")]
    pile += [said(RaterKind.LLM, 3 + n, yes="hate", name=f"m{n}") for n in range(4)]
    assert resolve(pile)["hate"] == Decision(None, Tier.CONTESTED, (1, 2))


@given(ledgers())
def test_withdrawn_and_superseded_rows_do_not_count(pile: list[Judgement]) -> None:
    superseded = {j.supersedes for j in pile}
    newest = [j for j in pile if j.id not in superseded]
    assert resolve(pile, excludes=EXCLUDES) == resolve(newest, excludes=EXCLUDES)
    standing = [j for j in newest if not j.withdrawn]
    assert resolve(pile, excludes=EXCLUDES) == resolve(standing, excludes=EXCLUDES)


def test_a_person_who_takes_a_judgement_back_has_said_nothing() -> None:
    first = said(RaterKind.HUMAN, 1, yes="hate", external_ref="7")
    llm = said(RaterKind.LLM, 2, no="hate")
    back = said(RaterKind.HUMAN, 3, yes="hate", external_ref="7", revision=1, supersedes=1, withdrawn=True)
    assert resolve([first, llm])["hate"].value is True
    assert resolve([first, llm, back])["hate"] == Decision(False, Tier.SILVER, (2,))
    assert resolve([first, back]) == {}


def test_a_person_who_annotates_again_is_heard_once() -> None:
    pile = [
        said(RaterKind.HUMAN, 1, yes="hate", external_ref="7"),
        said(RaterKind.HUMAN, 2, no="hate", external_ref="8"),
    ]
    assert resolve(pile)["hate"] == Decision(False, Tier.GOLD, (2,))


def test_two_accounts_of_one_name_are_two_people() -> None:
    pile = [
        said(RaterKind.HUMAN, 1, yes="hate", version="11"),
        said(RaterKind.HUMAN, 2, no="hate", version="12"),
    ]
    assert resolve(pile)["hate"].tier is Tier.CONTESTED


def test_annotators_of_one_data_set_are_heard_apart() -> None:
    pile = [
        said(RaterKind.EXTERNAL, 1, yes="hate", external_ref="row 1, annotator 1"),
        said(RaterKind.EXTERNAL, 2, no="hate", external_ref="row 1, annotator 2"),
    ]
    assert resolve(pile)["hate"] == Decision(None, Tier.CONTESTED, (1, 2))


def test_a_machine_speaks_with_the_voice_of_its_newest_version() -> None:
    pile = [
        said(RaterKind.LLM, 1, yes="hate", version="prompt 1"),
        said(RaterKind.LLM, 2, no="hate", version="prompt 2"),
    ]
    assert resolve(pile)["hate"] == Decision(False, Tier.SILVER, (2,))


@given(ledgers())
def test_demoted_labels_are_as_if_not_said(pile: list[Judgement]) -> None:
    filtered = (RaterKind.LLM, RaterKind.BOOTSTRAP)
    silent = [replace(j, asserted=j.asserted - j.demoted) if j.rater.kind in filtered else j for j in pile]
    silent = [replace(j, demoted=frozenset()) for j in silent]
    want = {label: d for label, d in resolve(silent, excludes=EXCLUDES).items() if d.judgements}
    have = {label: d for label, d in resolve(pile, excludes=EXCLUDES).items() if d.judgements}
    assert have == want


def test_a_label_that_was_only_demoted_stays_unknown() -> None:
    one = said(RaterKind.LLM, 1, yes="hate", demoted=frozenset({"hate"}))
    assert resolve([one], excludes=EXCLUDES) == {"hate": Decision(None, Tier.UNKNOWN, ())}
    assert text_tier(resolve([one])) is Tier.UNKNOWN


@pytest.mark.parametrize("kind", [RaterKind.HUMAN, RaterKind.EXTERNAL, RaterKind.PSEUDO])
def test_filters_have_no_say_over_others(kind: RaterKind) -> None:
    assert resolve([said(kind, 1, yes="hate", demoted=frozenset({"hate"}))])["hate"].value is True


def test_asserting_a_label_denies_what_it_excludes() -> None:
    one = said(RaterKind.HUMAN, 1, yes="safe for work")
    assert opinions(resolve([one], excludes=EXCLUDES)) == {
        "safe for work": True,
        "hate": False,
        "porn": False,
        "racist": False,
    }
    assert opinions(resolve([one])) == {"safe for work": True}


def test_two_people_who_assert_what_excludes_each_other_contest_both() -> None:
    pile = [
        said(RaterKind.HUMAN, 1, yes="safe for work", name="a"),
        said(RaterKind.HUMAN, 2, yes="hate", name="b"),
    ]
    decisions = resolve(pile, excludes=EXCLUDES)
    assert decisions["hate"] == decisions["safe for work"] == Decision(None, Tier.CONTESTED, (1, 2))
    assert decisions["porn"] == Decision(False, Tier.GOLD, (1,))


@given(ledgers(), st.lists(judgements(kinds=(RaterKind.CLASSIFIER,)), max_size=5))
def test_a_model_never_decides(pile: list[Judgement], predictions: list[Judgement]) -> None:
    pile = [j for j in pile if j.rater.kind is not RaterKind.CLASSIFIER]
    predictions = [replace(p, id=100 + n, supersedes=None) for n, p in enumerate(predictions)]
    mixed = resolve(pile + predictions, excludes=EXCLUDES)
    plain = resolve(pile, excludes=EXCLUDES)
    assert {label: mixed[label] for label in plain} == plain
    for label in set(mixed) - set(plain):
        assert mixed[label] == Decision(None, Tier.UNKNOWN, ())


def test_nothing_said_is_nothing_known() -> None:
    assert resolve([]) == {}
    assert text_tier({}) is Tier.UNKNOWN


def settles(id_: int, *, yes: str = "", no: str = "", account: str = "1", **more: object) -> Judgement:
    return said(RaterKind.HUMAN, id_, yes=yes, no=no, name=ADJUDICATION, version=account, **more)


@pytest.mark.parametrize("id_", [0, 50])
def test_a_settlement_outranks_any_number_of_people_and_is_gold(id_: int) -> None:
    crowd = [said(RaterKind.HUMAN, 10 + n, no="hate", version=str(n)) for n in range(9)]
    settled = settles(id_, yes="hate")
    assert resolve([*crowd, settled])["hate"] == Decision(True, Tier.GOLD, (id_,))
    split = [*crowd[:2], said(RaterKind.HUMAN, 30, yes="hate", version="30")]
    assert resolve([split[0], split[2], settled])["hate"] == Decision(True, Tier.GOLD, (id_,))
    assert text_tier(resolve([split[0], split[2], settled])) is Tier.GOLD


def test_a_settlement_decides_the_labels_that_it_speaks_of_and_no_other() -> None:
    pile = [
        said(RaterKind.HUMAN, 1, yes="hate,porn", name="a"),
        said(RaterKind.HUMAN, 2, no="hate,porn", name="b"),
        settles(3, no="hate"),
    ]
    decisions = resolve(pile)
    assert decisions["hate"] == Decision(False, Tier.GOLD, (3,))
    assert decisions["porn"] == Decision(None, Tier.CONTESTED, (1, 2))
    assert text_tier(decisions) is Tier.CONTESTED


def test_of_two_reviewers_who_disagree_the_newer_settles_each_label_that_they_speak_of() -> None:
    older, newer = settles(4, yes="hate", no="porn"), settles(7, no="hate", account="2")
    decisions = resolve([newer, older])
    assert decisions["hate"] == Decision(False, Tier.GOLD, (7,))
    assert decisions["porn"] == Decision(False, Tier.GOLD, (4,))
    agreeing = settles(9, no="hate", account="3")
    assert resolve([newer, older, agreeing])["hate"] == Decision(False, Tier.GOLD, (7, 9))


def test_a_settlement_that_was_undone_leaves_the_dispute_as_it_was() -> None:
    dispute = [said(RaterKind.HUMAN, 1, yes="hate", name="a"), said(RaterKind.HUMAN, 2, no="hate", name="b")]
    settled = settles(3, yes="hate", external_ref="review:x")
    undone = settles(4, external_ref="review:x", revision=1, supersedes=3, withdrawn=True)
    assert resolve([*dispute, settled])["hate"].value is True
    assert resolve([*dispute, settled, undone]) == resolve(dispute)


def test_only_people_called_so_are_reviewers() -> None:
    for kind in set(RaterKind) - {RaterKind.HUMAN}:
        assert not RaterRef(kind, ADJUDICATION, "1").adjudicates
        pile = [said(RaterKind.HUMAN, 1, no="hate"), said(kind, 2, yes="hate", name=ADJUDICATION)]
        assert resolve(pile)["hate"] == Decision(False, Tier.GOLD, (1,))


@st.composite
def reviewed(draw: st.DrawFn) -> list[Judgement]:
    """A ledger in which some of the people are reviewers."""
    pile = draw(ledgers())
    accounts = draw(st.sets(st.sampled_from(("", "1", "2"))))
    return [
        replace(j, rater=RaterRef(j.rater.kind, ADJUDICATION, j.rater.version))
        if j.rater.kind is RaterKind.HUMAN and j.rater.name == "b" and j.rater.version in accounts
        else j
        for j in pile
    ]


@given(reviewed(), st.randoms())
def test_with_reviewers_the_order_of_arrival_does_not_matter(pile: list[Judgement], shuffler: random.Random) -> None:
    shuffled = list(pile)
    shuffler.shuffle(shuffled)
    assert resolve(shuffled + pile[:2], excludes=EXCLUDES) == resolve(pile, excludes=EXCLUDES)


@given(reviewed())
def test_whatever_others_say_what_reviewers_settled_stands(pile: list[Judgement]) -> None:
    reviewers = [j for j in pile if j.rater.adjudicates]
    settled = {label: d for label, d in resolve(reviewers, excludes=EXCLUDES).items() if d.judgements}
    assert all(d.tier is Tier.GOLD and d.value is not None for d in settled.values())
    everything = resolve(pile, excludes=EXCLUDES)
    assert {label: everything[label] for label in settled} == settled
    # and of what they leave unsaid, the others decide as if there were no reviewers
    others = resolve([j for j in pile if not j.rater.adjudicates], excludes=EXCLUDES)
    assert {label: d for label, d in everything.items() if label not in settled and d.judgements} == {
        label: d for label, d in others.items() if label not in settled and d.judgements
    }
