"""resolve() with a consensus: how much each machine counts."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pipeline.judgement import Decision, Judgement, RaterKind, RaterRef, Tier
from pipeline.ledger.consensus.rule import LEAST_INFORMATION, Consensus, LabelModel, Method, Skill, voice_of
from pipeline.ledger.resolve import resolve
from tests.support.judgements import EXCLUDES, LABELS, consensuses, label_sets, ledgers, opinions, said


@given(ledgers(), consensuses(), st.randoms(use_true_random=False))
def test_under_a_consensus_order_does_not_matter_either(
    pile: list[Judgement], consensus: Consensus, dice: random.Random
) -> None:
    shuffled = pile[:]
    dice.shuffle(shuffled)
    found = resolve(pile, excludes=EXCLUDES, consensus=consensus)
    assert resolve(shuffled, excludes=EXCLUDES, consensus=consensus) == found
    again = Consensus.from_dict(consensus.to_dict())
    assert again.version == consensus.version
    assert resolve(pile, excludes=EXCLUDES, consensus=again) == found


@given(ledgers(), consensuses())
def test_people_and_data_sets_outrank_any_consensus(pile: list[Judgement], consensus: Consensus) -> None:
    plain = resolve(pile, excludes=EXCLUDES)
    weighed = resolve(pile, excludes=EXCLUDES, consensus=consensus)
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
    noise = Judgement(99, nobody, asserted, frozenset(LABELS) - asserted)
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
    assert resolve(pile, excludes=EXCLUDES, consensus=Consensus()) == resolve(pile, excludes=EXCLUDES)


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
