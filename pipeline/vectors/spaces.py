"""Vector spaces: the one in use, the wanted one, and the change from one to the other.

The stages use the *active* space, which is recorded in the store. If the settings name another encoder, its space is
*wanted*: its vectors are computed beside those of the active space. It becomes active in a transaction that checks that
every text in scope has a vector there.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import Engine, exists, func, select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import EncoderError, RunConflict
from pipeline.runs.record import code_version, refuse_beside_workers
from pipeline.settings import Settings
from pipeline.store.locks import lock_key, try_take
from pipeline.store.session import open_session
from pipeline.store.tables.core import ModelState, RunState
from pipeline.store.texts import sample
from pipeline.vectors.encoders.make import space_name

if TYPE_CHECKING:
    from pipeline.vectors.encoders.protocol import Encoder

log = logging.getLogger(__name__)

#: name of a change of space in run records
SWITCH_STAGE = "switch-encoder"
#: longest wait of a change for transactions that add texts
_LOCK_TIMEOUT = "5s"
_LOCK_NOT_AVAILABLE = "55P03"
#: largest number of texts that are embedded while transactions that add texts wait: some seconds
_LAST = 64


@dataclass(frozen=True, slots=True)
class Space:
    """A vector space, with the number of its vectors."""

    name: str
    #: None: it has no vectors yet
    dimension: int | None
    #: number of texts (in scope, not duplicates) with a vector, and without
    vectors: int
    missing: int
    #: True: the stages use it; True: the settings name it
    active: bool
    wanted: bool


def active_space(session: Session) -> str | None:
    """The space that the stages use; None before the first text is embedded."""
    return session.scalars(select(store.Encoder.name).where(store.Encoder.active)).first()


def space_in_use(engine: Engine, settings: Settings) -> str:
    """The space that the stages use: the active one or, if there is none yet, the one that the settings name.

    Raises:
        UsageError: the settings name no known encoder.
    """
    with open_session(engine) as session:
        return active_space(session) or space_name(settings.encoder)


def spaces(session: Session, wanted: str) -> list[Space]:
    """All spaces and the wanted one, the active one first."""
    ids, v = sample(None).subquery(), store.Vector
    total = session.execute(select(func.count()).select_from(ids)).scalar_one()
    query = select(store.Encoder).order_by(store.Encoder.active.desc(), store.Encoder.created_at)
    listed = []
    for row in session.scalars(query).all():
        filled = session.execute(
            select(func.count()).select_from(ids.join(v, (v.text_id == ids.c.id) & (v.encoder == row.name)))
        ).scalar_one()
        listed.append(Space(row.name, row.dimension, filled, total - filled, row.active, row.name == wanted))
    if all(space.name != wanted for space in listed):
        listed.append(Space(wanted, None, 0, total, active=False, wanted=True))
    return listed


def switch(
    session: Session, wanted: str, encoder: Encoder | None = None, *, parked: Collection[uuid.UUID] = ()
) -> bool:
    """Activate a space if every text in scope has a vector there; True where it is active now.

    Where new texts arrive all the time, some have no vector yet: the last few are embedded here, while transactions
    that add texts wait. No text is added until the transaction ends, so every text in scope has a vector when the
    stages begin to use the space. The change is recorded as a run. It is not logged here: a run's log may be stored in
    another transaction, which would wait for this one.

    Args:
        session: an open transaction; the caller commits it soon.
        wanted: the name of a registered space.
        encoder: the encoder for the last few texts; None: no vector may be missing.
        parked: texts that the encoder has no vector for; they do not prevent the change.

    Raises:
        EncoderError: the space does not exist, or its encoder fails.
        sqlalchemy.exc.OperationalError: a transaction adds texts for longer than this waits.
    """
    # The list of spaces needs no vectors, so what computes with them is imported here.
    from pipeline.vectors.table import embed_chunk, lock_spaces

    lock_spaces(session)
    before = active_space(session)
    if before == wanted:
        return True
    most = 0 if encoder is None else _LAST
    if len(_without_vector(session, wanted, most + 1, parked)) > most:
        # This check needs no lock.
        return False
    session.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
    session.execute(text("LOCK TABLE text IN SHARE MODE"))
    last = _without_vector(session, wanted, most + 1, parked)
    if len(last) > most:
        return False
    if last and encoder is not None:
        embed_chunk(session, encoder, last)
    e = store.Encoder
    session.execute(update(e).where(e.active).values(active=False))
    activated = session.execute(update(e).where(e.name == wanted).values(active=True, activated_at=func.now()))
    if not getattr(activated, "rowcount", 0):
        raise EncoderError(f"{wanted} has no vectors yet: `saring embed` makes them")
    now = datetime.now(UTC)
    session.add(
        store.Run(
            stage=SWITCH_STAGE,
            slice="",
            state=RunState.DONE,
            params={"from": before, "to": wanted},
            counts={"texts": session.execute(select(func.count()).select_from(sample(None).subquery())).scalar_one()},
            code_version=code_version(),
            started_at=now,
            finished_at=now,
        )
    )
    return True


def try_switch(engine: Engine, wanted: str, encoder: Encoder | None = None) -> bool | None:
    """Call `switch` in a transaction of its own; None if other transactions were adding texts all the time."""
    try:
        with open_session(engine) as session, session.begin():
            before = active_space(session)
            is_active = switch(session, wanted, encoder)
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        return None
    if is_active and before != wanted:
        log.info("the vectors of %s are now in use, in place of those of %s", wanted, before)
    return is_active


def drop_space(session: Session, name: str, *, wanted: str) -> int:
    """Remove a space with its vectors, and return the number of vectors.

    Args:
        session: an open transaction; the caller commits.
        name: name of the space.
        wanted: name of the space of the settings.

    Raises:
        EncoderError: no space has that name, or it is the active or the wanted one.
        RunConflict: a run is computing its vectors.
    """
    from pipeline.vectors.table import lock_spaces, partition_of

    lock_spaces(session)
    row = session.get(store.Encoder, name)
    if row is None:
        raise EncoderError(f"there are no vectors of {name}: see `saring encoders list`")
    if row.active:
        raise EncoderError(
            f"the vectors of {name} are in use: set SARING_ENCODER to another encoder and run `saring embed` first"
        )
    if name == wanted:
        raise EncoderError(
            f"SARING_ENCODER names {name}, so its vectors cannot be removed: set it to another encoder first"
        )
    if not try_take(session, lock_key("embed", name)):
        raise RunConflict(f"a run is computing the vectors of {name}: see `saring runs list`")
    refuse_beside_workers(session, "embed", name)
    count = session.execute(select(func.count()).where(store.Vector.encoder == name)).scalar_one()
    # The name of the partition is a hash in hexadecimal, so it needs no quotes.
    session.execute(text(f"DROP TABLE IF EXISTS {partition_of(name)}"))
    session.delete(row)
    return count


def serving_models(session: Session) -> list[store.Model]:
    """Models that serve or may serve: champions and candidates."""
    m = store.Model
    return list(session.scalars(select(m).where(m.state.in_((ModelState.CHAMPION, ModelState.CANDIDATE)))))


def _without_vector(session: Session, name: str, most: int, parked: Collection[uuid.UUID]) -> list[uuid.UUID]:
    ids, v = sample(None).subquery(), store.Vector
    has_one = exists().where(v.encoder == name, v.text_id == ids.c.id)
    missing = session.scalars(select(ids.c.id).where(~has_one).order_by(ids.c.id).limit(most + len(parked)))
    return [text_id for text_id in missing if text_id not in parked][:most]
