"""The frozen human test set: it grows by versions, and never loses a row.

Figures of two models can be compared only if both were measured on the same rows. So texts that people or data sets
judged, and whose split is test, wait until there are enough of them; then all of them join with the next version, and
stay. A version freezes the labels of its texts. If people correct a text afterwards, the next version has a new row for
it: the newest row up to a version counts in that version.
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

#: rows of one statement
_BATCH = 2_000


@dataclass(frozen=True, slots=True)
class Truth:
    """Labels of a text by people or data sets."""

    asserted: frozenset[str]
    denied: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.asserted or self.denied)


@dataclass(frozen=True, slots=True)
class FrozenTest:
    """A version of the test set."""

    version: int
    hash: str
    #: number of texts in it
    rows: int

    def to_dict(self) -> dict[str, Any]:
        """The version as plain values."""
        return asdict(self)


def newest(session: Session) -> FrozenTest | None:
    """The newest version; None if there is none."""
    t = store.TestSet
    row = session.execute(select(t.version, t.hash, t.rows).order_by(t.version.desc()).limit(1)).one_or_none()
    return FrozenTest(row[0], row[1], row[2]) if row is not None else None


def members(session: Session) -> frozenset[uuid.UUID]:
    """Texts of any version: nothing may be trained or chosen with them."""
    return frozenset(session.scalars(select(store.TestRow.text_id).distinct()))


def grow(
    session: Session,
    judged: Mapping[uuid.UUID, Truth],
    eligible: Set[uuid.UUID],
    *,
    increment: int,
    run_id: int | None = None,
) -> FrozenTest | None:
    """Make the next version if enough texts wait for it, and return the newest version; None if there is none.

    The first version takes all waiting texts, as there is no test set before it.

    Args:
        session: an open session; the version is stored in its transaction.
        judged: current labels by people or data sets, also of texts in the test set.
        eligible: ids of the texts whose split is test.
        increment: number of waiting texts at which a version is made.
        run_id: id of the training run.
    """
    locks.take(session, Lock.TEST_SET)
    now = newest(session)
    known = truths(session, now.version) if now is not None else {}
    waiting = {
        text_id: truth for text_id, truth in judged.items() if text_id in eligible and truth and text_id not in known
    }
    if not waiting or (now is not None and len(waiting) < increment):
        return now
    restated = {
        text_id: truth for text_id, truth in judged.items() if truth and text_id in known and truth != known[text_id]
    }
    version = now.version + 1 if now is not None else 1
    fresh = waiting | restated
    everything = known | fresh
    made = FrozenTest(version, _hash(everything), len(everything))
    session.execute(insert(store.TestSet).values(**made.to_dict(), run_id=run_id))
    rows = [
        {"text_id": text_id, "version": version, "asserted": sorted(truth.asserted), "denied": sorted(truth.denied)}
        for text_id, truth in sorted(fresh.items())
    ]
    for start in range(0, len(rows), _BATCH):
        session.execute(insert(store.TestRow), rows[start : start + _BATCH])
    return made


def truths(session: Session, version: int) -> dict[uuid.UUID, Truth]:
    """Labels of each text in a version, by text id."""
    r = store.TestRow
    # A row of a later version replaces a row of an earlier one.
    rows = session.execute(select(r.text_id, r.asserted, r.denied).where(r.version <= version).order_by(r.version))
    return {text_id: Truth(frozenset(asserted), frozenset(denied)) for text_id, asserted, denied in rows}


def rows_of(session: Session, version: int) -> list[LabelledText]:
    """Texts of a version, masked, with their frozen labels and split `test`, in order of id; without erased ones."""
    t, seen, s = store.Text, store.TextSource, store.Source
    frozen = truths(session, version)
    members = select(store.TestRow.text_id).where(store.TestRow.version <= version)
    sightings = session.execute(
        select(seen.text_id, s.name).join(s, s.id == seen.source_id).where(seen.text_id.in_(members))
    )
    sources: dict[uuid.UUID, set[str]] = {}
    for text_id, name in sightings:
        sources.setdefault(text_id, set()).add(name)
    erased = select(store.ErasedText.text_id)
    texts = session.execute(
        select(t.id, t.masked, t.language).where(t.id.in_(members), t.id.not_in(erased)).order_by(t.id)
    )
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
    test_set = newest(session)
    if test_set is None:
        raise InputError(
            "there is no test set yet: `saring train` makes one when people or data sets have judged 60 texts; "
            "or give labelled files with --on"
        )
    return test_set


def _hash(members: Mapping[uuid.UUID, Truth]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for text_id, truth in sorted(members.items()):
        labels = (*(f"+{label}" for label in sorted(truth.asserted)), *(f"-{label}" for label in sorted(truth.denied)))
        digest.update(text_id.bytes + "\0".join(labels).encode() + b"\n")
    return digest.hexdigest()
