"""Ranges of text ids of about equal size.

An id is 128 bits of a hash of the text, so ids are evenly distributed: ranges of equal width hold about equally many
texts, and no text has to be read to find them.
"""

from __future__ import annotations

import itertools
import uuid

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from pipeline.store.spans import Span
from pipeline.store.texts import sample

_SPACE = 1 << 128


def cut(parts: int, end: int = _SPACE) -> list[Span]:
    """Divide the ids below `end` into `parts` ranges of equal width; each id is in exactly one.

    Args:
        parts: number of ranges, at least 1.
        end: the first id, as a number, that is in no range; from 1 to 2**128.
    """
    edges = [end * i // parts for i in range(parts + 1)]
    # No range may be empty. There are fewer ids than parts only where `end` is very small.
    edges = sorted(set(edges))
    return [Span(_id(low), _id(high)) for low, high in itertools.pairwise(edges)]


def spans_of_texts(session: Session, *, size: int, limit: int | None = None) -> tuple[list[Span], int]:
    """Ranges with about `size` texts each, of the texts that stages work on, and the number of texts in all.

    Args:
        session: an open session.
        size: texts in a range.
        limit: number of texts to use, the first in order of id (see `sample`); None: all.
    """
    chosen = sample(limit).subquery()
    count, last = session.execute(
        select(func.count(), select(chosen.c.id).order_by(chosen.c.id.desc()).limit(1).scalar_subquery()).select_from(
            chosen
        )
    ).one()
    if not count:
        return [], 0
    end = _SPACE if limit is None else last.int + 1
    return cut(max(1, round(count / size)), end), count


def texts_in(span: Span) -> Select[uuid.UUID]:
    """Ids of the texts in a span, in order: in scope, not duplicates."""
    return span.of(sample(None))


def _id(number: int) -> uuid.UUID | None:
    return None if number in (0, _SPACE) else uuid.UUID(int=number)
