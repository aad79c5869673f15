"""One text on the pages of the review: its keys, rows of labels, columns of votes. Nothing is read from the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.judgement import Judgement, RaterKind, RaterRef
from pipeline.ledger.resolve import opinions
from pipeline.review.items import Item, Vote
from pipeline.review.reasons import Ground
from pipeline.review.reviewer import VOLUNTEERS, Reviewer
from pipeline.taxonomy import Taxonomy
from saring.web.words import marked

if TYPE_CHECKING:
    from saring.web.visit import Visitor

#: keys that all pages use, and Enter's place
_TAKEN = frozenset("g/?")
_SPARE = "zxcvbnmasdfhjklwertyuiop"
_KINDS = {
    RaterKind.HUMAN: marked("person %(name)s"),
    RaterKind.EXTERNAL: marked("data set %(name)s"),
    RaterKind.LLM: marked("language model %(name)s"),
    RaterKind.CLASSIFIER: marked("classifier %(name)s"),
    RaterKind.PSEUDO: marked("pseudo-label %(name)s"),
    RaterKind.RULE: marked("rule %(name)s"),
    RaterKind.BOOTSTRAP: marked("bootstrap rater %(name)s"),
}


@dataclass(frozen=True, slots=True)
class Keys:
    """The key of each act on the page of a text."""

    labels: Mapping[str, str]
    grounds: Mapping[Ground, str]
    undo: str
    skip: str
    #: shows a harsh text
    show: str


@dataclass(frozen=True, slots=True)
class Cell:
    """The word of one vote on one label."""

    #: None: nothing
    value: bool | None
    #: it follows from a label that excludes this one
    implied: bool
    #: a filter rejected it
    rejected: bool
    score: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One label."""

    key: str
    in_question: bool
    #: `yes`, `no`, or empty: what is marked when the page is shown
    mark: str
    #: what is decided now; None: nothing
    decided: bool | None
    cells: Sequence[Cell]


def keys_of(taxonomy: Taxonomy) -> Keys:
    """The keys: those of the taxonomy for labels, and free ones for the rest."""
    used: set[str] = set(_TAKEN)
    labels: dict[str, str] = {}
    for label in taxonomy:
        wanted = label.hotkey.lower()
        if wanted not in used:
            labels[label.key] = wanted
            used.add(wanted)

    def free(*wanted: str) -> str:
        key = next((key for key in (*wanted, *_SPARE) if key not in used), "")
        used.add(key)
        return key

    undo, skip, show = free("u"), free("s"), free("h")
    grounds = {ground: free() for ground in Ground}
    for label in taxonomy:
        labels.setdefault(label.key, free())
    return Keys(labels, grounds, undo, skip, show)


def rows_of(item: Item, taxonomy: Taxonomy, reviewer: Reviewer, marks: Mapping[str, str] | None = None) -> list[Row]:
    """The labels: those in question first, then those that somebody spoke of, then the others.

    Args:
        item: the text.
        taxonomy: the labels.
        reviewer: their own earlier settlement is marked.
        marks: what was marked before; None: nothing.
    """
    spoken = [opinions(_plain(vote), taxonomy.excludes, filtered=False) for vote in item.votes]
    earlier = next((vote for vote in reversed(item.votes) if vote.rater == reviewer.rater), None)
    typed = marks if marks is not None else _marks_of(earlier)
    rows = []
    for key in taxonomy.keys:
        cells = [
            Cell(
                True if key in asserted else False if key in denied else None,
                key in denied and key not in vote.denied,
                key in vote.demoted,
                vote.scores.get(key),
            )
            for vote, (asserted, denied) in zip(item.votes, spoken, strict=True)
        ]
        decision = item.decisions.get(key)
        rows.append(
            Row(key, key in item.labels, typed.get(key, ""), decision.value if decision is not None else None, cells)
        )
    return sorted(rows, key=lambda row: (not row.in_question, all(cell.value is not True for cell in row.cells)))


def say_rater(visit: Visitor, rater: RaterRef, names: Mapping[str, str]) -> str:
    """The name of a rater. People of Label Studio are numbers.

    Args:
        visit: whose language is used.
        rater: the rater.
        names: of accounts, by id.
    """
    if rater.adjudicates:
        return visit.say("reviewer %(name)s", name=names.get(rater.version, rater.version))
    if rater.kind is RaterKind.HUMAN and rater.name == VOLUNTEERS:
        return visit.say("volunteer %(name)s", name=rater.version)
    if rater.kind is RaterKind.REPORT:
        # the reasons beside it have the application's name
        return visit.say("application %(name)s", name=rater.version)
    return visit.say(_KINDS[rater.kind], name=rater.name)


def _plain(vote: Vote) -> Judgement:
    return Judgement(vote.judgement, vote.rater, vote.asserted, vote.denied, vote.demoted)


def _marks_of(vote: Vote | None) -> dict[str, str]:
    if vote is None:
        return {}
    return dict.fromkeys(vote.asserted, "yes") | dict.fromkeys(vote.denied, "no")
