"""Which space of vectors is in use, which is wanted, and the change from one to the other.

The stages work in the *active* space, as the store says. Where the settings name another encoder, that one's space is
*wanted*: its vectors are computed beside the active ones', and it becomes the active one in a transaction that finds
that no text in scope lacks a vector there.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

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
from pipeline.vectors.encoders.protocol import Encoder
from pipeline.vectors.table import embed_chunk, partition_of, take_turn

log = logging.getLogger(__name__)

#: as the record of runs calls a change of space
SWITCH_STAGE = "switch-encoder"
#: how long a change waits for those who add texts at that moment
_PATIENCE = "5s"
_LOCK_NOT_AVAILABLE = "55P03"
#: so many texts may be embedded while those who add texts wait: some seconds
_LAST = 64


@dataclass(frozen=True, slots=True)
class Space:
    """A space of vectors, and how far it is filled."""

    name: str
    #: None: nothing was embedded in it yet
    dimension: int | None
    #: of texts in scope, no duplicates, and of those that have none
    vectors: int
    missing: int
    #: the stages work in it; the settings name it
    active: bool
    wanted: bool


def active_space(session: Session) -> str | None:
    """The space that the stages work in; None before the first text is embedded."""
    return session.scalars(select(store.Encoder.name).where(store.Encoder.active)).first()


def space_in_use(engine: Engine, settings: Settings) -> str:
    """The space that the stages work in: the active one, or before there is any, the one that the settings name.

    Raises:
        UsageError: the settings name none.
    """
    with open_session(engine) as session:
        return active_space(session) or space_name(settings.encoder)


def spaces(session: Session, wanted: str) -> list[Space]:
    """Every space there is, and the wanted one: the active one first."""
    ids, v = sample(None).subquery(), store.Vector
    total = session.execute(select(func.count()).select_from(ids)).scalar_one()
    found = session.scalars(select(store.Encoder).order_by(store.Encoder.active.desc(), store.Encoder.created_at)).all()
    made = []
    for one in found:
        filled = session.execute(
            select(func.count()).select_from(ids.join(v, (v.text_id == ids.c.id) & (v.encoder == one.name)))
        ).scalar_one()
        made.append(Space(one.name, one.dimension, filled, total - filled, one.active, one.name == wanted))
    if all(one.name != wanted for one in made):
        made.append(Space(wanted, None, 0, total, active=False, wanted=True))
    return made


def switch(session: Session, wanted: str, encoder: Encoder | None = None) -> bool:
    """Make a space the active one, if every text in scope has a vector there; whether it is now.

    Where texts come all the time, some always lack one: the last few are embedded here, while their writers wait.
    Nobody adds texts until the transaction ends, so none is in scope without a vector when the stages begin to use the
    space. The change is recorded as a run. It is not logged here: a run's log may be kept in the store, beside this
    transaction, and would wait for it.

    Args:
        session: an open transaction, committed by the caller, soon.
        wanted: the name of a space that was registered.
        encoder: gives the last few texts their vectors; without it, none may be missing.

    Raises:
        EncoderError: it can't.
        sqlalchemy.exc.OperationalError: somebody adds texts for longer than this waits.
    """
    take_turn(session)
    before = active_space(session)
    if before == wanted:
        return True
    most = 0 if encoder is None else _LAST
    if len(_lacking(session, wanted, most + 1)) > most:
        # found without keeping anybody from writing
        return False
    session.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}'"))
    session.execute(text("LOCK TABLE text IN SHARE MODE"))
    last = _lacking(session, wanted, most + 1)
    if len(last) > most:
        return False
    if last and encoder is not None:
        embed_chunk(session, encoder, last)
    e = store.Encoder
    session.execute(update(e).where(e.active).values(active=False))
    done = session.execute(update(e).where(e.name == wanted).values(active=True, activated_at=func.now()))
    if not getattr(done, "rowcount", 0):
        raise EncoderError(f"there is no space of {wanted} yet: `saring embed` makes it")
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
    """`switch` in a transaction of its own; None if somebody was adding texts all the while."""
    try:
        with open_session(engine) as session, session.begin():
            before = active_space(session)
            done = switch(session, wanted, encoder)
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        return None
    if done and before != wanted:
        log.info("the vectors in use are those of %s from now on, no longer those of %s", wanted, before)
    return done


def drop_space(session: Session, name: str, *, wanted: str) -> int:
    """Remove a space with its vectors; how many there were.

    Args:
        session: an open transaction, committed by the caller.
        name: the space.
        wanted: the one that the settings name.

    Raises:
        EncoderError: there is none of that name, or it is the active or the wanted one, or a model needs it.
        RunConflict: it is being filled.
    """
    take_turn(session)
    found = session.get(store.Encoder, name)
    if found is None:
        raise EncoderError(f"there is no space of {name}: see `saring encoders list`")
    if found.active:
        raise EncoderError(f"the space of {name} is in use: set SARING_ENCODER to another and run `saring embed` first")
    if name == wanted:
        raise EncoderError(f"the space of {name} is wanted: SARING_ENCODER names it; set it to another first")
    if not try_take(session, lock_key("embed", name)):
        raise RunConflict(f"the space of {name} is being filled: `saring runs list` says by which run")
    refuse_beside_workers(session, "embed", name)
    count = session.execute(select(func.count()).where(store.Vector.encoder == name)).scalar_one()
    # its name is a hash in hexadecimal
    session.execute(text(f"DROP TABLE IF EXISTS {partition_of(name)}"))
    session.delete(found)
    return count


def serving_models(session: Session) -> list[store.Model]:
    """Those that serve, or may be asked to: every registered model that was not rejected or retired."""
    m = store.Model
    return list(session.scalars(select(m).where(m.state.in_((ModelState.CHAMPION, ModelState.CANDIDATE)))))


def _lacking(session: Session, name: str, most: int) -> list[uuid.UUID]:
    ids, v = sample(None).subquery(), store.Vector
    has_one = exists().where(v.encoder == name, v.text_id == ids.c.id)
    return list(session.scalars(select(ids.c.id).where(~has_one).limit(most)))
