"""From what raters said to what is believed: one pure function, used by everyone.

Trust runs human > external > agreed LLMs (the bootstrap rater stands in where no LLM spoke) > pseudo-labels. The first
rank at which anybody has an opinion on a label decides it, whatever the lower ranks say. How the words of several
machines of one rank are put together is a value that resolve() is given (`pipeline.ledger.consensus.rule`); without
it they must agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.judgement import Decision, Judgement, RaterKind, Tier
from pipeline.ledger.consensus.rule import Consensus, Vote


@dataclass(frozen=True, slots=True)
class _Rank:
    kinds: tuple[RaterKind, ...]
    agreed: Tier
    disputed: Tier
    #: where two thirds of three or more agree; None: a majority settles nothing
    settled: Tier | None = None
    #: whether a consensus, if there is one, puts several opinions together
    weighed: bool = False


# First rank with an opinion decides. Machines that disagree leave the label unknown; people who do make it contested,
# which sends the text to review, where a third opinion may settle it.
_RANKS = (
    _Rank((RaterKind.HUMAN,), Tier.GOLD, Tier.CONTESTED, settled=Tier.SILVER),
    _Rank((RaterKind.EXTERNAL,), Tier.SILVER, Tier.CONTESTED),
    _Rank((RaterKind.LLM,), Tier.SILVER, Tier.UNKNOWN, weighed=True),
    _Rank((RaterKind.BOOTSTRAP,), Tier.SILVER, Tier.UNKNOWN, weighed=True),
    _Rank((RaterKind.PSEUDO, RaterKind.RULE), Tier.PSEUDO, Tier.UNKNOWN),
)
#: voices from which on a majority counts
_REVIEWED = 3
#: raters whose asserted labels the filters may demote
FILTERED_KINDS = frozenset({RaterKind.LLM, RaterKind.BOOTSTRAP})
#: raters that a consensus puts together, most trusted first: a lower kind is heard where a higher says nothing
WEIGHED_KINDS = tuple(kind for rank in _RANKS if rank.weighed for kind in rank.kinds)


def resolve(
    judgements: Iterable[Judgement],
    *,
    excludes: Mapping[str, frozenset[str]] | None = None,
    consensus: Consensus | None = None,
) -> dict[str, Decision]:
    """What is believed of each label that the judgements of one text speak of.

    Withdrawn and superseded judgements don't count; of one machine rater only its newest version does. Asserting a
    label denies the labels that it excludes. The champion's own predictions (kind `classifier`) never decide: a
    model must not be taught by itself.

    Pure, total and independent of the order of `judgements`.

    Args:
        judgements: everything said of one text.
        excludes: for a label, the labels that can't be true beside it.
        consensus: how several language models (or several bootstrap raters) are put together; None: they must agree.

    Returns:
        A decision for each label that any current judgement asserts or denies.
    """
    current = current_judgements(judgements)
    votes: dict[str, dict[RaterKind, list[Vote]]] = defaultdict(lambda: defaultdict(list))
    for judgement in current:
        asserted, denied = opinions(judgement, excludes or {})
        for label in asserted:
            votes[label][judgement.rater.kind].append(Vote(judgement.rater, True, judgement.id))
        for label in denied:
            votes[label][judgement.rater.kind].append(Vote(judgement.rater, False, judgement.id))
        for label in judgement.asserted - asserted:
            votes[label]
    return {label: _decide(label, by_kind, consensus) for label, by_kind in sorted(votes.items())}


def opinions(
    judgement: Judgement, excludes: Mapping[str, frozenset[str]], *, filtered: bool = True
) -> tuple[frozenset[str], frozenset[str]]:
    """The labels that a judgement asserts and those that it denies, as they count.

    Args:
        judgement: by anybody.
        excludes: for a label, the labels that can't be true beside it: asserting it denies them.
        filtered: whether what the filters demoted counts as not said.
    """
    asserted = judgement.asserted - judgement.demoted if filtered and _is_filtered(judgement) else judgement.asserted
    implied = frozenset[str]().union(*(excludes.get(label, frozenset()) for label in asserted))
    return asserted, (judgement.denied | implied) - asserted


def current_judgements(judgements: Iterable[Judgement]) -> list[Judgement]:
    """The judgements that still stand, in a fixed order."""
    known = sorted(set(judgements), key=_order)
    superseded = {j.supersedes for j in known if j.supersedes is not None}
    newest: dict[tuple[object, ...], Judgement] = {}
    for judgement in known:
        # People and data sets are told apart by version (an account, a release); a machine's version is its state.
        newest[judgement.rater, judgement.external_ref] = judgement
    standing = [j for j in newest.values() if not j.withdrawn and j.id not in superseded]

    # A machine speaks with the voice of its newest version; a person with that of their last annotation.
    last: dict[tuple[RaterKind, str, str], Judgement] = {}
    for judgement in sorted(standing, key=lambda j: (j.id, _order(j))):
        last[_voice(judgement)] = judgement
    return sorted(last.values(), key=_order)


def text_tier(decisions: Mapping[str, Decision]) -> Tier:
    """The tier of a text as a whole: contested if any label is, else the best tier that any of its labels has."""
    tiers = {decision.tier for decision in decisions.values()}
    for tier in (Tier.CONTESTED, Tier.GOLD, Tier.SILVER, Tier.PSEUDO):
        if tier in tiers:
            return tier
    return Tier.UNKNOWN


def _decide(label: str, by_kind: Mapping[RaterKind, list[Vote]], consensus: Consensus | None) -> Decision:
    for rank in _RANKS:
        votes = [vote for kind in rank.kinds for vote in by_kind.get(kind, ())]
        weighed = consensus if rank.weighed else None
        if weighed is not None:
            votes = weighed.heard(label, votes)
        if not votes:
            continue
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


def _voice(judgement: Judgement) -> tuple[RaterKind, str, str]:
    rater = judgement.rater
    if rater.kind is RaterKind.HUMAN:
        return rater.kind, rater.name, rater.version
    if rater.kind is RaterKind.EXTERNAL:
        # one data set may hold several annotators' verdicts on one text
        return rater.kind, rater.name, f"{rater.version}\0{judgement.external_ref}"
    return rater.kind, rater.name, ""


def _order(judgement: Judgement) -> tuple[object, ...]:
    """A total order, so that ties never fall to the order of arrival."""
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
