"""A search: candidates by words, likeness or filters, then what is believed of them, then a page.

A frequent word is in half a million texts. So a search looks at a fixed number of texts at most (`words.MOST_LOOKED`,
`near.MOST_LOOKED`), takes the best of these, and says where there may be more.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from psycopg.errors import QueryCanceled
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import UsageError
from pipeline.judgement import Tier
from pipeline.ledger.resolve import text_tier
from pipeline.search.decided import Decisions, decisions_of
from pipeline.search.narrow import Condition, condition, short_list, some
from pipeline.search.near import index_of, nearest, vector_of
from pipeline.search.query import Query
from pipeline.search.spelling import Spelling, spellings
from pipeline.search.words import MOST_LOOKED, Matches, matching, understand
from pipeline.taxonomy import Taxonomy
from pipeline.vectors.encoders.protocol import Vectors

#: texts whose decisions are read at once
_CHUNK = 200
#: matches below which other spellings are looked for
_FEW = 5
#: longest time of one statement: a search that takes longer asks for too much
_LONGEST_MS = 10_000


@dataclass(frozen=True, slots=True)
class Label:
    """A label of a found text."""

    key: str
    #: True: it has it; None: raters disagree
    value: bool | None
    tier: Tier


@dataclass(frozen=True, slots=True)
class Hit:
    """A found text."""

    text_id: uuid.UUID
    #: with personal data masked
    text: str
    language: str | None
    #: labels that it has, or that are contested
    labels: Sequence[Label]
    tier: Tier
    #: True: it probably has a label that is not benign
    harsh: bool
    #: cosine with the text that it is like; None: the search is not by likeness
    likeness: float | None
    queued: bool
    in_label_studio: bool
    judged_by_people: bool
    #: the text that it nearly repeats
    duplicate_of: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class Found:
    """A page of a search."""

    hits: Sequence[Hit]
    #: texts that are known to match, those before the page included
    known: int
    #: True: these are all; False: there may be more
    complete: bool
    #: True: there is a next page
    more: bool
    #: texts that were looked at
    looked: int
    spellings: Sequence[Spelling] = ()
    #: what to know about it, as sentences
    notes: Sequence[str] = field(default_factory=tuple)


def search(
    session: Session,
    taxonomy: Taxonomy,
    query: Query,
    *,
    encoder: str,
    meaning: Vectors | None = None,
    offset: int = 0,
    limit: int = 20,
) -> Found:
    """One page of the texts that a search finds, the best first.

    With words and a likeness, texts with the words are ordered by likeness. With filters only, some of the texts that
    meet them are shown, in order of id.

    Args:
        session: an open session, without work that is not committed.
        taxonomy: the labels.
        query: what is looked for.
        encoder: the space of vectors in use.
        meaning: a unit vector to be like, in place of `query.like`.
        offset: matches before the page.
        limit: matches on the page.

    Raises:
        UsageError: the words cannot be searched for, or the search takes too long.
        EncoderError: the text to be like has no vector.
    """
    try:
        session.execute(text(f"SET LOCAL statement_timeout = {_LONGEST_MS}"))
        matches = _search(session, taxonomy, query, encoder, meaning, offset, limit)
        session.execute(text("SET LOCAL statement_timeout = DEFAULT"))
    except OperationalError as error:
        if not isinstance(error.orig, QueryCanceled):
            raise
        session.rollback()
        raise UsageError(
            "the search takes too long, because its words are in too many texts: add a rarer word, or take some away"
        ) from error
    return matches


def _search(
    session: Session,
    taxonomy: Taxonomy,
    query: Query,
    encoder: str,
    meaning: Vectors | None,
    offset: int,
    limit: int,
) -> Found:
    notes: list[str] = []
    meets = condition(query)
    vector = meaning if meaning is not None or query.like is None else vector_of(session, encoder, query.like)
    among = short_list(session, query)
    others: list[Spelling] = []
    if query.words:
        wanted = understand(session, query.words)
        matches = matching(session, wanted, meets, among=among)
        if len(matches.scores) < _FEW:
            others = spellings(session, wanted.words)
        if vector is not None:
            near = nearest(
                session, encoder, vector, meets, among=list(matches.scores), but=query.like, most=MOST_LOOKED
            )
            matches = Matches(near.scores, matches.looked, matches.complete)
    elif vector is not None:
        near = nearest(session, encoder, vector, meets, among=among, but=query.like)
        matches = Matches(near.scores, near.looked, near.complete)
        if among is None and index_of(session, encoder).worth_making:
            notes.append("every vector was compared: `saring search --index` makes an index that is quicker")
    else:
        matches = _filtered(session, query, meets, among)
    if query.like is not None and query.words:
        matches.scores.pop(query.like, None)
    candidates = list(matches.scores)
    page, known, exhausted = _decided(session, taxonomy, query, candidates, offset, limit)
    return Found(
        hits=_hits(session, taxonomy, page[:limit], matches.scores if vector is not None else {}),
        known=known,
        complete=exhausted and matches.complete,
        more=len(page) > limit,
        looked=matches.looked,
        spellings=others,
        notes=notes,
    )


def _filtered(session: Session, query: Query, meets: Condition, among: Sequence[uuid.UUID] | None) -> Matches:
    """Texts that meet the filters, in order of id: of those on the shortest list, or of the first in the store."""
    complete = among is not None
    chosen = among if among is not None else some(session, query, MOST_LOOKED)
    if chosen is None:
        t = store.Text
        chosen = session.scalars(select(t.id).order_by(t.id).limit(MOST_LOOKED)).all()
        complete = len(chosen) < MOST_LOOKED
    rows = session.scalars(
        text(f"SELECT t.id FROM text t WHERE t.id = ANY(CAST(:among AS uuid[])) AND {meets.sql} ORDER BY t.id"),  # noqa: S608
        {"among": list(chosen)} | dict(meets.parameters),
    )
    return Matches(dict.fromkeys(rows, 0.0), len(chosen), complete)


def _decided(
    session: Session,
    taxonomy: Taxonomy,
    query: Query,
    candidates: Sequence[uuid.UUID],
    offset: int,
    limit: int,
) -> tuple[list[tuple[uuid.UUID, Decisions]], int, bool]:
    """The page's candidates on which the decisions are as wanted and one more, how many are known, and whether all."""
    if query.label is None and query.tier is None:
        page = candidates[offset : offset + limit + 1]
        decided = decisions_of(session, taxonomy, page)
        return [(text_id, decided.get(text_id, {})) for text_id in page], len(candidates), True
    right = _rightly(query)
    kept: list[tuple[uuid.UUID, Decisions]] = []
    for start in range(0, len(candidates), _CHUNK):
        chunk = candidates[start : start + _CHUNK]
        decided = decisions_of(session, taxonomy, chunk)
        kept += [(text_id, labels) for text_id in chunk if right(labels := decided.get(text_id, {}))]
        if len(kept) > offset + limit:
            return kept[offset : offset + limit + 1], len(kept), start + _CHUNK >= len(candidates)
    return kept[offset:], len(kept), True


def _rightly(query: Query) -> Callable[[Decisions], bool]:
    """True for decisions that the search asks for."""

    def right(decisions: Decisions) -> bool:
        if query.label is None:
            return text_tier(decisions) is query.tier
        decision = decisions.get(query.label)
        if query.tier is None:
            return decision is not None and decision.value is True
        if query.tier is Tier.UNKNOWN:
            return decision is None or decision.tier is Tier.UNKNOWN
        if query.tier is Tier.CONTESTED:
            return decision is not None and decision.tier is Tier.CONTESTED
        return decision is not None and decision.value is True and decision.tier is query.tier

    return right


def _hits(
    session: Session,
    taxonomy: Taxonomy,
    page: Sequence[tuple[uuid.UUID, Decisions]],
    likeness: Mapping[uuid.UUID, float],
) -> list[Hit]:
    t, ids = store.Text, [text_id for text_id, _ in page]
    texts = {
        row.id: row
        for row in session.execute(select(t.id, t.masked, t.language, t.duplicate_of).where(t.id == func.any(ids)))
    }
    places = {
        row[0]: row
        for row in session.execute(
            text("""
                SELECT t.id,
                    EXISTS (SELECT FROM queue_item q WHERE q.text_id = t.id AND q.state = 'queued'),
                    EXISTS (SELECT FROM task k JOIN project p ON p.id = k.project_id
                        WHERE k.text_id = t.id AND p.state = 'open'),
                    EXISTS (SELECT FROM current_judgement c WHERE c.text_id = t.id AND c.kind = 'human')
                FROM unnest(CAST(:ids AS uuid[])) AS t (id)
            """),
            {"ids": ids},
        )
    }
    asserted = _asserted(session, ids)
    hits = []
    for text_id, decisions in page:
        row, (_, queued, sent, judged) = texts[text_id], places[text_id]
        labels = [
            Label(key, decisions[key].value, decisions[key].tier)
            for key in taxonomy.keys
            if key in decisions and (decisions[key].value or decisions[key].tier is Tier.CONTESTED)
        ]
        expected = {label.key for label in labels} | asserted.get(text_id, frozenset())
        hits.append(
            Hit(
                text_id,
                row.masked,
                row.language,
                labels,
                text_tier(decisions),
                any(not taxonomy[key].benign for key in expected if key in taxonomy),
                likeness.get(text_id),
                queued,
                sent,
                judged,
                row.duplicate_of,
            )
        )
    return hits


def _asserted(session: Session, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, frozenset[str]]:
    """Labels that any rater now asserts, rejected by a filter or not: better one text hidden too many."""
    rows = session.execute(
        text("""
            SELECT text_id, array_agg(DISTINCT label) FROM current_judgement, unnest(asserted) AS label
            WHERE text_id = ANY(CAST(:ids AS uuid[])) GROUP BY text_id
        """),
        {"ids": list(ids)},
    )
    return {text_id: frozenset(labels) for text_id, labels in rows}
