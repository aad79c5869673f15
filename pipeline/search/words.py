"""Search by words: the texts that have them, the best match first.

The words are compared as they are written, but for capitals (configuration `simple` of PostgreSQL's full text search):
no stemmer knows Malay as people write it, and one of English would spoil it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from pipeline.errors import UsageError
from pipeline.search.narrow import Condition
from pipeline.store.tables.core import WORDS_OF_TEXT

#: texts with the words that are looked at; a frequent word has more, and ranking all of them would take seconds
MOST_LOOKED = 2_000
_WORDS = WORDS_OF_TEXT.replace("masked", "t.masked")
#: what a query asks of the words' order, which the index does not know
_ORDER = re.compile(r"<(?:-|\d+)>")
_LEXEME = re.compile(r"'((?:[^']|'')*)'")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The words of a search as PostgreSQL has them."""

    #: the whole query
    query: str
    #: what the index can look up: the words that a text must have, in whatever order
    index: str

    @property
    def words(self) -> list[str]:
        """The words that texts must have, or may have."""
        return [lexeme.replace("''", "'") for lexeme in _LEXEME.findall(self.index)]


def understand(session: Session, words: str) -> Wanted:
    """Meaning of the words that somebody typed.

    Raises:
        UsageError: no word is in it, or only words that a text must not have.
    """
    query, count, tree = session.execute(
        text("SELECT q::text, numnode(q), querytree(q) FROM websearch_to_tsquery('simple', :words) q"),
        {"words": words},
    ).one()
    if not count:
        raise UsageError("there is no word to search for: give at least one word with letters or digits")
    if tree in ("", "T"):
        raise UsageError("give at least one word that the texts have, not only words that they do not have")
    return Wanted(query, _ORDER.sub("&", tree))


@dataclass(frozen=True, slots=True)
class Matches:
    """Texts that were found, the best first, each with a number that only orders them."""

    scores: dict[uuid.UUID, float]
    #: texts that were looked at
    looked: int
    #: True: there are no others
    complete: bool


def matching(
    session: Session, wanted: Wanted, meets: Condition, *, among: Sequence[uuid.UUID] | None = None
) -> Matches:
    """The texts that have the words and meet a condition, ranked.

    Args:
        session: an open session.
        wanted: the words, from `understand`.
        meets: the condition.
        among: only texts with these ids; None: all.
    """
    # Where the words are frequent, PostgreSQL may think that reading the table soon meets enough texts. It need not.
    session.execute(text("SET LOCAL enable_seqscan = off"))
    inner = f"{_WORDS} @@ CAST(:index AS tsquery)"
    if among is not None:
        inner = f"t.id = ANY(CAST(:among AS uuid[])) AND {inner}"
    rows = session.execute(
        text(f"""
            WITH looked AS MATERIALIZED (
                SELECT t.* FROM text t WHERE {inner} LIMIT {MOST_LOOKED}
            )
            SELECT t.id, CASE WHEN {meets.sql} AND {_WORDS} @@ CAST(:query AS tsquery)
                THEN ts_rank({_WORDS}, CAST(:query AS tsquery), 1) END
            FROM looked t
        """),  # noqa: S608 - own words only, the values apart
        {"index": wanted.index, "query": wanted.query, "among": list(among or ())} | dict(meets.parameters),
    ).all()
    session.execute(text("SET LOCAL enable_seqscan = DEFAULT"))
    ranked = sorted(((-rank, text_id) for text_id, rank in rows if rank is not None))
    return Matches({text_id: -rank for rank, text_id in ranked}, len(rows), len(rows) < MOST_LOOKED)
