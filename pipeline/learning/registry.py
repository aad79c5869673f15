"""Registry of models and their states: candidate, champion, retired, rejected.

Each purpose has one champion, which the database guarantees. Every change of state has a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import ModelError
from pipeline.store import locks
from pipeline.store.locks import Lock
from pipeline.store.tables.core import ModelState

if TYPE_CHECKING:
    from pipeline.models.artefact import Manifest
from pipeline.models.purposes import shown_purpose


@dataclass(frozen=True, slots=True)
class Promotion:
    """A change of champion."""

    champion: str
    #: version of the champion before, if any
    retired: str | None
    reason: str


def register(
    session: Session,
    manifest: Manifest,
    path: Path,
    *,
    snapshot_id: int | None = None,
    run_id: int | None = None,
) -> None:
    """Register a trained model as a candidate; a model that is registered already keeps its state.

    Its parent is the champion of its purpose at this moment.
    """
    current = champion(session, manifest.purpose)
    session.execute(
        insert(store.Model)
        .values(
            version=manifest.version,
            purpose=manifest.purpose,
            backend=manifest.backend,
            state=ModelState.CANDIDATE,
            labels=[label.key for label in manifest.labels],
            thresholds={label.key: label.threshold for label in manifest.labels},
            metrics=manifest.metrics,
            artefact_hash=manifest.artefact_hash,
            path=str(path),
            snapshot_id=snapshot_id,
            parent=current.version if current is not None and current.version != manifest.version else None,
            taxonomy_version=manifest.taxonomy_version,
            run_id=run_id,
        )
        .on_conflict_do_update(
            index_elements=["version"],
            # The same training again: files with the same content, measured on the texts of today.
            set_={"path": str(path), "artefact_hash": manifest.artefact_hash, "metrics": manifest.metrics},
        )
    )


def lock_registry(session: Session) -> None:
    """Lock the registry until this transaction ends, so that changes of a champion come one after the other."""
    locks.take(session, Lock.REGISTRY)


def champion(session: Session, purpose: str) -> store.Model | None:
    """The model that serves a purpose, if any."""
    m = store.Model
    return session.scalars(select(m).where(m.purpose == purpose, m.state == ModelState.CHAMPION)).one_or_none()


def list_models(session: Session, purpose: str | None = None) -> Sequence[store.Model]:
    """Registered models, newest first."""
    query = select(store.Model).order_by(store.Model.created_at.desc(), store.Model.version)
    return session.scalars(query if purpose is None else query.where(store.Model.purpose == purpose)).all()


def promote(session: Session, version: str, *, reason: str) -> Promotion:
    """Make a registered model the champion of its purpose, and retire the one before.

    Raises:
        ModelError: no such model is registered.
    """
    lock_registry(session)
    model = session.get(store.Model, version, populate_existing=True)
    if model is None:
        raise ModelError(f"no model {version!r} is registered; see `saring models list`")
    before = champion(session, model.purpose)
    if before is not None and before.version == version:
        return Promotion(version, None, before.reason or reason)
    if before is not None:
        before.state, before.reason = ModelState.RETIRED, f"{_now()}: replaced by {version} ({reason})"
        # The database allows one champion at any moment, so the old one is retired first.
        session.flush()
    model.state, model.reason = ModelState.CHAMPION, f"{_now()}: {reason}"
    session.flush()
    return Promotion(version, before.version if before is not None else None, reason)


def reject(session: Session, version: str, *, reason: str) -> None:
    """Reject a model, with a reason. It can still be promoted by hand.

    Raises:
        ModelError: no such model is registered, or it is the champion.
    """
    lock_registry(session)
    model = session.get(store.Model, version, populate_existing=True)
    if model is None:
        raise ModelError(f"no model {version!r} is registered; see `saring models list`")
    if model.state is ModelState.CHAMPION:
        raise ModelError(f"{version} is the champion: restore the one before with `saring models rollback`")
    model.state, model.reason = ModelState.REJECTED, f"{_now()}: {reason}"
    session.flush()


def rollback(session: Session, purpose: str, *, reason: str) -> Promotion:
    """Restore the champion before the current one, which is rejected: a second rollback goes one step further back.

    Raises:
        ModelError: there is no champion, or none before it.
    """
    lock_registry(session)
    current = champion(session, purpose)
    if current is None:
        raise ModelError(f"{shown_purpose(purpose)!r} has no champion to roll back; see `saring models list`")
    m = store.Model
    replaced = m.reason.contains(f": replaced by {current.version} (", autoescape=True)
    # A restored champion may have replaced several models; reasons begin with their time, so the last one comes first.
    earlier = session.scalars(
        select(m).where(m.purpose == purpose, m.state == ModelState.RETIRED, replaced).order_by(m.reason.desc())
    ).first()
    if earlier is None:
        raise ModelError(
            f"{current.version} is the first champion of {shown_purpose(purpose)!r}: there is no earlier one"
        )
    promotion = promote(session, earlier.version, reason=reason)
    current.state, current.reason = ModelState.REJECTED, f"{_now()}: rolled back to {earlier.version} ({reason})"
    session.flush()
    return promotion


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
