"""What the ledger's judgements come to, text by text: the one place where learning reads the store."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import Decision, Judgement, RaterKind
from pipeline.ledger.book import judgements_by_text
from pipeline.ledger.consensus.saved import current_consensus
from pipeline.ledger.resolve import resolve
from pipeline.store.spans import Span
from pipeline.store.tables.human_loop import RANDOM
from pipeline.store.texts import sample
from pipeline.taxonomy import Taxonomy

#: whose word may judge a model: people, and data sets made by people
TRUSTED = frozenset({RaterKind.HUMAN, RaterKind.EXTERNAL})
_CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class DecidedText:
    """A text with what is believed of it."""

    id: uuid.UUID
    #: personal data masked
    masked: str
    language: str | None
    #: names of the sources it was seen in
    sources: tuple[str, ...]
    #: the split that a source gave it, the most protected one of several; `train` if it was sought for people to see
    split: str | None
    decisions: Mapping[str, Decision]
    #: labels that a human or a data set decided
    trusted: frozenset[str]
    #: labels that nobody but the bootstrap rater decided
    stand_in: frozenset[str]
    #: labels that a rater asserted and a filter demoted
    demoted: frozenset[str]
    #: by id, the judgements that there are of the text; empty unless they were asked for
    judgements: Mapping[int, Judgement] = field(default_factory=dict)


def decided_texts(
    session: Session,
    taxonomy: Taxonomy,
    *,
    limit: int | None = None,
    span: Span | None = None,
    only: ColumnElement[bool] | None = None,
    with_judgements: bool = False,
) -> Iterator[DecidedText]:
    """Stream the judged texts in scope that are no duplicates, in order of id.

    Args:
        session: an open session.
        taxonomy: says which labels exclude each other.
        limit: keep to the first so many texts in scope (see `sample`), and to all that people or data sets judged.
        span: keep to the texts whose id lies in it; not together with `limit`.
        only: what judgements have to meet to count (see `judgements_by_text`).
        with_judgements: whether each text comes with its judgements.
    """
    excludes = {label.key: frozenset(label.excludes) for label in taxonomy}
    consensus = current_consensus(session)
    j, r = store.Judgement, store.Rater
    chosen = (sample(limit) if span is None else span.of(sample(None))).subquery()
    texts = select(chosen.c.id)
    if limit is not None:
        everything = sample(None).subquery()
        by_people = (
            select(j.text_id)
            .join(r, r.id == j.rater_id)
            .where(r.kind.in_(TRUSTED), j.text_id.in_(select(everything.c.id)))
        )
        texts = texts.union(by_people)  # type: ignore[assignment]
    pending: list[_Pending] = []
    for text_id, judgements in judgements_by_text(session, texts=texts, only=only):
        kinds = {judgement.id: judgement.rater.kind for judgement in judgements}
        found = resolve(judgements, excludes=excludes, consensus=consensus)
        decisions = {key: d for key, d in found.items() if key in taxonomy}
        trusted = frozenset(
            key for key, decision in decisions.items() if any(kinds[i] in TRUSTED for i in decision.judgements)
        )
        stand_in = frozenset(
            key
            for key, decision in decisions.items()
            if decision.judgements and all(kinds[i] is RaterKind.BOOTSTRAP for i in decision.judgements)
        )
        demoted = frozenset[str]().union(*(judgement.demoted for judgement in judgements))
        pending.append(
            _Pending(
                text_id,
                decisions,
                trusted,
                stand_in,
                demoted,
                {judgement.id: judgement for judgement in judgements} if with_judgements else {},
            )
        )
        if len(pending) == _CHUNK:
            yield from _with_texts(session, pending)
            pending = []
    yield from _with_texts(session, pending)


class _Pending(NamedTuple):
    id: uuid.UUID
    decisions: dict[str, Decision]
    trusted: frozenset[str]
    stand_in: frozenset[str]
    demoted: frozenset[str]
    judgements: Mapping[int, Judgement]


def _with_texts(session: Session, pending: Sequence[_Pending]) -> Iterator[DecidedText]:
    t, seen, s = store.Text, store.TextSource, store.Source
    ids = [one.id for one in pending]
    texts = {
        row[0]: row for row in session.execute(select(t.id, t.masked, t.language).where(t.id == func.any(ids))).all()
    }
    sources: dict[uuid.UUID, set[str]] = {}
    splits: dict[uuid.UUID, str] = {}
    for text_id, name, split in session.execute(
        select(seen.text_id, s.name, seen.split)
        .join(s, s.id == seen.source_id)
        .where(seen.text_id == func.any(ids))
        .order_by(seen.text_id, s.name)
    ):
        sources.setdefault(text_id, set()).add(name)
        if split is not None:
            # in order of the alphabet, dev, test, train: test is the most protected, train the least
            before = splits.get(text_id)
            splits[text_id] = split if before in (None, "train") or split == "test" else before
    for text_id in _sought(session, ids):
        splits.setdefault(text_id, "train")
    for one in pending:
        _, masked, language = texts[one.id]
        yield DecidedText(
            one.id,
            masked,
            language,
            tuple(sorted(sources.get(one.id, ()))),
            splits.get(one.id),
            one.decisions,
            one.trusted,
            one.stand_in,
            one.demoted,
            one.judgements,
        )


def _sought(session: Session, ids: Sequence[uuid.UUID]) -> Sequence[uuid.UUID]:
    """Texts that people judged because something made them worth it. A test set of such texts would say how a model
    does on the hardest ones, so they are for training; those drawn at random may be held back."""
    k = store.Task
    # a planted task says nothing of how its text first came to people
    drawn = select(k.text_id).where(k.strategy == RANDOM, ~k.gold)
    return session.scalars(
        select(k.text_id).where(k.text_id == func.any(list(ids)), ~k.gold, k.text_id.not_in(drawn)).distinct()
    ).all()
