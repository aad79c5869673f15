"""Decisions on each text, from the ledger's judgements. Learning reads labels through this module only."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, func, select, union
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

#: kinds of raters whose labels may measure a model: people, and data sets made by people
TRUSTED = frozenset({RaterKind.HUMAN, RaterKind.EXTERNAL})
_CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class DecidedText:
    """A text with the decisions on its labels."""

    id: uuid.UUID
    #: the text with personal data masked
    masked: str
    language: str | None
    #: names of its sources
    sources: tuple[str, ...]
    #: its split in a source, the most protected one of several; `train` if a strategy or a doubt chose it for people,
    #: and no data set judged it
    split: str | None
    decisions: Mapping[str, Decision]
    #: labels that a human or a data set decided
    trusted: frozenset[str]
    #: labels that the bootstrap rater alone decided
    stand_in: frozenset[str]
    #: labels that a rater asserted and a filter rejected
    demoted: frozenset[str]
    #: the judgements of the text by id; empty unless requested
    judgements: Mapping[int, Judgement] = field(default_factory=dict)
    #: the text that this one is a near-duplicate of; None: it is none
    duplicate_of: uuid.UUID | None = None


def decided_texts(
    session: Session,
    taxonomy: Taxonomy,
    *,
    limit: int | None = None,
    span: Span | None = None,
    only: ColumnElement[bool] | None = None,
    with_judgements: bool = False,
    copies: bool = False,
) -> Iterator[DecidedText]:
    """Stream the judged texts that are in scope and not duplicates, in order of id.

    Args:
        session: an open session.
        taxonomy: the labels, and which of them exclude each other.
        limit: number of texts to use, the first in order of id (see `sample`); texts that people or data sets judged
            are always used. None: all.
        span: range of text ids; not together with `limit`. None: all.
        only: a condition that judgements must meet to count (see `judgements_by_text`).
        with_judgements: True: each text has its judgements.
        copies: True: near-duplicates that people or data sets judged are among them (see `told_apart`).
    """
    excludes = taxonomy.excludes
    consensus = current_consensus(session)
    j, r = store.Judgement, store.Rater
    chosen = (sample(limit) if span is None else span.of(sample(None))).subquery()
    slices: list[Select[uuid.UUID]] = [select(chosen.c.id)]
    if limit is not None:
        everything = sample(None).subquery()
        by_people = (
            select(j.text_id)
            .join(r, r.id == j.rater_id)
            .where(r.kind.in_(TRUSTED), j.text_id.in_(select(everything.c.id)))
        )
        slices.append(by_people)
    if copies:
        t = store.Text
        judged = select(j.text_id).join(r, r.id == j.rater_id).where(r.kind.in_(TRUSTED))
        slices.append(select(t.id).where(t.in_scope, t.duplicate_of.is_not(None), t.id.in_(judged)))
    texts = slices[0] if len(slices) == 1 else select(union(*slices).subquery().c.id)
    pending: list[_Pending] = []
    for text_id, judgements in judgements_by_text(session, texts=texts, only=only):
        kinds = {judgement.id: judgement.rater.kind for judgement in judgements}
        resolved = resolve(judgements, excludes=excludes, consensus=consensus)
        decisions = {key: d for key, d in resolved.items() if key in taxonomy}
        trusted = frozenset(
            key for key, decision in decisions.items() if any(kinds[i] in TRUSTED for i in decision.judgements)
        )
        stand_in = frozenset(
            key
            for key, decision in decisions.items()
            if decision.judgements and all(kinds[i] is RaterKind.BOOTSTRAP for i in decision.judgements)
        )
        demoted = frozenset[str]().union(*(judgement.demoted for judgement in judgements))
        people = [judgement.rater for judgement in judgements if judgement.rater.kind in TRUSTED]
        pending.append(
            _Pending(
                text_id,
                decisions,
                trusted,
                stand_in,
                demoted,
                {judgement.id: judgement for judgement in judgements} if with_judgements else {},
                bool(people) and all(rater.adjudicates for rater in people),
                any(rater.kind is RaterKind.EXTERNAL for rater in people),
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
    #: nobody but reviewers judged it
    doubted: bool
    #: a data set judged it
    given: bool


def _with_texts(session: Session, pending: Sequence[_Pending]) -> Iterator[DecidedText]:
    t, seen, s = store.Text, store.TextSource, store.Source
    ids = [text.id for text in pending]
    texts = {
        row[0]: row
        for row in session.execute(
            select(t.id, t.masked, t.language, t.duplicate_of).where(t.id == func.any(ids))
        ).all()
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
            # Test is the most protected split, train the least. Sources come in no order, so the splits are compared.
            before = splits.get(text_id)
            splits[text_id] = split if before in (None, "train") or split == "test" else before
    # What a data set judged, it judged whatever a strategy chose: it stays where it was before people were asked too.
    given = {text.id for text in pending if text.given}
    for text_id in _sought(session, ids):
        if text_id not in given:
            splits.setdefault(text_id, "train")
    for text in pending:
        if text.doubted:
            # A reviewer saw it because its labels were in doubt: like texts that a strategy chose, it is a hard one.
            splits.setdefault(text.id, "train")
    for text in pending:
        _, masked, language, duplicate_of = texts[text.id]
        yield DecidedText(
            text.id,
            masked,
            language,
            tuple(sorted(sources.get(text.id, ()))),
            splits.get(text.id),
            text.decisions,
            text.trusted,
            text.stand_in,
            text.demoted,
            text.judgements,
            duplicate_of,
        )


def _sought(session: Session, ids: Sequence[uuid.UUID]) -> Sequence[uuid.UUID]:
    """Texts that people judged because a strategy chose them.

    These texts are for training: they are harder than others, so a test set of them would not measure a model's
    performance on the stream. Texts drawn at random may be held out.
    """
    k = store.Task
    # A planted task does not show how its text first came to people.
    drawn = select(k.text_id).where(k.strategy == RANDOM, ~k.gold)
    return session.scalars(
        select(k.text_id).where(k.text_id == func.any(list(ids)), ~k.gold, k.text_id.not_in(drawn)).distinct()
    ).all()
