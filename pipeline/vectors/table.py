"""The table of vectors: a partition for each encoder, half precision, vectors of length 1."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pgvector import HalfVector
from sqlalchemy import Select, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import EncoderError
from pipeline.store import locks
from pipeline.store.locks import Lock
from pipeline.store.migrate import PARTITION_PREFIX
from pipeline.vectors.encoders.protocol import Encoder, PartialEncoder, Vectors, unit


def partition_of(encoder: str) -> str:
    """The table that holds an encoder's vectors."""
    return PARTITION_PREFIX + hashlib.blake2b(encoder.encode(), digest_size=6).hexdigest()


def register_encoder(session: Session, encoder: Encoder) -> None:
    """Make the partition for an encoder's vectors. The first encoder of a store is active at once.

    Raises:
        EncoderError: vectors of another dimension are stored under its name.
    """
    session.execute(
        insert(store.Encoder).values(name=encoder.name, dimension=encoder.dimension).on_conflict_do_nothing()
    )
    known = session.execute(select(store.Encoder.dimension).where(store.Encoder.name == encoder.name)).scalar_one()
    if known != encoder.dimension:
        raise EncoderError(
            f"encoder {encoder.name!r} gives vectors of {encoder.dimension} dimensions, but its stored vectors have "
            f"{known}: give the new encoder another name"
        )
    # Names of tables cannot be parameters; this one is a hash in hexadecimal, and the value is quoted by the server.
    quoted = session.execute(select(func.quote_literal(encoder.name))).scalar_one()
    session.execute(
        text(
            f"CREATE TABLE IF NOT EXISTS {partition_of(encoder.name)} "
            f"PARTITION OF text_vector FOR VALUES IN ({quoted.replace(':', chr(92) + ':')})"
        )
    )
    if session.scalars(select(store.Encoder.name).where(store.Encoder.active)).first() is None:
        lock_spaces(session)
        session.execute(
            update(store.Encoder)
            .where(store.Encoder.name == encoder.name, ~select(store.Encoder).where(store.Encoder.active).exists())
            .values(active=True, activated_at=func.now())
        )


def lock_spaces(session: Session) -> None:
    """Wait for the lock on the space in use, and hold it until the transaction ends."""
    locks.take(session, Lock.SPACES)


def put_vectors(session: Session, encoder: str, ids: Sequence[uuid.UUID], vectors: Vectors) -> None:
    """Store vectors; a text that already has one keeps it."""
    if not ids:
        return
    rows: list[dict[str, Any]] = [
        {"encoder": encoder, "text_id": text_id, "embedding": HalfVector(vector)}
        for text_id, vector in zip(ids, vectors, strict=True)
    ]
    session.execute(insert(store.Vector).on_conflict_do_nothing(), rows)


def get_vectors(session: Session, encoder: str, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Vectors]:
    """Stored vectors by text id, each of shape [dimension]; texts without one are left out."""
    v = store.Vector
    rows = session.execute(select(v.text_id, v.embedding).where(v.encoder == encoder, v.text_id == func.any(list(ids))))
    return {text_id: np.asarray(vector, dtype=np.float32) for text_id, vector in rows}


def missing_vectors(session: Session, encoder: str, chosen: Select[uuid.UUID]) -> list[uuid.UUID]:
    """The chosen texts that have no vector in an encoder's space, in order."""
    ids_of, v = chosen.subquery(), store.Vector
    has_one = select(v.text_id).where(v.encoder == encoder, v.text_id == ids_of.c.id).exists()
    return list(session.scalars(select(ids_of.c.id).where(~has_one).order_by(ids_of.c.id)))


def embed_chunk(session: Session, encoder: Encoder, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, str]:
    """Compute and store the vectors of some texts; the encoder makes its own batches.

    Returns:
        The texts that have no vector, with the reason.

    Raises:
        EncoderError: no text can be encoded.
    """
    t = store.Text
    rows = session.execute(select(t.id, t.masked).where(t.id == func.any(list(ids)))).all()
    names, texts = [text_id for text_id, _ in rows], [masked for _, masked in rows]
    if not isinstance(encoder, PartialEncoder):
        put_vectors(session, encoder.name, names, encoder.encode(texts))
        return {}
    encoded = encoder.encode_some(texts)
    put_vectors(session, encoder.name, [names[place] for place in encoded.places], encoded.vectors)
    return {names[place]: reason for place, reason in encoded.failed.items()}


def vectors_of(
    session: Session, encoder: str, ids: Sequence[uuid.UUID], at: Mapping[uuid.UUID, int]
) -> tuple[list[int], Vectors]:
    """The rows (by `at`) of the texts that have a vector, and their vectors."""
    # All vectors come as one string of bytes, because unpacking a row for each takes longer than all the rest.
    sent_ids, sent = session.execute(
        text("""
            SELECT array_agg(text_id ORDER BY text_id), string_agg(halfvec_send(embedding), ''::bytea ORDER BY text_id)
            FROM text_vector WHERE encoder = :encoder AND text_id = ANY(CAST(:ids AS uuid[]))
        """),
        {"encoder": encoder, "ids": list(ids)},
    ).one()
    return [at[text_id] for text_id in sent_ids or ()], unit(read_vectors(bytes(sent or b"")))


def read_vectors(sent: bytes) -> Vectors:
    """Vectors in pgvector's wire format for `halfvec`, one after the other: dimension, a zero, big-endian halves."""
    if not sent:
        return np.zeros((0, 0), np.float32)
    dimension = int.from_bytes(sent[:2], "big")
    rows = np.frombuffer(sent, dtype=np.dtype([("head", ">u4"), ("values", ">f2", (dimension,))]))
    return np.asarray(rows["values"], dtype=np.float32)
