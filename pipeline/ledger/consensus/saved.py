"""Consensuses in the store: read the one in force, and add the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.ledger.consensus.rule import Consensus
from pipeline.store import locks
from pipeline.store.locks import Lock


def current_consensus(session: Session) -> Consensus | None:
    """The consensus in force; None if none was fitted yet: machines must then agree."""
    row = newest(session)
    return Consensus.from_dict(row.content) if row is not None else None


def newest(session: Session) -> store.ConsensusRow | None:
    """The row of the consensus in force."""
    c = store.ConsensusRow
    return session.scalars(select(c).order_by(c.id.desc()).limit(1)).one_or_none()


def put_in_force(session: Session, consensus: Consensus, report: Mapping[str, Any], *, run_id: int) -> bool:
    """Put a consensus in force, in the caller's transaction; False if it is in force already, and nothing is added."""
    locks.take(session, Lock.CONSENSUS)
    before = newest(session)
    if before is not None and before.version == consensus.version:
        return False
    session.add(
        store.ConsensusRow(
            version=consensus.version,
            method=str(consensus.method),
            content=consensus.to_dict(),
            report=dict(report),
            run_id=run_id,
        )
    )
    session.flush()
    return True
