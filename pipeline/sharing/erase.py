"""Erasing the words of texts on request: from the store, and from the snapshots that models were trained on.

What was judged stays in the ledger under the text's id, which is a hash. The text goes out of scope, and a file that
has it is read without it from then on.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import CursorResult, Executable, bindparam, delete, func, insert, literal, or_, select, text, update
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.atomic import new_file
from pipeline.store.tables.core import ModelState
from pipeline.texts.normalise import text_id
from pipeline.texts.removal import take_out_of_scope

STAGE = "erase"
#: events whose body has one of the texts somewhere
_EVENTS = text(
    "DELETE FROM event WHERE jsonb_path_exists(body, '$.** ? (@.type() == \"string\" && @ == $words[*])', :words)"
).bindparams(bindparam("words", type_=store.Event.body.type))


@dataclass(frozen=True, slots=True)
class ErasedWords:
    """Numbers of what was erased in the store."""

    #: texts that were not erased before
    texts: int
    #: judgements whose explanation was erased; they stay
    explanations: int
    #: comments of people, and reasons that they or applications gave
    comments: int
    #: replies and translations of language models
    replies: int


def near_duplicates(session: Session, ids: Collection[uuid.UUID]) -> list[uuid.UUID]:
    """The near-duplicates of texts, which have almost the same words, that are not among them and not erased.

    Args:
        session: an open session.
        ids: the texts.
    """
    t = store.Text
    roots = session.scalars(select(func.coalesce(t.duplicate_of, t.id)).where(t.id.in_(ids)).distinct()).all()
    erased = select(store.ErasedText.text_id)
    query = select(t.id).where(or_(t.duplicate_of.in_(roots), t.id.in_(roots)), t.id.not_in(ids), t.id.not_in(erased))
    return list(session.scalars(query.order_by(t.id)))


def not_erased(session: Session, ids: Collection[uuid.UUID]) -> list[uuid.UUID]:
    """Those of the texts that still have their words."""
    t = store.Text
    erased = select(store.ErasedText.text_id)
    return list(session.scalars(select(t.id).where(t.id.in_(ids), t.id.not_in(erased)).order_by(t.id)))


def masked_words(session: Session, ids: Collection[uuid.UUID]) -> list[str]:
    """The masked words of texts, as pages and reports quote them; those that were erased have none."""
    t = store.Text
    return [masked for masked in session.scalars(select(t.masked).where(t.id.in_(ids)).order_by(t.id)) if masked]


def erase_words(session: Session, ids: Collection[uuid.UUID], *, run_id: int) -> ErasedWords:
    """Erase the words of texts, and what quotes them, in the caller's transaction. Twice changes nothing.

    The text, its provenance, vectors, signature, sentiment and decisions of filters go, and so do translations, replies
    and explanations of language models, comments of people, and events. Labels and their raters stay. A stage that had
    read the words may write a vector or an explanation afterwards: the next call with the same texts erases it.

    Args:
        session: an open transaction.
        ids: the texts.
        run_id: the run that erases them.
    """

    def change(statement: Executable) -> int:
        result = session.execute(statement)
        return result.rowcount if isinstance(result, CursorResult) else 0

    t, reply = store.Text, store.LlmReply
    fresh = not_erased(session, ids)
    replies = 0
    if fresh:
        take_out_of_scope(session, fresh)
        words = [tuple(row) for row in session.execute(select(t.body, t.masked).where(t.id.in_(fresh)))]
        session.execute(insert(store.ErasedText), [{"text_id": key, "run_id": run_id} for key in fresh])
        change(update(t).where(t.id.in_(fresh)).values(body="", masked=""))
        change(_EVENTS.bindparams(words={"words": sorted({body for pair in words for body in pair})}))
        change(delete(store.Figure))
        # Language models and translators know a text by the hash of its masked words. The tokens and costs of replies
        # count for budgets, so the rows stay.
        hashes = [text_id(masked) for _, masked in words]
        replies += change(update(reply).where(reply.source_id.in_(hashes)).values(reply="", refusal=None))
        replies += change(delete(store.Translation).where(store.Translation.source_id.in_(hashes)))
    for table in (
        *(store.TextSource, store.MinhashBand, store.Vector, store.TextSentiment),
        *(store.FilterDecision, store.FilterScore, store.Review),
    ):
        change(delete(table).where(table.text_id.in_(ids)))
    change(delete(store.Dispute).where(store.Dispute.text_id.in_(ids), store.Dispute.settled_at.is_(None)))
    change(update(store.Prediction).where(store.Prediction.text_id.in_(ids)).values(why={}))
    j = store.Judgement
    explanations = change(update(j).where(j.text_id.in_(ids), j.explanation.is_not(None)).values(explanation=None))
    a, vote, report = store.Annotation, store.NormingVote, store.Report
    comments = change(update(a).where(a.text_id.in_(ids), a.comment.is_not(None)).values(comment=None))
    comments += change(update(vote).where(vote.text_id.in_(ids), vote.reason != literal("")).values(reason=""))
    comments += change(update(report).where(report.text_id.in_(ids), report.reason.is_not(None)).values(reason=None))
    return ErasedWords(len(fresh), explanations, comments, replies)


def erase_in_snapshots(session: Session, ids: Collection[uuid.UUID]) -> list[str]:
    """Empty the texts in the files of snapshots; the versions of models, not retired ones, that learnt from them.

    A row keeps its id, labels and split, since a model's figures are told by them. A file that is gone is passed over.

    Args:
        session: an open session.
        ids: the texts.
    """
    wanted = pa.array([str(key) for key in ids], pa.string())
    learnt: list[str] = []
    for snapshot_id, path in session.execute(select(store.Snapshot.id, store.Snapshot.path)).all():
        splits = _empty_rows(Path(path), wanted)
        # A text without a split may have been in train.
        if any(split in ("train", None) for split in splits):
            m = store.Model
            learnt += session.scalars(
                select(m.version).where(m.snapshot_id == snapshot_id, m.state.in_(_IN_USE)).order_by(m.version)
            )
    return learnt


_IN_USE = (ModelState.CHAMPION, ModelState.CANDIDATE)


def _empty_rows(path: Path, wanted: pa.Array) -> Sequence[str | None]:
    """The splits of the rows of these ids in a snapshot, whose texts are emptied."""
    if not path.is_file():
        return []
    rows = pq.read_table(path, columns=["id", "split"])
    erased = pc.is_in(rows["id"], value_set=wanted)
    splits: list[str | None] = rows.filter(erased)["split"].to_pylist()
    if splits:
        table = pq.read_table(path)
        emptied = pc.if_else(erased, "", table["text"])
        with new_file(path) as building:
            at = table.schema.get_field_index("text")
            pq.write_table(table.set_column(at, "text", emptied), building, compression="zstd")
    return splits
