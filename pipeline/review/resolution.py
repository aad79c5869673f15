"""Why a label has its decision, as a reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.judgement import Decision, Judgement, RaterKind, Tier
from pipeline.ledger.resolve import opinions
from pipeline.review.reasons import Why
from pipeline.review.state import TextState

_STAND_INS = frozenset({RaterKind.BOOTSTRAP})


def why_decided(
    label: str, decision: Decision, state: TextState, excludes: Mapping[str, frozenset[str]], *, method: str = ""
) -> Why:
    """The reason for the decision on a label.

    Args:
        label: the label.
        decision: what `resolve` decided.
        state: the text as the ledger has it.
        excludes: for each label, the labels that the same text cannot have.
        method: of the consensus in force.
    """
    standing = {judgement.id: judgement for judgement in state.standing}
    voices = [standing[i] for i in decision.judgements if i in standing]
    if not voices:
        rejected = any(label in judgement.demoted for judgement in standing.values())
        return Why("filtered" if rejected else "nothing")
    yes = sum(_says(voice, label, excludes) is True for voice in voices)
    counts = {"label": label, "yes": yes, "no": len(voices) - yes, "votes": len(voices)}
    if any(voice.rater.adjudicates for voice in voices):
        reviewers = [j for j in standing.values() if j.rater.adjudicates and _says(j, label, excludes) is not None]
        return Why("settled" if len(reviewers) == len(voices) else "settled-anew", {"reviewers": len(voices)})
    return Why(_code(decision, {voice.rater.kind for voice in voices}, yes, len(voices)), counts | {"method": method})


def _code(decision: Decision, kinds: set[RaterKind], yes: int, votes: int) -> str:
    split = 0 < yes < votes
    if RaterKind.HUMAN in kinds:
        if decision.value is None:
            return "people-differ"
        return "people-agree" if decision.tier is Tier.GOLD else "people-mostly-agree"
    if RaterKind.EXTERNAL in kinds:
        return "data-differ" if decision.value is None else "data-agree"
    if kinds <= {RaterKind.PSEUDO, RaterKind.RULE}:
        return "rules-differ" if decision.value is None else "pseudo-label"
    if decision.value is None:
        return "machines-differ"
    if split:
        return "machines-combined"
    return "stand-ins-agree" if kinds <= _STAND_INS else "machines-agree"


def _says(judgement: Judgement, label: str, excludes: Mapping[str, frozenset[str]]) -> bool | None:
    asserted, denied = opinions(judgement, excludes)
    return True if label in asserted else False if label in denied else None
