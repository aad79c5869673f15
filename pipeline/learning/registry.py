"""Which models there are, and which one serves: candidate, champion, retired, rejected.

One champion a purpose, held by the database. Every change of state says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import ModelError
from pipeline.models.artefact import Manifest
from pipeline.store import locks
from pipeline.store.locks import Lock
from pipeline.store.tables.core import ModelState


@dataclass(frozen=True, slots=True)
class Promotion:
    """A change of champion."""

    champion: str
    #: who was champion before, if anyone
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
    """Make a trained model known as a candidate; one that is known already keeps its state.

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
            # trained again in the same way: another file with the same content, measured on what is known now
            set_={"path": str(path), "artefact_hash": manifest.artefact_hash, "metrics": manifest.metrics},
        )
    )


def take_turn(session: Session) -> None:
    """Wait for whoever else changes a champion, and have others wait until this transaction ends."""
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
    take_turn(session)
    model = session.get(store.Model, version, populate_existing=True)
    if model is None:
        raise ModelError(f"no model {version!r} is registered; see `saring models list`")
    before = champion(session, model.purpose)
    if before is not None and before.version == version:
        return Promotion(version, None, before.reason or reason)
    if before is not None:
        before.state, before.reason = ModelState.RETIRED, f"{_now()}: replaced by {version} ({reason})"
        # the database allows one champion at any moment, so the old one steps down first
        session.flush()
    model.state, model.reason = ModelState.CHAMPION, f"{_now()}: {reason}"
    session.flush()
    return Promotion(version, before.version if before is not None else None, reason)


def reject(session: Session, version: str, *, reason: str) -> None:
    """Write down that a model is not to serve, and why. A promotion by hand may still bring it in.

    Raises:
        ModelError: no such model is registered, or it is the champion.
    """
    take_turn(session)
    model = session.get(store.Model, version, populate_existing=True)
    if model is None:
        raise ModelError(f"no model {version!r} is registered; see `saring models list`")
    if model.state is ModelState.CHAMPION:
        raise ModelError(f"{version} is the champion: bring back the one before with `saring models rollback`")
    model.state, model.reason = ModelState.REJECTED, f"{_now()}: {reason}"
    session.flush()


def rollback(session: Session, purpose: str, *, reason: str) -> Promotion:
    """Bring back the champion before the present one, which is rejected: a second rollback goes one further back.

    Raises:
        ModelError: there is no champion, or none before it.
    """
    take_turn(session)
    current = champion(session, purpose)
    if current is None:
        raise ModelError(f"{purpose!r} has no champion to roll back; see `saring models list`")
    m = store.Model
    replaced = m.reason.contains(f": replaced by {current.version} (", autoescape=True)
    # a champion that came back may have replaced several; reasons begin with when, so the last one comes first
    earlier = session.scalars(
        select(m).where(m.purpose == purpose, m.state == ModelState.RETIRED, replaced).order_by(m.reason.desc())
    ).first()
    if earlier is None:
        raise ModelError(f"{current.version} is the first champion of {purpose!r}: there is none to go back to")
    done = promote(session, earlier.version, reason=reason)
    current.state, current.reason = ModelState.REJECTED, f"{_now()}: rolled back to {earlier.version} ({reason})"
    session.flush()
    return done


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
