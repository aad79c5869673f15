"""resolve(): what is believed of a text, from what was said of it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ledger.consensus import LEAST_INFORMATION, Consensus, LabelModel, Method, Skill, voice_of
from pipeline.ledger.rater_kind import RaterKind
from pipeline.ledger.resolve import (
    Decision,
    Judgement,
    RaterRef,
    Tier,
    current_judgements,
    resolve,
    text_tier,
)

#: from the most to the least trusted
_TRUST = (RaterKind.HUMAN, RaterKind.EXTERNAL, RaterKind.LLM, RaterKind.BOOTSTRAP, RaterKind.PSEUDO)
_LABELS = ("hate", "porn", "racist", "safe for work")
_EXCLUDES = {
    "safe for work": frozenset({"hate", "porn", "racist"}),
    "hate": frozenset({"safe for work"}),
    "porn": frozenset({"safe for work"}),
    "racist": frozenset({"safe for work"}),
}


def raters(kinds: tuple[RaterKind, ...] = tuple(RaterKind)) -> st.SearchStrategy[RaterRef]:
    refs = [RaterRef(kind, name, version) for kind in kinds for name in ("a", "b") for version in ("", "1", "2")]
    return st.sampled_from(refs)


#: any set of labels; drawn as one number, which is far quicker than a set
label_sets = st.integers(0, 2 ** len(_LABELS) - 1).map(
    lambda bits: frozenset(label for place, label in enumerate(_LABELS) if bits >> place & 1)
)


@st.composite
def judgements(draw: st.DrawFn, id_: int | None = None, kinds: tuple[RaterKind, ...] = tuple(RaterKind)) -> Judgement:
    """Any judgement whatever, also such as no ledger would hold."""
    asserted = draw(label_sets)
    return Judgement(
        id=draw(st.integers(0, 12)) if id_ is None else id_,
        rater=draw(raters(kinds)),
        asserted=asserted,
        denied=draw(label_sets) - asserted,
        demoted=draw(label_sets),
        external_ref=draw(st.sampled_from(("", "x", "y"))),
        revision=draw(st.integers(0, 3)) if id_ is None else 0,
        withdrawn=draw(st.booleans()),
        supersedes=draw(st.none() | st.integers(0, 12)) if id_ is None else None,
    )


piles = st.lists(judgements(), max_size=7)


@st.composite
def ledgers(draw: st.DrawFn, kinds: tuple[RaterKind, ...] = tuple(RaterKind)) -> list[Judgement]:
    """What a ledger could hold of one text: ids used once, revisions that count up and supersede."""
    rows: list[Judgement] = []
    last: dict[tuple[RaterRef, str], Judgement] = {}
    for id_ in range(1, draw(st.integers(0, 7)) + 1):
        row = draw(judgements(id_, kinds))
        key = (row.rater, row.external_ref)
        before = last.get(key)
        row = replace(
            row,
            revision=0 if before is None else before.revision + 1,
            supersedes=None if before is None else before.id,
            withdrawn=row.withdrawn and before is not None,
        )
        last[key] = row
        rows.append(row)
    return rows


_shares = st.floats(0.01, 0.99).map(lambda share: round(share, 4))


@st.composite
def consensuses(draw: st.DrawFn, method: Method | None = None) -> Consensus:
    """Any consensus: of some raters on some labels, a few of them of one family."""
    machines = [
        voice_of(RaterRef(kind, name, version))
        for kind in (RaterKind.LLM, RaterKind.BOOTSTRAP)
        for name in ("a", "b")
        for version in ("", "1", "2")
    ]
    skills = st.builds(Skill, _shares, _shares)
    labels = st.dictionaries(
        st.sampled_from(_LABELS),
        st.builds(LabelModel, _shares, st.dictionaries(st.sampled_from(machines), skills, max_size=6)),
        max_size=3,
    )
    families = st.sampled_from(({}, {"llm:a": "llm:a+b", "llm:b": "llm:a+b"}))
    return Consensus(method or draw(st.sampled_from(Method)), draw(labels), draw(families))


def said(
    kind: RaterKind,
    id_: int,
    *,
    yes: str = "",
    no: str = "",
    name: str = "a",
    version: str = "",
    **more: object,
) -> Judgement:
    labels = [frozenset(part for part in text.split(",") if part) for text in (yes, no)]
    return Judgement(id_, RaterRef(kind, name, version), *labels, **more)  # type: ignore[arg-type]


def opinions(decisions: Mapping[str, Decision]) -> dict[str, bool | None]:
    return {label: decision.value for label, decision in decisions.items()}


@given(piles, st.randoms())
def test_the_order_of_arrival_does_not_matter(pile: list[Judgement], shuffler: random.Random) -> None:
    shuffled = list(pile)
    shuffler.shuffle(shuffled)
    assert resolve(shuffled, excludes=_EXCLUDES) == resolve(pile, excludes=_EXCLUDES)


@given(piles)
def test_the_same_row_twice_is_the_same_row(pile: list[Judgement]) -> None:
    assert resolve(pile + pile[:3], excludes=_EXCLUDES) == resolve(pile, excludes=_EXCLUDES)


@given(piles)
def test_it_answers_to_anything_and_changes_nothing(pile: list[Judgement]) -> None:
    before = [replace(judgement) for judgement in pile]
    excludes = dict(_EXCLUDES)
    first = resolve(iter(pile), excludes=excludes)
    assert pile == before
    assert excludes == _EXCLUDES
    assert resolve(pile, excludes=excludes) == first
    for label, decision in first.items():
        assert label in _LABELS
        assert (decision.value is None) == (decision.tier in (Tier.CONTESTED, Tier.UNKNOWN))


@given(ledgers())
def test_each_decision_names_judgements_that_exist_and_still_stand(pile: list[Judgement]) -> None:
    standing = {judgement.id: judgement for judgement in current_judgements(pile)}
    for label, decision in resolve(pile, excludes=_EXCLUDES).items():
        assert list(decision.judgements) == sorted(set(decision.judgements))
        assert set(decision.judgements) <= set(standing)
        if decision.value is not None:
            assert decision.judgements
        for id_ in decision.judgements:
            one = standing[id_]
            implied = frozenset().union(*(_EXCLUDES.get(label_, frozenset()) for label_ in one.asserted))
            assert label in one.asserted | one.denied | implied


@given(ledgers())
def test_a_label_that_nobody_speaks_of_is_not_decided(pile: list[Judgement]) -> None:
    spoken = frozenset().union(*(j.asserted | j.denied for j in current_judgements(pile)))
    assert set(resolve(pile)) == spoken


@given(ledgers(), st.data())
def test_whatever_lower_ranks_say_a_higher_rank_is_not_moved(pile: list[Judgement], data: st.DataObject) -> None:
    rank = data.draw(st.integers(0, len(_TRUST) - 2))
    higher = [j for j in pile if j.rater.kind in _TRUST[: rank + 1]]
    below = (*_TRUST[rank + 1 :], RaterKind.RULE, RaterKind.CLASSIFIER)
    lower = [
        replace(j, id=j.id + 100, supersedes=None if j.supersedes is None else j.supersedes + 100)
        for j in data.draw(ledgers(below))
    ]
    decided = {label: d for label, d in resolve(higher, excludes=_EXCLUDES).items() if d.judgements}
    mixed = resolve(higher + lower, excludes=_EXCLUDES)
    assert {label: mixed[label] for label in decided} == decided


@pytest.mark.parametrize(("higher", "lower"), list(itertools.pairwise(_TRUST)))
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
    assert resolve(pile, excludes=_EXCLUDES) == resolve(newest, excludes=_EXCLUDES)
    standing = [j for j in newest if not j.withdrawn]
    assert resolve(pile, excludes=_EXCLUDES) == resolve(standing, excludes=_EXCLUDES)


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
    want = {label: d for label, d in resolve(silent, excludes=_EXCLUDES).items() if d.judgements}
    have = {label: d for label, d in resolve(pile, excludes=_EXCLUDES).items() if d.judgements}
    assert have == want


def test_a_label_that_was_only_demoted_stays_unknown() -> None:
    one = said(RaterKind.LLM, 1, yes="hate", demoted=frozenset({"hate"}))
    assert resolve([one], excludes=_EXCLUDES) == {"hate": Decision(None, Tier.UNKNOWN, ())}
    assert text_tier(resolve([one])) is Tier.UNKNOWN


@pytest.mark.parametrize("kind", [RaterKind.HUMAN, RaterKind.EXTERNAL, RaterKind.PSEUDO])
def test_filters_have_no_say_over_others(kind: RaterKind) -> None:
    assert resolve([said(kind, 1, yes="hate", demoted=frozenset({"hate"}))])["hate"].value is True


def test_asserting_a_label_denies_what_it_excludes() -> None:
    one = said(RaterKind.HUMAN, 1, yes="safe for work")
    assert opinions(resolve([one], excludes=_EXCLUDES)) == {
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
    decisions = resolve(pile, excludes=_EXCLUDES)
    assert decisions["hate"] == decisions["safe for work"] == Decision(None, Tier.CONTESTED, (1, 2))
    assert decisions["porn"] == Decision(False, Tier.GOLD, (1,))


@given(ledgers(), st.lists(judgements(kinds=(RaterKind.CLASSIFIER,)), max_size=5))
def test_a_model_never_decides(pile: list[Judgement], predictions: list[Judgement]) -> None:
    pile = [j for j in pile if j.rater.kind is not RaterKind.CLASSIFIER]
    predictions = [replace(p, id=100 + n, supersedes=None) for n, p in enumerate(predictions)]
    mixed = resolve(pile + predictions, excludes=_EXCLUDES)
    plain = resolve(pile, excludes=_EXCLUDES)
    assert {label: mixed[label] for label in plain} == plain
    for label in set(mixed) - set(plain):
        assert mixed[label] == Decision(None, Tier.UNKNOWN, ())


def test_nothing_said_is_nothing_known() -> None:
    assert resolve([]) == {}
    assert text_tier({}) is Tier.UNKNOWN


@given(ledgers(), consensuses(), st.randoms(use_true_random=False))
def test_under_a_consensus_order_does_not_matter_either(
    pile: list[Judgement], consensus: Consensus, dice: random.Random
) -> None:
    shuffled = pile[:]
    dice.shuffle(shuffled)
    found = resolve(pile, excludes=_EXCLUDES, consensus=consensus)
    assert resolve(shuffled, excludes=_EXCLUDES, consensus=consensus) == found
    again = Consensus.from_dict(consensus.to_dict())
    assert again.version == consensus.version
    assert resolve(pile, excludes=_EXCLUDES, consensus=again) == found


@given(ledgers(), consensuses())
def test_people_and_data_sets_outrank_any_consensus(pile: list[Judgement], consensus: Consensus) -> None:
    plain = resolve(pile, excludes=_EXCLUDES)
    weighed = resolve(pile, excludes=_EXCLUDES, consensus=consensus)
    kinds = {j.id: j.rater.kind for j in pile}
    trusted = {RaterKind.HUMAN, RaterKind.EXTERNAL}
    for label, decision in plain.items():
        if any(kinds[id_] in trusted for id_ in decision.judgements):
            assert weighed[label] == decision
    assert plain.keys() == weighed.keys()


@given(ledgers(), consensuses(Method.DAWID_SKENE), st.integers(5, 95), st.integers(-4, 4), label_sets)
def test_a_rater_that_says_nothing_changes_nothing(
    pile: list[Judgement], consensus: Consensus, sensitivity: int, off: int, asserted: frozenset[str]
) -> None:
    nobody = RaterRef(RaterKind.LLM, "nobody", "1")
    # sensitivity = 1 - specificity, or as good as
    skill = Skill(sensitivity / 100, 1 - sensitivity / 100 + off / 100 * LEAST_INFORMATION * 20)
    models = {
        label: LabelModel(model.prevalence, {**model.skills, voice_of(nobody): skill})
        for label, model in consensus.labels.items()
    }
    known = replace(consensus, labels=models)
    noise = Judgement(99, nobody, asserted, frozenset(_LABELS) - asserted)
    before = resolve(pile, consensus=known)
    after = resolve([*pile, noise], consensus=known)
    for label in models:
        assert after[label] == before.get(label, Decision(None, Tier.UNKNOWN, ()))


@given(ledgers((RaterKind.LLM,)), consensuses(Method.DAWID_SKENE))
def test_nothing_is_believed_that_no_machine_speaks_for(pile: list[Judgement], consensus: Consensus) -> None:
    for label, decision in resolve(pile, consensus=consensus).items():
        spoken = set()
        for judgement in pile:
            if judgement.id in decision.judgements:
                model = consensus.labels.get(label)
                skill = model.skills.get(consensus.voice(judgement.rater)) if model is not None else None
                contrary = skill is not None and skill.sensitivity + skill.specificity < 1
                spoken.add((label in judgement.asserted) is not contrary)
        assert decision.value is None or decision.value in spoken


def test_a_rare_label_that_the_only_voice_asserts_is_left_open_rather_than_denied() -> None:
    rare = Consensus(
        Method.DAWID_SKENE, {"hate": LabelModel(0.01, {"llm:a": Skill(0.8, 0.9), "llm:b": Skill(0.8, 0.9)})}
    )
    one = said(RaterKind.LLM, 1, yes="hate", name="a")
    assert resolve([one], consensus=rare)["hate"] == Decision(None, Tier.UNKNOWN, (1,))
    other = said(RaterKind.LLM, 2, no="hate", name="b")
    assert resolve([one, other], consensus=rare)["hate"] == Decision(False, Tier.SILVER, (1, 2))


@given(ledgers())
def test_one_language_model_is_believed_as_without_a_consensus(pile: list[Judgement]) -> None:
    pile = [j for j in pile if j.rater.name == "a"]
    assert resolve(pile, excludes=_EXCLUDES, consensus=Consensus()) == resolve(pile, excludes=_EXCLUDES)


_MODEL = Consensus(
    Method.DAWID_SKENE,
    {
        "hate": LabelModel(
            0.2, {"llm:good": Skill(0.95, 0.95), "llm:poor": Skill(0.6, 0.6), "llm:worse": Skill(0.6, 0.6)}
        )
    },
)


def test_one_that_knows_outweighs_two_that_guess() -> None:
    pile = [said(RaterKind.LLM, 1, yes="hate,porn", name="good")]
    pile += [said(RaterKind.LLM, 2 + n, no="hate,porn", name=name) for n, name in enumerate(("poor", "worse"))]
    assert resolve(pile) == {
        "hate": Decision(None, Tier.UNKNOWN, (1, 2, 3)),
        "porn": Decision(None, Tier.UNKNOWN, (1, 2, 3)),
    }
    # where nothing is estimated, the majority decides
    assert opinions(resolve(pile, consensus=_MODEL)) == {"hate": True, "porn": False}
    assert resolve(pile, consensus=Consensus())["hate"] == Decision(False, Tier.SILVER, (1, 2, 3))


def test_a_new_version_is_another_rater_and_heard_only_where_none_is_that_is_known() -> None:
    new = said(RaterKind.LLM, 1, yes="hate", name="good", version="2")
    assert resolve([new], consensus=_MODEL)["hate"] == Decision(True, Tier.SILVER, (1,))
    known = said(RaterKind.LLM, 2, no="hate", name="poor")
    assert resolve([new, known], consensus=_MODEL)["hate"] == Decision(False, Tier.SILVER, (2,))


def test_the_bootstrap_rater_speaks_where_no_language_model_says_anything() -> None:
    stand_in = said(RaterKind.BOOTSTRAP, 1, yes="hate", name="stand-in")
    mute = Consensus(Method.DAWID_SKENE, {"hate": LabelModel(0.2, {"llm:a": Skill(0.5, 0.5)})})
    word = said(RaterKind.LLM, 2, no="hate")
    assert resolve([stand_in, word], consensus=mute)["hate"] == Decision(True, Tier.SILVER, (1,))
    assert resolve([stand_in, word], consensus=Consensus())["hate"] == Decision(False, Tier.SILVER, (2,))
