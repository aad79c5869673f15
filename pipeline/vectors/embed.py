"""Give every text a vector, once."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, Select, func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.progress import Progress, silent
from pipeline.runs.record import stage_run
from pipeline.store.session import open_session
from pipeline.store.texts import sample
from pipeline.vectors.encoders.protocol import Encoder
from pipeline.vectors.table import put_vectors, register_encoder

#: texts that are given to the encoder together and committed together
CHUNK = 1_024


@dataclass(frozen=True, slots=True)
class EmbedReport:
    """How many of the chosen texts were embedded now, and how many had a vector."""

    encoder: str
    embedded: int
    present: int
    #: the space that the stages work in afterwards, and whether that changed
    in_use: str | None = None
    switched: bool = False


def embed(
    engine: Engine,
    encoder: Encoder,
    *,
    limit: int | None = None,
    texts: Select[uuid.UUID] | None = None,
    progress: Progress = silent,
) -> EmbedReport:
    """Compute the vectors that are missing in `encoder`'s space; each chunk is committed, so stopping loses little.

    Args:
        engine: the store.
        encoder: what turns texts into vectors.
        limit: keep to the first so many texts in scope (see `sample`).
        texts: a query of text ids to keep to, instead of `limit`.
        progress: told of every chunk.
    """
    chosen = texts if texts is not None else sample(limit)
    with stage_run(engine, "embed", slice=encoder.name, params={"limit": limit}, progress=progress) as run:
        with open_session(engine) as session, session.begin():
            register_encoder(session, encoder)
            total = session.execute(select(func.count()).select_from(chosen.subquery())).scalar_one()
            missing = missing_vectors(session, encoder.name, chosen)
        run.counts = {"texts": total, "present": total - len(missing), "embedded": 0}
        run.advance(0, len(missing), "embedding")
        for start in range(0, len(missing), CHUNK):
            with open_session(engine) as session, session.begin():
                ids = missing[start : start + CHUNK]
                embed_chunk(session, encoder, ids)
                run.count("embedded", len(ids))
                run.advance(start + len(ids), len(missing), "embedding")
                run.save(session)
    return EmbedReport(encoder.name, run.counts["embedded"], run.counts["present"])


def missing_vectors(session: Session, encoder: str, chosen: Select[uuid.UUID]) -> list[uuid.UUID]:
    """Those of the chosen texts that have no vector in an encoder's space, in order."""
    ids_of, v = chosen.subquery(), store.Vector
    has_one = select(v.text_id).where(v.encoder == encoder, v.text_id == ids_of.c.id).exists()
    return list(session.scalars(select(ids_of.c.id).where(~has_one).order_by(ids_of.c.id)))


def embed_chunk(session: Session, encoder: Encoder, ids: Sequence[uuid.UUID]) -> None:
    """Compute and store the vectors of at most `CHUNK` texts."""
    t = store.Text
    rows = session.execute(select(t.id, t.masked).where(t.id == func.any(list(ids)))).all()
    # which makes batches of them as suits it
    vectors = encoder.encode([masked for _, masked in rows])
    put_vectors(session, encoder.name, [text_id for text_id, _ in rows], vectors)
