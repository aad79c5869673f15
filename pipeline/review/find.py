"""Find what reviewers should settle: all of it by a stage, and what changed lately by a short look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.ledger.book import judgements_by_text
from pipeline.ledger.consensus.saved import current_consensus
from pipeline.ledger.decisions import TRUSTED
from pipeline.progress import Progress, silent
from pipeline.review.disputes import Best, Found
from pipeline.review.leases import forget_ended
from pipeline.review.state import (
    FROM_VOTES,
    in_question,
    read_state,
    refresh_text,
    state_of,
    undecided_counts,
    write_found,
)
from pipeline.review.suspects import GivenLabels, Suspects, find_suspects
from pipeline.store import locks
from pipeline.store.locks import lock_key
from pipeline.store.session import open_session
from pipeline.store.tables.review import DisputeKind
from pipeline.taxonomy import Taxonomy

STAGE = "review"
_CURSOR = "disputes"
_REPORTED, _BATCH = 2_000, 2_000
#: judgements that one look at the newest ones reads
_LOOK = 20_000


@dataclass(frozen=True, slots=True)
class FindConfig:
    """Limits of the search."""

    #: train models to find suspected labels; False: leave the suspects that are there
    suspects: bool = True
    #: texts that these models learn from
    learnt: int = 30_000
    #: texts of each kind that are kept, the most valuable first
    most: int = 10_000


@dataclass(frozen=True, slots=True)
class FindReport:
    """The result of a search."""

    #: judged texts that were read
    texts: int
    #: texts found, by kind
    found: Mapping[str, int]
    #: texts that wait for a reviewer now, by kind
    waiting: Mapping[str, int]
    #: suspected labels, by label
    suspected: Mapping[str, int] = field(default_factory=dict)
    #: labels that could not be looked at, because too few texts have a yes or a no
    left_out: tuple[str, ...] = ()
    #: texts that the models learnt from
    learnt: int = 0


def find_disputes(
    engine: Engine,
    taxonomy: Taxonomy,
    config: FindConfig | None = None,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> FindReport:
    """Read all judged texts in scope, and replace the disputes that wait by those found.

    Args:
        engine: the store.
        taxonomy: the labels.
        config: the limits; None: the defaults.
        seed: of the folds of the models.
        progress: called from time to time.
    """
    how = config or FindConfig()
    best = {kind: Best(how.most) for kind in FROM_VOTES}
    numbers: Counter[str] = Counter()
    given = GivenLabels(taxonomy.keys, taxonomy.excludes)
    suspects: Suspects | None = None
    texts = 0
    with open_session(engine) as session:
        began: datetime = session.execute(select(func.now())).scalar_one()
        newest = session.scalar(select(func.max(store.Judgement.id))) or 0
        consensus, undecided = current_consensus(session), undecided_counts(session)
        in_scope = select(store.Text.id).where(store.Text.in_scope)
        for texts, (text_id, judgements) in enumerate(judgements_by_text(session, texts=in_scope), start=1):
            state = state_of(text_id, judgements, taxonomy, consensus, undecided.pop(text_id, 0))
            for dispute in in_question(state, taxonomy):
                numbers[dispute.kind] += 1
                best[dispute.kind].add(dispute)
            if how.suspects:
                given.add(state)
            if texts % _REPORTED == 0:
                progress(texts, None, "looking for disputes")
        for text_id, people in undecided.items():
            # nobody judged it, but somebody looked at it
            for dispute in in_question(state_of(text_id, [], taxonomy, consensus, people), taxonomy):
                numbers[dispute.kind] += 1
                best[dispute.kind].add(dispute)
        if how.suspects:
            suspects = find_suspects(session, given, learnt=how.learnt, most=how.most, seed=seed, progress=progress)
            numbers[DisputeKind.SUSPECT] = suspects.texts
    kept = [dispute for kind in FROM_VOTES for dispute in best[kind].best()]
    kinds = list(FROM_VOTES)
    if suspects is not None:
        kept += suspects.found
        kinds.append(DisputeKind.SUSPECT)
    with open_session(engine) as session, session.begin():
        _replace(session, kinds, kept, began)
        _move_cursor(session, newest)
        forget_ended(session, began)
        waiting = count_waiting(session)
    return FindReport(
        texts,
        {str(kind): numbers[kind] for kind in kinds},
        waiting,
        suspects.by_label if suspects is not None else {},
        suspects.left_out if suspects is not None else (),
        suspects.learnt if suspects is not None else 0,
    )


def count_waiting(session: Session, *, most: int = 1_000_000) -> dict[str, int]:
    """The number of texts that wait for a reviewer, by kind; counting stops at `most` of each."""
    d = store.Dispute
    counts = {}
    for kind in DisputeKind:
        some = select(d.text_id).where(d.kind == kind, d.settled_by.is_(None)).limit(most).subquery()
        counts[str(kind)] = session.execute(select(func.count()).select_from(some)).scalar_one()
    return counts


def catch_up(session: Session, taxonomy: Taxonomy, *, most: int = _LOOK) -> int:
    """Bring up to date the disputes of texts that people or data sets judged since the last look; return their number.

    Args:
        session: an open transaction.
        taxonomy: the labels.
        most: judgements that are read; the next look goes on from there.
    """
    j, r, c = store.Judgement, store.Rater, store.ReviewCursor
    locks.take(session, lock_key(STAGE, _CURSOR))
    since = session.scalar(select(c.judgement_id).where(c.name == _CURSOR))
    if since is None:
        # no search yet: it will read everything
        return 0
    recent = select(j.id, j.text_id, j.rater_id).where(j.id > since).order_by(j.id).limit(most).subquery()
    newest = session.scalar(select(func.max(recent.c.id)))
    if newest is None:
        return 0
    texts = session.scalars(
        select(recent.c.text_id).join(r, r.id == recent.c.rater_id).where(r.kind.in_(TRUSTED)).distinct()
    ).all()
    consensus = current_consensus(session)
    for text_id in sorted(texts):
        locks.take(session, text_lock(text_id))
        refresh_text(session, taxonomy, read_state(session, taxonomy, text_id, consensus=consensus))
    _move_cursor(session, newest)
    return len(texts)


def text_lock(text_id: object) -> int:
    """The key of the lock of a text that is being settled."""
    return lock_key(STAGE, str(text_id))


def keep_suspects(session: Session, suspects: Sequence[Found], began: datetime) -> None:
    """Put suspected label errors into the review, in place of those that wait there.

    Args:
        session: an open transaction.
        suspects: the texts.
        began: when the search for them began: what was settled since stays settled.
    """
    _replace(session, [DisputeKind.SUSPECT], suspects, began)


def _replace(session: Session, kinds: Sequence[DisputeKind], disputes: Sequence[Found], began: datetime) -> None:
    d = store.Dispute
    session.execute(delete(d).where(d.kind.in_(kinds), d.settled_by.is_(None)))
    # What a reviewer settled after the search began was found before: it stays settled.
    rows = session.execute(select(d.text_id, d.kind).where(d.settled_at >= began))
    settled = {(text_id, kind) for text_id, kind in rows}
    fresh = [dispute for dispute in disputes if (dispute.text_id, dispute.kind) not in settled]
    for start in range(0, len(fresh), _BATCH):
        write_found(session, fresh[start : start + _BATCH])


def _move_cursor(session: Session, judgement_id: int) -> None:
    c = store.ReviewCursor
    fresh = insert(c).values(name=_CURSOR, judgement_id=judgement_id)
    session.execute(
        fresh.on_conflict_do_update(index_elements=[c.name], set_={"judgement_id": fresh.excluded.judgement_id})
    )
