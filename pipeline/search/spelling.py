"""Other spellings: the words of the texts that share most trigrams with a word that somebody typed.

PostgreSQL has an extension for trigrams (pg_trgm), which the embedded server does not carry and which a user of another
server may not be allowed to create. So the words are a table of their own, with their trigrams in an index that every
server has. The words are counted on a sample of the texts: a word that is rare there is no likely correction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.store.tables.core import WORDS_OF_TEXT

#: texts whose words are counted, and words that are kept, the most frequent
_TEXTS, _WORDS = 200_000, 200_000
#: texts that a word must be in, and its length
_LEAST_TEXTS, _SHORTEST, _LONGEST = 2, 3, 30
#: shortest word that is corrected: a shorter one is like too many others
_LEAST_LETTERS = 4
#: share of trigrams that a spelling must have in common with the word (Jaccard index)
_ALIKE = 0.3
#: how many times more frequent than a word of the texts its correction must be
_MORE = 20
#: candidates that are compared, the most frequent
_COMPARED = 2_000
_MOST = 3


def trigrams(word: str) -> frozenset[str]:
    """The trigrams of a word with two blanks before it and one after it, as pg_trgm takes them."""
    padded = f"  {word} "
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))


def likeness(first: frozenset[str], other: frozenset[str]) -> float:
    """The share of trigrams that two words have in common, 0 to 1."""
    return len(first & other) / max(1, len(first | other))


def renew(session: Session) -> int:
    """Count the words of the texts again, in the caller's transaction; the number of words that are kept.

    Half a minute for a large store: no more than 200,000 texts are read, which are a random sample of all, since ids
    are hashes. The words that are there can be read meanwhile.
    """
    session.execute(text("DELETE FROM search_word"))
    session.execute(
        text("""
            INSERT INTO search_word (word, texts, trigrams)
            SELECT word, ndoc, ARRAY(
                SELECT DISTINCT substr('  ' || word || ' ', place, 3) FROM generate_series(1, length(word) + 1) place
            )
            FROM ts_stat(:words)
            WHERE ndoc >= :least AND length(word) BETWEEN :shortest AND :longest AND word ~ '^[[:alpha:]'']+$'
            ORDER BY ndoc DESC, word LIMIT :most
        """),
        {
            "words": f"SELECT {WORDS_OF_TEXT} FROM text WHERE in_scope ORDER BY id LIMIT {_TEXTS}",  # noqa: S608
            "least": _LEAST_TEXTS,
            "shortest": _SHORTEST,
            "longest": _LONGEST,
            "most": _WORDS,
        },
    )
    return session.execute(select(func.count()).select_from(store.SearchWord)).scalar_one()


@dataclass(frozen=True, slots=True)
class Spelling:
    """A word that somebody typed, and words of the texts that are spelled alike, the likeliest first."""

    word: str
    instead: Sequence[str]


def spellings(session: Session, words: Sequence[str]) -> list[Spelling]:
    """Other spellings for those words that no text seems to have, or few; none before the words were counted."""
    w = store.SearchWord
    rows = session.execute(select(w.word, w.texts).where(w.word.in_(list(words)))).all()
    known = {row.word: row.texts for row in rows}
    spellings = []
    for word in dict.fromkeys(words):
        if not _LEAST_LETTERS <= len(word) <= _LONGEST:
            continue
        own = trigrams(word)
        # The first trigram is one letter only, which too many words have.
        telling = sorted(own - {f"  {word[0]}"})
        near = session.execute(
            select(w.word, w.texts)
            .where(
                w.trigrams.overlap(telling),
                func.length(w.word).between(len(word) - 2, len(word) + 2),
                w.word != word,
                w.texts >= _MORE * known.get(word, 0),
            )
            .order_by(w.texts.desc(), w.word)
            .limit(_COMPARED)
        ).all()
        alike = sorted(
            ((-likeness(own, trigrams(other)), -texts, other) for other, texts in near),
        )
        instead = [other for share, _, other in alike if -share >= _ALIKE][:_MOST]
        if instead:
            spellings.append(Spelling(word, instead))
    return spellings
