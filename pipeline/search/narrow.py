"""Filters of a search in SQL: as conditions on a text, and as short lists of the texts that meet one.

A condition on a text costs some microseconds, so it is asked of a few thousand texts at most. A filter that few texts
of the store meet is better read first, as a list of ids.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from pipeline.judgement import RaterKind, Tier
from pipeline.search.query import Query, Whereabouts

#: ids in a list of the texts that meet a filter; a longer list is not used
MOST_LISTED = 3_000
#: expected rows of a label from which its list is not even begun
_TOO_MANY = 100_000

_QUEUED = "EXISTS (SELECT FROM queue_item q WHERE q.text_id = t.id AND q.state = 'queued')"
_IN_PROJECT = """EXISTS (
    SELECT FROM task k JOIN project p ON p.id = k.project_id WHERE k.text_id = t.id AND p.state = 'open'{open}
)"""
_SENT = _IN_PROJECT.format(open=" AND k.state IN ('pushing', 'open')")
_JUDGED = "EXISTS (SELECT FROM current_judgement c WHERE c.text_id = t.id AND c.kind = 'human')"
_REFUSED = "EXISTS (SELECT FROM queue_item q WHERE q.text_id = t.id AND q.state = 'refused')"
_WHEREABOUTS = {
    Whereabouts.QUEUED: _QUEUED,
    Whereabouts.SENT: _SENT,
    Whereabouts.JUDGED: _JUDGED,
    # What a build of the queue may draw, and does not wait yet.
    Whereabouts.FREE: f"t.duplicate_of IS NULL AND NOT {_QUEUED} AND NOT {_IN_PROJECT.format(open='')}"
    f" AND NOT {_JUDGED} AND NOT {_REFUSED}",
}
#: kinds of raters of which one has judged a text of that tier; None: any
_NEEDED: Mapping[Tier, tuple[RaterKind, ...] | None] = {
    Tier.GOLD: (RaterKind.HUMAN,),
    Tier.CONTESTED: (RaterKind.HUMAN, RaterKind.EXTERNAL),
    Tier.SILVER: None,
    Tier.PSEUDO: (RaterKind.PSEUDO, RaterKind.RULE),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on the table `text t`, with its parameters. A decision on labels is looked at later."""

    sql: str
    parameters: Mapping[str, Any]


def condition(query: Query) -> Condition:
    """Conditions that a search sets for a text, as far as SQL can tell: more may be found, and not less."""
    parts: list[str] = ["t.in_scope"]
    values: dict[str, Any] = {}
    if query.language is not None:
        parts.append("t.language = :language")
        values["language"] = query.language
    if query.source is not None:
        parts.append(
            "EXISTS (SELECT FROM text_source o JOIN source s ON s.id = o.source_id"
            " WHERE o.text_id = t.id AND s.name = :source)"
        )
        values["source"] = query.source
    if query.label is not None and query.tier not in (Tier.UNKNOWN, Tier.CONTESTED):
        parts.append("EXISTS (SELECT FROM judgement j WHERE j.text_id = t.id AND :label = ANY(j.asserted))")
        values["label"] = query.label
    kinds = _NEEDED.get(query.tier) if query.tier is not None else None
    if kinds is not None:
        parts.append(
            "EXISTS (SELECT FROM judgement j JOIN rater r ON r.id = j.rater_id"
            " WHERE j.text_id = t.id AND r.kind = ANY(:kinds))"
        )
        values["kinds"] = list(kinds)
    if query.whereabouts is not None:
        parts.append(_WHEREABOUTS[query.whereabouts])
    return Condition(" AND ".join(parts), values)


def short_list(session: Session, query: Query) -> Sequence[uuid.UUID] | None:
    """The ids of all texts that meet one of the filters, where they are few; None: no filter is that narrow."""
    for sql, values in _lists(session, query):
        ids = session.scalars(text(f"{sql} LIMIT {MOST_LISTED + 1}"), values).all()
        if len(ids) <= MOST_LISTED:
            return list(dict.fromkeys(ids))
    return None


def some(session: Session, query: Query, most: int) -> Sequence[uuid.UUID] | None:
    """The ids of some texts that meet one of the filters, at most `most`; None: no filter can be listed."""
    for sql, values in _lists(session, query, even_long=True):
        return list(dict.fromkeys(session.scalars(text(f"{sql} LIMIT {most}"), values)))
    return None


def _lists(session: Session, query: Query, *, even_long: bool = False) -> list[tuple[str, dict[str, Any]]]:
    """Queries of the texts that meet a filter, the likely shortest first."""
    lists: list[tuple[str, dict[str, Any]]] = []
    if query.whereabouts is Whereabouts.QUEUED:
        lists.append(("SELECT text_id FROM queue_item WHERE state = 'queued'", {}))
    if query.whereabouts is Whereabouts.SENT:
        lists.append(
            (
                "SELECT k.text_id FROM task k JOIN project p ON p.id = k.project_id"
                " WHERE p.state = 'open' AND k.state IN ('pushing', 'open')",
                {},
            )
        )
    kinds = _NEEDED.get(query.tier) if query.tier is not None else None
    if query.whereabouts is Whereabouts.JUDGED or query.tier is Tier.GOLD:
        kinds = (RaterKind.HUMAN,)
    if kinds is not None:
        lists.append(
            (
                "SELECT j.text_id FROM judgement j WHERE j.rater_id = ANY("
                "SELECT id FROM rater WHERE kind = ANY(:kinds))",
                {"kinds": list(kinds)},
            )
        )
    if query.source is not None:
        source = session.execute(
            text("SELECT id FROM source WHERE name = :source"), {"source": query.source}
        ).scalar_one_or_none()
        lists.append(("SELECT text_id FROM text_source WHERE source_id = :id", {"id": source or 0}))
    if query.label is not None and query.tier not in (Tier.UNKNOWN, Tier.CONTESTED):
        asserted = ("SELECT text_id FROM judgement WHERE asserted @> ARRAY[:label]", {"label": query.label})
        if even_long or _expected(session, *asserted) <= _TOO_MANY:
            lists.append(asserted)
    return lists


def _expected(session: Session, sql: str, values: Mapping[str, Any]) -> float:
    """The number of rows that PostgreSQL expects."""
    [(plan,)] = session.execute(text(f"EXPLAIN (FORMAT JSON) {sql}"), dict(values))
    return float(plan[0]["Plan"]["Plan Rows"])
