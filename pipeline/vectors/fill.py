"""Give every text a vector in the space in use and, where another is wanted, there too; then change to that one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Engine

from pipeline.errors import EncoderError
from pipeline.progress import Progress, silent
from pipeline.settings import Settings
from pipeline.store.session import open_session
from pipeline.vectors.embed import EmbedReport, embed
from pipeline.vectors.encoders.make import make_encoder, space_name
from pipeline.vectors.encoders.protocol import Encoder
from pipeline.vectors.spaces import active_space, try_switch

log = logging.getLogger(__name__)

#: how often a change is tried while others add texts all the time
_TRIES = 10


def fill(
    engine: Engine,
    settings: Settings,
    *,
    limit: int | None = None,
    make: Callable[[Settings, str], Encoder] = make_encoder,
    progress: Progress = silent,
) -> EmbedReport:
    """Compute the missing vectors of the space in use, then those of the wanted one, and change to it once it is full.

    May be stopped and started again at any point: what is missing is computed then.

    Args:
        engine: the store.
        settings: whose `encoder` is wanted.
        limit: keep to the first so many texts in scope (see `sample`).
        make: makes the encoder of a name.
        progress: told of every chunk.

    Raises:
        EncoderError: the wanted encoder can't be used. The space in use was filled nevertheless.
        RunConflict: another process fills one of the spaces.
    """
    wanted = space_name(settings.encoder)
    with open_session(engine) as session:
        active = active_space(session)
    if active is None or active == wanted:
        report = embed(engine, make(settings, wanted), limit=limit, progress=progress)
        return replace(report, in_use=wanted)
    try:
        embed(engine, make(settings, active), limit=limit, progress=progress)
    except EncoderError as error:
        log.warning("texts that are new have no vector of %s, which is in use: %s", active, error)
    try:
        encoder = make(settings, wanted)
        report = embed(engine, encoder, limit=limit, progress=progress)
        switched = try_switch(engine, wanted, encoder if limit is None else None)
        tries = 1
        while not switched and limit is None and tries < _TRIES:
            # texts came in meanwhile, or somebody adds some at this moment
            more = embed(engine, encoder, progress=progress)
            report = replace(report, embedded=report.embedded + more.embedded)
            switched = try_switch(engine, wanted, encoder)
            tries += 1
    except EncoderError as error:
        raise EncoderError(f"{error}; until it can be used, all goes on with the vectors of {active}") from error
    if not switched and limit is None:
        log.warning("%s is full and not in use yet, since texts are being added: embed again in a moment", wanted)
    return replace(report, in_use=wanted if switched else active, switched=bool(switched))
