"""Decisions from judgements: one pure function, used by all other code.

The order of trust is adjudication > human > external > agreed LLMs (the bootstrap rater counts where no LLM judged) >
pseudo-labels. The first rank with an opinion on a label decides it; lower ranks are then ignored. A consensus
(`pipeline.ledger.consensus.rule`) combines the judgements of several machines of one rank; without one they must
agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.judgement import ADJUDICATION, Decision, Judgement, RaterKind, RaterRef, Tier
from pipeline.ledger.consensus.rule import Consensus, Vote


@dataclass(frozen=True, slots=True)
class _Rank:
    #: kinds of raters, or ADJUDICATION
    kinds: tuple[str, ...]
    agreed: Tier
    disputed: Tier
    #: tier where two thirds of three or more raters agree; None: a majority decides nothing
    settled: Tier | None = None
    #: True: a consensus, if there is one, combines several opinions
    weighed: bool = False
    #: True: of several opinions the newest decides
    newest: bool = False


# The first rank with an opinion decides. Where machines disagree the label is unknown. Where people disagree it is
# contested, and the text goes to review, where a third opinion may decide.
# Of several reviewers the newest decides: an adjudicated text comes back only by an appeal or a new doubt, so whoever
# settles it again has seen what was settled before. If they contested it, nobody could ever settle it.
_RANKS = (
    _Rank((ADJUDICATION,), Tier.GOLD, Tier.GOLD, newest=True),
    _Rank((RaterKind.HUMAN,), Tier.GOLD, Tier.CONTESTED, settled=Tier.SILVER),
    _Rank((RaterKind.EXTERNAL,), Tier.SILVER, Tier.CONTESTED),
    _Rank((RaterKind.LLM,), Tier.SILVER, Tier.UNKNOWN, weighed=True),
    _Rank((RaterKind.BOOTSTRAP,), Tier.SILVER, Tier.UNKNOWN, weighed=True),
    _Rank((RaterKind.PSEUDO, RaterKind.RULE), Tier.PSEUDO, Tier.UNKNOWN),
)
#: least number of raters whose majority counts
_REVIEWED = 3
#: kinds of raters whose asserted labels filters may reject
FILTERED_KINDS = frozenset({RaterKind.LLM, RaterKind.BOOTSTRAP})
#: kinds of raters that a consensus combines, most trusted first: a kind counts where no kind before it has an opinion
WEIGHED_KINDS = tuple(RaterKind(kind) for rank in _RANKS if rank.weighed for kind in rank.kinds)


def resolve(
    judgements: Iterable[Judgement],
    *,
    excludes: Mapping[str, frozenset[str]] | None = None,
    consensus: Consensus | None = None,
) -> dict[str, Decision]:
    """Decide each label of one text that its judgements assert or deny.

    Withdrawn and superseded judgements do not count. Of a machine rater only the newest version counts. Asserting a
    label denies the labels that it excludes. The champion's predictions (kind `classifier`) never decide: a model must
    not learn from its own output.

    Pure, total and independent of the order of `judgements`.

    Args:
        judgements: all judgements of one text.
        excludes: for each label, the labels that the same text cannot have.
        consensus: the rule that combines several language models (or several bootstrap raters); None: they must agree.

    Returns:
        A decision for each label that any current judgement asserts or denies.
    """
    current = current_judgements(judgements)
    votes: dict[str, dict[str, list[Vote]]] = defaultdict(lambda: defaultdict(list))
    for judgement in current:
        asserted, denied = opinions(judgement, excludes or {})
        kind = rank_of(judgement.rater)
        for label in asserted:
            votes[label][kind].append(Vote(judgement.rater, True, judgement.id))
        for label in denied:
            votes[label][kind].append(Vote(judgement.rater, False, judgement.id))
        for label in judgement.asserted - asserted:
            votes[label]
    return {label: _decide(label, by_kind, consensus) for label, by_kind in sorted(votes.items())}


def opinions(
    judgement: Judgement, excludes: Mapping[str, frozenset[str]], *, filtered: bool = True
) -> tuple[frozenset[str], frozenset[str]]:
    """The labels that a judgement asserts and the labels that it denies, implied ones included.

    Args:
        judgement: a judgement of any rater.
        excludes: for each label, the labels that the same text cannot have: asserting it denies them.
        filtered: True: labels that a filter rejected do not count.
    """
    asserted = judgement.asserted - judgement.demoted if filtered and _is_filtered(judgement) else judgement.asserted
    implied = frozenset[str]().union(*(excludes.get(label, frozenset()) for label in asserted))
    return asserted, (judgement.denied | implied) - asserted


def current_judgements(judgements: Iterable[Judgement]) -> list[Judgement]:
    """The current judgements, neither withdrawn nor superseded, in a fixed order."""
    known = sorted(set(judgements), key=_order)
    superseded = {j.supersedes for j in known if j.supersedes is not None}
    newest: dict[tuple[object, ...], Judgement] = {}
    for judgement in known:
        # A person's version is an account and a data set's version a release; a machine's version is its state.
        newest[judgement.rater, judgement.external_ref] = judgement
    standing = [j for j in newest.values() if not j.withdrawn and j.id not in superseded]

    # A machine counts with its newest version, a person with their last annotation.
    last: dict[tuple[RaterKind, str, str], Judgement] = {}
    for judgement in sorted(standing, key=lambda j: (j.id, _order(j))):
        last[_counted_once(judgement)] = judgement
    return sorted(last.values(), key=_order)


def text_tier(decisions: Mapping[str, Decision]) -> Tier:
    """The tier of a text: contested if any label is, else the best tier of its labels."""
    return best_tier(decision.tier for decision in decisions.values())


def best_tier(tiers: Iterable[Tier]) -> Tier:
    """The tier of a text whose labels have these."""
    present = set(tiers)
    for tier in (Tier.CONTESTED, Tier.GOLD, Tier.SILVER, Tier.PSEUDO):
        if tier in present:
            return tier
    return Tier.UNKNOWN


def rank_of(rater: RaterRef) -> str:
    """The name under which a rater's votes are counted: its kind, or `adjudication`."""
    return ADJUDICATION if rater.adjudicates else rater.kind


def _decide(label: str, by_kind: Mapping[str, list[Vote]], consensus: Consensus | None) -> Decision:
    for rank in _RANKS:
        votes = [vote for kind in rank.kinds for vote in by_kind.get(kind, ())]
        weighed = consensus if rank.weighed else None
        if weighed is not None:
            votes = weighed.heard(label, votes)
        if not votes:
            continue
        if rank.newest:
            newest = max(votes, key=lambda vote: (vote.judgement, vote.rater, vote.asserted))
            votes = [vote for vote in votes if vote.asserted == newest.asserted]
        ids = tuple(sorted({vote.judgement for vote in votes}))
        if weighed is not None:
            value = weighed.decide(label, votes)
            return Decision(value, rank.disputed if value is None else rank.agreed, ids)
        values = {vote.asserted for vote in votes}
        if len(values) == 1:
            return Decision(values.pop(), rank.agreed, ids)
        yes = sum(vote.asserted for vote in votes)
        majority = max(yes, len(votes) - yes)
        if rank.settled is not None and len(votes) >= _REVIEWED and 3 * majority >= 2 * len(votes):
            return Decision(yes == majority, rank.settled, ids)
        return Decision(None, rank.disputed, ids)
    return Decision(None, Tier.UNKNOWN, ())


def _is_filtered(judgement: Judgement) -> bool:
    return judgement.rater.kind in FILTERED_KINDS


def _counted_once(judgement: Judgement) -> tuple[RaterKind, str, str]:
    rater = judgement.rater
    if rater.kind is RaterKind.HUMAN:
        return rater.kind, rater.name, rater.version
    if rater.kind is RaterKind.EXTERNAL:
        # One data set may hold the verdicts of several annotators on one text.
        return rater.kind, rater.name, f"{rater.version}\0{judgement.external_ref}"
    return rater.kind, rater.name, ""


def _order(judgement: Judgement) -> tuple[object, ...]:
    """The key of a total order, so that ties do not depend on the order of arrival."""
    return (
        judgement.revision,
        judgement.id,
        judgement.rater,
        judgement.external_ref,
        judgement.withdrawn,
        sorted(judgement.asserted),
        sorted(judgement.denied),
        sorted(judgement.demoted),
        judgement.supersedes if judgement.supersedes is not None else -1,
    )
