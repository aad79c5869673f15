"""The frozen human test set: it grows by whole, versioned increments, and never loses a row.

Numbers of two models can be compared only if both were measured on the same rows. So a text that people or data sets
judged, and whose split is test, waits until there are enough of them; then all become members with the next version,
and stay. What a version says of a text is frozen with it. If people correct a member afterwards, the next version
restates it: the newest row up to a version is the one that counts in that version.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import InputError
from pipeline.store import locks
from pipeline.store.locks import Lock
from pipeline.texts.labelled import LabelledText

#: rows a statement
_BATCH = 2_000


@dataclass(frozen=True, slots=True)
class Truth:
    """What people or data sets say of a text."""

    asserted: frozenset[str]
    denied: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.asserted or self.denied)


@dataclass(frozen=True, slots=True)
class FrozenTest:
    """A version of the test set."""

    version: int
    hash: str
    #: texts in it
    rows: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def newest(session: Session) -> FrozenTest | None:
    """The newest version; None while there is none."""
    t = store.TestSet
    row = session.execute(select(t.version, t.hash, t.rows).order_by(t.version.desc()).limit(1)).one_or_none()
    return FrozenTest(row[0], row[1], row[2]) if row is not None else None


def members(session: Session) -> frozenset[uuid.UUID]:
    """Texts that are in any version: nothing may learn from them, or be chosen by them."""
    return frozenset(session.scalars(select(store.TestRow.text_id).distinct()))


def grow(
    session: Session,
    judged: Mapping[uuid.UUID, Truth],
    eligible: Set[uuid.UUID],
    *,
    increment: int,
    run_id: int | None = None,
) -> FrozenTest | None:
    """Make the next version if enough texts wait for it; the version that is then the newest, None if there is none.

    The first version takes whatever there is: until then nothing is held back for testing.

    Args:
        session: an open session; the version is stored with whatever else its transaction holds.
        judged: what people or data sets say now, of members too.
        eligible: those whose split is test.
        increment: how many that are no members yet make a version.
        run_id: the training that asks.
    """
    locks.take(session, Lock.TEST_SET)
    now = newest(session)
    known = truths(session, now.version) if now is not None else {}
    waiting = {one: truth for one, truth in judged.items() if one in eligible and truth and one not in known}
    if not waiting or (now is not None and len(waiting) < increment):
        return now
    restated = {one: truth for one, truth in judged.items() if truth and one in known and truth != known[one]}
    version = now.version + 1 if now is not None else 1
    fresh = waiting | restated
    everything = known | fresh
    made = FrozenTest(version, _hash(everything), len(everything))
    session.execute(insert(store.TestSet).values(**made.to_dict(), run_id=run_id))
    rows = [
        {"text_id": one, "version": version, "asserted": sorted(truth.asserted), "denied": sorted(truth.denied)}
        for one, truth in sorted(fresh.items())
    ]
    for start in range(0, len(rows), _BATCH):
        session.execute(insert(store.TestRow), rows[start : start + _BATCH])
    return made


def truths(session: Session, version: int) -> dict[uuid.UUID, Truth]:
    """Each member of a version with what the version says of it."""
    r = store.TestRow
    # a later version's row replaces an earlier one's
    rows = session.execute(select(r.text_id, r.asserted, r.denied).where(r.version <= version).order_by(r.version))
    return {one: Truth(frozenset(asserted), frozenset(denied)) for one, asserted, denied in rows}


def rows_of(session: Session, version: int) -> list[LabelledText]:
    """A version's texts, masked, with their frozen truth and split `test`, in order of id."""
    t, seen, s = store.Text, store.TextSource, store.Source
    frozen = truths(session, version)
    members = select(store.TestRow.text_id).where(store.TestRow.version <= version)
    sightings = session.execute(
        select(seen.text_id, s.name).join(s, s.id == seen.source_id).where(seen.text_id.in_(members))
    )
    sources: dict[uuid.UUID, set[str]] = {}
    for text_id, name in sightings:
        sources.setdefault(text_id, set()).add(name)
    texts = session.execute(select(t.id, t.masked, t.language).where(t.id.in_(members)).order_by(t.id))
    return [
        LabelledText(
            masked,
            id=str(text_id),
            labels=frozen[text_id].asserted,
            not_labels=frozen[text_id].denied,
            source=",".join(sorted(sources.get(text_id, ()))),
            split="test",
            language=language,
        )
        for text_id, masked, language in texts
    ]


def require_newest(session: Session) -> FrozenTest:
    """The newest version.

    Raises:
        InputError: there is none yet.
    """
    found = newest(session)
    if found is None:
        raise InputError(
            "there is no test set yet: `saring train` makes one once people or data sets have judged 60 texts; "
            "or name labelled files after --on"
        )
    return found


def _hash(members: Mapping[uuid.UUID, Truth]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for one, truth in sorted(members.items()):
        said = (*(f"+{label}" for label in sorted(truth.asserted)), *(f"-{label}" for label in sorted(truth.denied)))
        digest.update(one.bytes + "\0".join(said).encode() + b"\n")
    return digest.hexdigest()
