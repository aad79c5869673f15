"""The disputes of a text that a reviewer should settle, as a pure function of its judgements, and their order."""

from __future__ import annotations

import hashlib
import heapq
import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.judgement import Decision, Judgement, RaterKind, Tier
from pipeline.ledger.resolve import current_judgements, opinions
from pipeline.review.reasons import Why
from pipeline.store.tables.review import DisputeKind

#: worth of a label that is decided, by who judged it: people measure models and teach them, machines only teach
WORTH: Mapping[RaterKind, float] = {RaterKind.HUMAN: 1.0, RaterKind.EXTERNAL: 0.8}
_MACHINE = 0.4
#: people who must agree so that one who could not decide no longer matters
_DECIDING = 2


@dataclass(frozen=True, slots=True)
class Found:
    """Something that a reviewer should settle."""

    text_id: uuid.UUID
    kind: DisputeKind
    #: the labels in question; empty: the whole text
    labels: tuple[str, ...]
    #: a reason for each label in question
    why: tuple[Why, ...]
    #: what settling it is expected to bring: the uncertainty in bits, weighed by who judged, added up over the labels
    value: float


class Best:
    """The most valuable ones of any number, in little memory."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[float, int, Found]] = []

    def add(self, dispute: Found) -> None:
        """One more."""
        item = (dispute.value, -dispute.text_id.int, dispute)
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, item)
        else:
            heapq.heappushpop(self._heap, item)

    def best(self) -> list[Found]:
        """The most valuable ones, best first."""
        return [dispute for _, _, dispute in sorted(self._heap, key=lambda item: (-item[0], -item[1]))]


def worth(kinds: Iterable[RaterKind]) -> float:
    """The worth of a decision that rests on raters of these kinds."""
    return max((WORTH.get(kind, _MACHINE) for kind in kinds), default=_MACHINE)


def uncertainty(yes: int, no: int) -> float:
    """The entropy of votes, in bits: 1 where they are even, 0 where all agree."""
    share = yes / (yes + no) if yes + no else 0.0
    return -sum(p * math.log2(p) for p in (share, 1 - share) if p)


def disputes_of(
    text_id: uuid.UUID,
    judgements: Sequence[Judgement],
    decisions: Mapping[str, Decision],
    excludes: Mapping[str, frozenset[str]],
    *,
    undecided: int = 0,
) -> list[Found]:
    """The disputes of one text, of the kinds that its judgements alone show.

    Args:
        text_id: the text.
        judgements: its judgements.
        decisions: what `resolve` makes of them, labels of the taxonomy only.
        excludes: for each label, the labels that the same text cannot have.
        undecided: people who could not decide.
    """
    standing = {judgement.id: judgement for judgement in current_judgements(judgements)}
    labels_of: dict[DisputeKind, list[str]] = {kind: [] for kind in DisputeKind}
    reasons_of: dict[DisputeKind, list[tuple[Why, float]]] = {kind: [] for kind in DisputeKind}
    for label, decision in decisions.items():
        if decision.value is not None or len(decision.judgements) < 2:
            continue
        voices = [standing[i] for i in decision.judgements if i in standing]
        yes = sum(label in opinions(voice, excludes)[0] for voice in voices)
        no = len(voices) - yes
        kinds = {voice.rater.kind for voice in voices}
        if decision.tier is Tier.CONTESTED:
            kind, code = DisputeKind.DISAGREEMENT, "people-differ" if RaterKind.HUMAN in kinds else "data-differ"
        else:
            kind, code = DisputeKind.UNDECIDED, "machines-differ"
        labels_of[kind].append(label)
        reasons_of[kind].append(
            (Why(code, {"label": label, "yes": yes, "no": no}), uncertainty(yes, no) * worth(kinds))
        )
    people = [j for j in standing.values() if j.rater.kind is RaterKind.HUMAN]
    if undecided and len(people) < _DECIDING and not any(j.rater.adjudicates for j in people):
        # the whole text is in question
        why = Why("cannot-decide", {"people": undecided})
        reasons_of[DisputeKind.UNDECIDED].append((why, WORTH[RaterKind.HUMAN]))
    return [
        Found(
            text_id,
            kind,
            tuple(labels_of[kind]),
            tuple(why for why, _ in reasons),
            sum(value for _, value in reasons),
        )
        for kind, reasons in reasons_of.items()
        if reasons
    ]


def by_whom(decision: Decision, kinds: Mapping[int, RaterKind]) -> tuple[str, float]:
    """The code of a doubt about a decision, and the decision's worth, by the raters whom it rests on."""
    deciding = {kinds[i] for i in decision.judgements if i in kinds}
    code = (
        "doubted-people"
        if RaterKind.HUMAN in deciding
        else "doubted-data"
        if RaterKind.EXTERNAL in deciding
        else "doubted-machines"
    )
    return code, worth(deciding)


def fingerprint(judgements: Iterable[Judgement]) -> str:
    """A short hash of the votes that count, to notice that they changed since somebody saw them."""
    digest = hashlib.blake2b(digest_size=8)
    for judgement in current_judgements(judgements):
        digest.update(f"{judgement.id} {sorted(judgement.demoted)}\n".encode())
    return digest.hexdigest()
