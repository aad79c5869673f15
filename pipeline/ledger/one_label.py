"""A person's word on one label of a text, without losing what the same person said of its other labels.

Of a person the last judgement on a text counts, and it counts whole (`pipeline.ledger.resolve`). So an answer about
one label is recorded with what the person's earlier judgements say of the others.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.ledger.book import NewJudgement, record
from pipeline.store.locks import take_rater

#: beginning of the external reference of an answer about one label; the label's key follows
_ABOUT = "label:"


def reference(label: str) -> str:
    """The external reference of answers about a label."""
    return f"{_ABOUT}{label}"


@dataclass(frozen=True, slots=True)
class Word:
    """Opinions in a person's current judgement under one external reference."""

    external_ref: str
    asserted: frozenset[str]
    denied: frozenset[str]

    @property
    def label(self) -> str | None:
        """The label that was asked about; None: the person judged the text as a whole."""
        return self.external_ref.removeprefix(_ABOUT) if self.external_ref.startswith(_ABOUT) else None


@dataclass(frozen=True, slots=True)
class Opinion:
    """Opinion of a person on a text."""

    asserted: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()

    def saying(self, label: str, value: bool | None, excludes: Mapping[str, frozenset[str]]) -> Opinion:
        """This opinion with another word on one label; None: the person cannot say."""
        asserted, denied = self.asserted - {label}, self.denied - {label}
        if value is None:
            return Opinion(asserted, denied)
        if not value:
            return Opinion(asserted, denied | {label})
        # The newer word decides between labels that the same text cannot have.
        return Opinion((asserted - excludes.get(label, frozenset())) | {label}, denied)


def opinion_of(words: Sequence[Word], excludes: Mapping[str, frozenset[str]]) -> Opinion:
    """The opinion of a person on a text after these judgements, the oldest first.

    A judgement of the text as a whole takes the place of all before it, an answer about one label changes that label.
    """
    opinion = Opinion()
    for word in words:
        if word.label is None:
            opinion = Opinion(word.asserted, word.denied)
        else:
            value = True if word.label in word.asserted else False if word.label in word.denied else None
            opinion = opinion.saying(word.label, value, excludes)
    return opinion


def say(
    session: Session,
    rater: int,
    text_id: uuid.UUID,
    label: str,
    value: bool | None,
    *,
    excludes: Mapping[str, frozenset[str]],
    taxonomy_version: str,
    explanation: str | None = None,
) -> None:
    """Record what a person says of one label of a text, in the caller's transaction. Saying it again changes nothing.

    Args:
        session: an open session; the caller commits.
        rater: id of the person's rater, from `pipeline.ledger.book.rater_id`.
        text_id: the text.
        label: key of the label.
        value: whether the text has the label; None: the person cannot say.
        excludes: for each label, the labels that the same text cannot have.
        taxonomy_version: version of the taxonomy that the person saw.
        explanation: the person's own words.
    """
    take_rater(session, rater)
    words = _words(session, rater, text_id)
    own = reference(label)
    opinion = opinion_of([word for word in words if word.external_ref != own], excludes)
    opinion = opinion.saying(label, value, excludes)
    new = NewJudgement(text_id, opinion.asserted, opinion.denied, explanation=explanation, external_ref=own)
    if words and words[-1].external_ref != own:
        # Of two judgements the later counts: the same content again would not be written, so it is taken back first.
        record(session, rater, [_withdrawal(text_id, own)], taxonomy_version=taxonomy_version)
    record(session, rater, [new], taxonomy_version=taxonomy_version)


def take_back(
    session: Session,
    rater: int,
    text_id: uuid.UUID,
    label: str,
    *,
    excludes: Mapping[str, frozenset[str]],
    taxonomy_version: str,
) -> None:
    """Withdraw a person's answer about one label of a text, in the caller's transaction; what they said before it
    counts again. Without such an answer nothing changes."""
    take_rater(session, rater)
    before = _words(session, rater, text_id)
    own = reference(label)
    if all(word.external_ref != own for word in before):
        return
    record(session, rater, [_withdrawal(text_id, own)], taxonomy_version=taxonomy_version)
    left = [word for word in before if word.external_ref != own]
    if left and left[-1].label is not None:
        # A later answer about another label was recorded with this one, which it must no longer say.
        opinion = opinion_of(left, excludes)
        again = NewJudgement(text_id, opinion.asserted, opinion.denied, external_ref=left[-1].external_ref)
        record(session, rater, [again], taxonomy_version=taxonomy_version)


def has_said(session: Session, rater: int, text_id: uuid.UUID, label: str) -> bool:
    """True if an answer of a person about one label of a text stands."""
    return any(word.external_ref == reference(label) for word in _words(session, rater, text_id))


def _withdrawal(text_id: uuid.UUID, external_ref: str) -> NewJudgement:
    return NewJudgement(text_id, external_ref=external_ref, withdrawn=True)


def _words(session: Session, rater: int, text_id: uuid.UUID) -> list[Word]:
    """The person's judgements on a text that are not withdrawn, oldest first."""
    j = store.Judgement
    rows = session.execute(
        select(j.external_ref, j.asserted, j.denied, j.withdrawn)
        .where(j.rater_id == rater, j.text_id == text_id)
        .order_by(j.id)
    )
    newest: dict[str, Word] = {}
    for external_ref, asserted, denied, withdrawn in rows:
        newest.pop(external_ref, None)
        if not withdrawn:
            newest[external_ref] = Word(external_ref, frozenset(asserted), frozenset(denied))
    return list(newest.values())
