"""A snapshot: one frozen training set, drawn from the ledger by a stated policy and written as a Parquet file."""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.atomic import new_file
from pipeline.errors import NotEnoughLabels
from pipeline.judgement import Tier
from pipeline.ledger import test_set as testset
from pipeline.ledger.consensus.saved import current_consensus
from pipeline.ledger.decisions import DecidedText, decided_texts
from pipeline.ledger.held_out import SHARE, kept_split, truth_of
from pipeline.ledger.resolve import text_tier
from pipeline.ledger.test_set import FrozenTest
from pipeline.taxonomy import Taxonomy
from pipeline.texts.labelled import LabelledText, Split

#: with fewer texts that people judged than this, they can't be both dev and test
_LEAST_TRUSTED = 60


@dataclass(frozen=True, slots=True)
class SnapshotPolicy:
    """Which texts go in, and in which split.

    What machines decided is for training only. A text that people or a data set judged keeps the split that its source
    gave it, or is given one by a hash of its id, so that it stays there for ever; in dev and test it counts only for
    the labels that they decided. What is test is the frozen test set (pipeline.ledger.test_set): a text of that split
    that is no member yet waits, and is in no split. The bootstrap rater stands in for a label only until people or
    data sets have asserted it on `enough` texts: after that its guesses do more harm than good
    (docs/decisions/0004-linear-classifier.md).
    """

    #: share of the texts without a split, of those that people judged, that go to each of dev and test
    share: float = SHARE
    #: texts that people or data sets assert a label on, from which on it needs no stand-in
    enough: int = 50
    #: texts that wait for the test set, from which on it grows by them all
    increment: int = 20
    #: keep to the first so many texts in scope
    limit: int | None = None
    #: sources to leave out
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Frozen:
    """A snapshot that was taken."""

    id: int
    hash: str
    path: Path
    rows: Sequence[LabelledText]
    counts: Mapping[str, Any]
    #: what the rows of split test are; None where splits are drawn at training
    test_set: FrozenTest | None = None


def take_snapshot(
    session: Session,
    taxonomy: Taxonomy,
    policy: SnapshotPolicy,
    folder: Path,
    *,
    run_id: int | None = None,
) -> Frozen:
    """Freeze what the ledger says now. The same ledger and policy give the same snapshot, stored once.

    The test set grows first, if enough texts wait for it. Its members are in every snapshot as their version says them,
    whatever has become of their judgements since, and whatever sources are left out.

    Raises:
        NotEnoughLabels: nothing is decided of any text.
    """
    decided = [
        one
        for one in decided_texts(session, taxonomy, limit=policy.limit)
        if not set(one.sources) & set(policy.without)
    ]
    trusted = sum(bool(one.trusted) for one in decided)
    asserted = Counter(key for one in decided for key in one.trusted if one.decisions[key].value)
    taught = frozenset(key for key, count in asserted.items() if count >= policy.enough)
    test_set = testset.newest(session)
    # once there is a test set, splits are never drawn again
    split_by_trust = trusted >= _LEAST_TRUSTED or test_set is not None
    if split_by_trust:
        judged = {one.id: truth_of(one) for one in decided if one.trusted}
        eligible = {one.id for one in decided if kept_split(one.id, one.split, policy.share) == "test"}
        test_set = testset.grow(session, judged, eligible, increment=policy.increment, run_id=run_id)
    members = testset.rows_of(session, test_set.version) if test_set is not None else []
    # what reads like a member once masked would be merged with it at training
    known = {row.id for row in members} | {row.text for row in members}
    others = [
        row
        for one in decided
        if str(one.id) not in known
        and one.masked not in known
        and (row := _row(one, policy, taught, split_by_trust)) is not None
    ]
    waiting = sum(row.split == "test" for row in others)
    # ids as text are in the order of their bytes
    rows = sorted([*members, *(row for row in others if row.split != "test")], key=lambda row: row.id)
    if not rows:
        raise NotEnoughLabels("nothing is decided of any text: run `saring import` or `saring judge` first")
    table = _table(rows)
    digest = _hash(rows)
    path = folder / f"{digest}.parquet"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with new_file(path) as building:
            pq.write_table(table, building, compression="zstd")
    in_force = current_consensus(session)
    counts = {
        "texts": len(rows),
        "splits": dict(Counter(row.split or "drawn at training" for row in rows)),
        "tiers": dict(Counter(str(text_tier(one.decisions)) for one in decided)),
        "judged_by_people_or_data_sets": trusted,
        "contested": sum(text_tier(one.decisions) is Tier.CONTESTED for one in decided),
        "test_set": test_set.to_dict() if test_set is not None else None,
        "waiting_for_the_test_set": waiting,
        "consensus": in_force.version if in_force is not None else None,
    }
    s = store.Snapshot
    session.execute(
        insert(s)
        .values(hash=digest, policy=asdict(policy), counts=counts, path=str(path), run_id=run_id)
        .on_conflict_do_nothing()
    )
    snapshot_id = session.execute(select(s.id).where(s.hash == digest)).scalar_one()
    return Frozen(snapshot_id, digest, path, rows, counts, test_set)


def learnt_from(session: Session, version: str) -> set[uuid.UUID] | None:
    """The texts that a registered model was fitted on; None if that is not known.

    Those of dev are not among them: they gave its calibration two numbers a label, which is no learning by heart.
    """
    m, s = store.Model, store.Snapshot
    path = session.scalars(select(s.path).join(m, m.snapshot_id == s.id).where(m.version == version)).one_or_none()
    if path is None or not Path(path).is_file():
        return None
    rows = pq.read_table(path, columns=["id", "split"]).to_pydict()
    return {
        uuid.UUID(one)
        for one, split in zip(rows["id"], rows["split"], strict=True)
        # without a split it may have been
        if split in ("train", None)
    }


def _row(one: DecidedText, policy: SnapshotPolicy, taught: frozenset[str], split_by_trust: bool) -> LabelledText | None:
    split: Split | None = "train"
    if one.trusted and split_by_trust:
        split = kept_split(one.id, one.split, policy.share)
    elif not split_by_trust:
        # too little that people judged to hold any of it back: every text may be drawn
        split = None
    counted = {
        key: decision.value
        for key, decision in one.decisions.items()
        if decision.value is not None
        and (split in (None, "train") or key in one.trusted)
        and not (key in taught and key in one.stand_in)
    }
    if not counted:
        return None
    return LabelledText(
        one.masked,
        id=str(one.id),
        labels=frozenset(key for key, value in counted.items() if value),
        not_labels=frozenset(key for key, value in counted.items() if not value),
        source=",".join(one.sources),
        split=split,
        language=one.language,
    )


def _table(rows: Sequence[LabelledText]) -> pa.Table:
    return pa.table(
        {
            "id": [row.id for row in rows],
            "text": [row.text for row in rows],
            "labels": pa.array([sorted(row.labels) for row in rows], pa.list_(pa.string())),
            "not_labels": pa.array([sorted(row.not_labels) for row in rows], pa.list_(pa.string())),
            "source": [row.source for row in rows],
            "split": pa.array([row.split for row in rows], pa.string()),
            "lang": pa.array([row.language for row in rows], pa.string()),
        }
    )


def _hash(rows: Sequence[LabelledText]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for row in rows:
        digest.update(row.to_json() + b"\n")
    return digest.hexdigest()
