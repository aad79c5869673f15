"""A snapshot: one frozen training set, drawn from the ledger by a stated policy and written as a Parquet file."""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.atomic import make_folder, new_file
from pipeline.errors import NotEnoughLabels
from pipeline.judgement import Tier
from pipeline.learning.sets.balance import Balance, balanced, left_out
from pipeline.ledger import test_set as testset
from pipeline.ledger.consensus.saved import current_consensus
from pipeline.ledger.copies import group_of, group_splits, told_apart
from pipeline.ledger.decisions import DecidedText, decided_texts
from pipeline.ledger.held_out import SHARE, kept_split, truth_of
from pipeline.ledger.resolve import text_tier
from pipeline.ledger.test_set import FrozenTest
from pipeline.measure.arrays import UNKNOWN, LabelMatrix
from pipeline.progress import Progress, silent
from pipeline.taxonomy import Taxonomy
from pipeline.texts.labelled import LabelledText, Split

#: least number of texts judged by people or data sets to make both dev and test
_LEAST_TRUSTED = 60
#: number of them from which dev may lack an answer of a label
_MANY_TRUSTED = 600
#: texts with a label, and texts without it, from which dev should have some of both
_LEAST_OF_EACH = 10
#: texts between two reports of progress
_REPORTED = 2_000


@dataclass(frozen=True, slots=True)
class SnapshotPolicy:
    """Rules for the texts of a snapshot and their splits.

    Decisions by machines are for training only. A text that people or a data set judged keeps the split of its source,
    or gets one by a hash of its id, so that it never moves; in dev and test it counts only for the labels that they
    decided. The test split is the frozen test set (pipeline.ledger.test_set): a text of that split that is no member
    yet waits, and is in no split. Labels from the bootstrap rater count only until people or data sets have asserted
    the label on `enough` texts: after that they do more harm than good (docs/decisions/0004-linear-classifier.md).
    """

    #: share of each of dev and test among the texts without a split that people judged
    share: float = SHARE
    #: number of texts with the label from people or data sets, from which the bootstrap rater no longer counts
    enough: int = 50
    #: number of waiting texts from which the test set grows by all of them
    increment: int = 20
    #: use only the first so many texts in scope
    limit: int | None = None
    #: sources to leave out
    without: tuple[str, ...] = ()
    #: of the training split; where splits are drawn at training, so is the balance
    balance: Balance = field(default_factory=Balance)


@dataclass(frozen=True, slots=True)
class Frozen:
    """A snapshot that was taken."""

    id: int
    hash: str
    path: Path
    rows: Sequence[LabelledText]
    counts: Mapping[str, Any]
    #: the test set of the rows of split test; None where splits are drawn at training
    test_set: FrozenTest | None = None


def take_snapshot(
    session: Session,
    taxonomy: Taxonomy,
    policy: SnapshotPolicy,
    folder: Path,
    *,
    run_id: int | None = None,
    progress: Progress = silent,
) -> Frozen:
    """Freeze the ledger as it is now. The same ledger and policy give the same snapshot, stored once.

    The test set grows first, if enough texts wait for it. Its members are in every snapshot with the labels of their
    version, even if their judgements changed since, or their sources are left out.

    Raises:
        NotEnoughLabels: nothing is decided of any text.
    """
    judged_texts: list[DecidedText] = []
    for count, text in enumerate(decided_texts(session, taxonomy, limit=policy.limit, copies=True)):
        if count % _REPORTED == 0:
            progress(count, None, "taking a snapshot of the judged texts")
        if not set(text.sources) & set(policy.without):
            judged_texts.append(text)
    decided = told_apart(session, judged_texts)
    named = group_splits(decided)
    decided = [replace(text, split=named.get(group_of(text))) for text in decided]
    trusted = sum(bool(text.trusted) for text in decided)
    asserted = Counter(key for text in decided for key in text.trusted if text.decisions[key].value)
    taught = frozenset(key for key, count in asserted.items() if count >= policy.enough)
    test_set = testset.newest(session)
    # Once there is a test set, splits are never drawn again.
    split_by_trust = test_set is not None or (
        trusted >= _LEAST_TRUSTED and (trusted >= _MANY_TRUSTED or _dev_has_all(decided, policy.share))
    )
    if split_by_trust:
        judged = {text.id: truth_of(text) for text in decided if text.trusted}
        eligible = {text.id for text in decided if kept_split(group_of(text), text.split, policy.share) == "test"}
        test_set = testset.grow(session, judged, eligible, increment=policy.increment, run_id=run_id)
    members = testset.rows_of(session, test_set.version) if test_set is not None else []
    # A text that equals a member after masking would be merged with it at training.
    known = {row.id for row in members} | {row.text for row in members}
    others = [
        row
        for text in decided
        if str(text.id) not in known
        and text.masked not in known
        and (row := _row(text, policy, taught, split_by_trust)) is not None
    ]
    others, told = _balanced(others, decided, taxonomy.keys, policy.balance)
    waiting = sum(row.split == "test" for row in others)
    # Ids as text have the order of their bytes.
    rows = sorted([*members, *(row for row in others if row.split != "test")], key=lambda row: row.id)
    if not rows:
        raise NotEnoughLabels("no text has a decided label: run `saring import` or `saring judge` first")
    table = _table(rows)
    digest = _hash(rows)
    path = folder / f"{digest}.parquet"
    if not path.is_file():
        make_folder(folder)
        with new_file(path) as building:
            pq.write_table(table, building, compression="zstd")
    in_force = current_consensus(session)
    counts = {
        "texts": len(rows),
        "splits": dict(Counter(row.split or "drawn at training" for row in rows)),
        "tiers": dict(Counter(str(text_tier(text.decisions)) for text in decided)),
        "judged_by_people_or_data_sets": trusted,
        "contested": sum(text_tier(text.decisions) is Tier.CONTESTED for text in decided),
        "test_set": test_set.to_dict() if test_set is not None else None,
        "waiting_for_the_test_set": waiting,
        "consensus": in_force.version if in_force is not None else None,
    } | told
    s = store.Snapshot
    session.execute(
        insert(s)
        .values(hash=digest, policy=_as_stored(policy), counts=counts, path=str(path), run_id=run_id)
        .on_conflict_do_nothing()
    )
    snapshot_id = session.execute(select(s.id).where(s.hash == digest)).scalar_one()
    return Frozen(snapshot_id, digest, path, rows, counts, test_set)


def learnt_from(session: Session, version: str) -> set[uuid.UUID] | None:
    """The texts that a registered model was fitted on; None if that is not known.

    Texts of dev are not among them: calibration takes two numbers a label from them, which memorises nothing.
    """
    m, s = store.Model, store.Snapshot
    path = session.scalars(select(s.path).join(m, m.snapshot_id == s.id).where(m.version == version)).one_or_none()
    if path is None or not Path(path).is_file():
        return None
    rows = pq.read_table(path, columns=["id", "split"]).to_pydict()
    return {
        uuid.UUID(text_id)
        for text_id, split in zip(rows["id"], rows["split"], strict=True)
        # A text without a split may have been in train.
        if split in ("train", None)
    }


def _dev_has_all(decided: Sequence[DecidedText], share: float) -> bool:
    """Tell if dev would have a yes and a no of each label that has enough of both, or would be drawn at training."""
    everywhere, in_dev = Counter[tuple[str, bool]](), Counter[tuple[str, bool]]()
    for text in decided:
        values = [(key, value) for key in text.trusted if (value := text.decisions[key].value) is not None]
        everywhere.update(values)
        if kept_split(group_of(text), text.split, share) == "dev":
            in_dev.update(values)
    usual = {key for key, _ in everywhere if min(everywhere[key, True], everywhere[key, False]) >= _LEAST_OF_EACH}
    return not in_dev or all(in_dev[key, value] for key in usual for value in (True, False))


def _row(
    text: DecidedText, policy: SnapshotPolicy, taught: frozenset[str], split_by_trust: bool
) -> LabelledText | None:
    split: Split | None = "train"
    if text.trusted and split_by_trust:
        split = kept_split(group_of(text), text.split, policy.share)
    elif not split_by_trust:
        # Too few texts are judged by people to hold any back: every text may be drawn.
        split = None
    counted = {
        key: decision.value
        for key, decision in text.decisions.items()
        if decision.value is not None
        and (split in (None, "train") or key in text.trusted)
        and not (key in taught and key in text.stand_in)
    }
    if not counted:
        return None
    return LabelledText(
        text.masked,
        id=str(text.id),
        labels=frozenset(key for key, value in counted.items() if value),
        not_labels=frozenset(key for key, value in counted.items() if not value),
        source=",".join(text.sources),
        split=split,
        language=text.language,
    )


def _balanced(
    rows: Sequence[LabelledText], decided: Sequence[DecidedText], keys: Sequence[str], balance: Balance
) -> tuple[list[LabelledText], dict[str, Any]]:
    """The rows with a balanced training split, and counts. What people or data sets decided stays before the rest."""
    train = [row for row in rows if row.split == "train"]
    if not balance or not train:
        return list(rows), {}
    trusted = {str(text.id): text.trusted for text in decided}
    truth = _truth(train, keys)
    preferred = np.array([[key in trusted[row.id] for key in keys] for row in train], dtype=np.bool_)
    kept = balanced(truth, [row.id.encode() for row in train], balance, preferred)
    left = [
        replace(
            row,
            labels=frozenset(key for key, value in zip(keys, answers, strict=True) if value == 1),
            not_labels=frozenset(key for key, value in zip(keys, answers, strict=True) if value == 0),
        )
        for row, answers in zip(train, kept, strict=True)
        if (answers != UNKNOWN).any()
    ]
    told = {"balance": left_out(truth, kept, keys).to_dict(balance)}
    return [*(row for row in rows if row.split != "train"), *left], told


def _truth(rows: Sequence[LabelledText], keys: Sequence[str]) -> LabelMatrix:
    return np.array(
        [[1 if key in row.labels else 0 if key in row.not_labels else UNKNOWN for key in keys] for row in rows],
        dtype=np.int8,
    )


def _as_stored(policy: SnapshotPolicy) -> dict[str, Any]:
    """The policy as it is stored; a balance that leaves nothing out is not named."""
    return {name: value for name, value in asdict(policy).items() if name != "balance" or policy.balance}


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
