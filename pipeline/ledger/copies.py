"""Near-duplicates that people or data sets judged: which of them teach beside the text that they resemble."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.ledger.decisions import DecidedText
from pipeline.texts.near_duplicates import contrasts

_CHUNK = 2_000


def told_apart(session: Session, decided: Sequence[DecidedText]) -> list[DecidedText]:
    """Texts without the near-duplicates that say nothing new.

    A near-duplicate stays if people or data sets gave it other labels than the text that it resembles, or if it differs
    from it in a negation, a number or a name: such a pair is a lesson in itself. It goes where its source puts it in
    another split than that text's source, because a near-duplicate of a held-out text must not be learnt.

    Args:
        session: an open session.
        decided: texts, near-duplicates among them (`decided_texts` with ``copies``).
    """
    known = {text.id: text for text in decided}
    roots = {text.duplicate_of for text in decided if text.duplicate_of is not None}
    masked = _masked(session, [root for root in roots if root not in known])
    kept = []
    for text in decided:
        if text.duplicate_of is None:
            kept.append(text)
            continue
        root = known.get(text.duplicate_of)
        if root is not None and text.split != root.split and None not in (text.split, root.split):
            continue
        original = root.masked if root is not None else masked.get(text.duplicate_of, "")
        if root is None or _labels(text) != _labels(root) or contrasts(text.masked, original):
            kept.append(text)
    return kept


def group_of(text: DecidedText) -> uuid.UUID:
    """The id by which a text is put into a split: near-duplicates share one."""
    return text.duplicate_of or text.id


def group_splits(decided: Sequence[DecidedText]) -> dict[uuid.UUID, str]:
    """The split that sources give to each group of near-duplicates: the most protected one."""
    rank = {"train": 0, "dev": 1, "test": 2}
    splits: dict[uuid.UUID, str] = {}
    for text in decided:
        if text.split in rank and rank[text.split] >= rank.get(splits.get(group_of(text), ""), -1):
            splits[group_of(text)] = text.split
    return splits


def _labels(text: DecidedText) -> Mapping[str, bool | None]:
    return {key: text.decisions[key].value for key in text.trusted}


def _masked(session: Session, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, str]:
    t = store.Text
    texts: dict[uuid.UUID, str] = {}
    for start in range(0, len(ids), _CHUNK):
        some = ids[start : start + _CHUNK]
        texts.update(session.execute(select(t.id, t.masked).where(t.id.in_(some))).tuples().all())
    return texts
