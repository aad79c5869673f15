"""Ids of texts for the world outside the store.

A text's own id is a plain hash of the text before masking: whoever has it can try all phone numbers until one gives the
same id. So what leaves the store, in exported data sets and in tasks of Label Studio, carries another id: the own one,
enciphered with a key that never leaves the store. Within one store a text has the same public id everywhere.

The cipher is a Feistel network of four rounds with a keyed hash, BLAKE2b, as the round function. With four rounds it is
a strong pseudorandom permutation (Luby and Rackoff 1988, "How to construct pseudorandom permutations from pseudorandom
functions", theorem 1 and section 5), so without the key nothing can be tried.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Container
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline.store.session import open_session
from pipeline.store.tables.core import StoreKey

_NAME = "public-ids"
_ROUNDS = 4
_HALF, _KEY = 8, 32


@dataclass(frozen=True, slots=True)
class PublicIds:
    """The public ids of one store."""

    _key: bytes

    @classmethod
    def of_store(cls, session: Session) -> PublicIds:
        """The public ids of the store, whose key is made at first use."""
        stored = select(StoreKey.value).where(StoreKey.name == _NAME)
        key = session.scalar(stored)
        if key is None:
            # in a transaction of its own: a key that is used has to stay, whatever becomes of the caller's work
            with open_session(session.get_bind().engine) as own, own.begin():
                fresh = insert(StoreKey).values(name=_NAME, value=secrets.token_bytes(_KEY))
                # another process may be first, whose key is then used
                own.execute(fresh.on_conflict_do_nothing())
                key = own.execute(stored).scalar_one()
        return cls(key)

    def of(self, text_id: uuid.UUID) -> uuid.UUID:
        """The public id of a text."""
        left, right = text_id.bytes[:_HALF], text_id.bytes[_HALF:]
        for number in range(_ROUNDS):
            left, right = right, _xor(left, self._round(number, right))
        return uuid.UUID(bytes=left + right)

    def text_id(self, public: uuid.UUID) -> uuid.UUID:
        """The text's own id, from its public id."""
        left, right = public.bytes[:_HALF], public.bytes[_HALF:]
        for number in reversed(range(_ROUNDS)):
            left, right = _xor(right, self._round(number, left)), left
        return uuid.UUID(bytes=left + right)

    def meant(self, given: object, known: Container[uuid.UUID]) -> uuid.UUID | None:
        """The own id that an id from outside means, if it is a known one.

        Args:
            given: a public id, or an own id from a version of Saring that wrote those into tasks.
            known: own ids of texts that it may be.
        """
        try:
            written = uuid.UUID(given) if isinstance(given, str) else None
        except ValueError:
            return None
        if written is None:
            return None
        return next((text_id for text_id in self.candidates(written) if text_id in known), None)

    def candidates(self, given: uuid.UUID) -> tuple[uuid.UUID, uuid.UUID]:
        """Both own ids that an id from outside may mean; see `meant`."""
        return self.text_id(given), given

    def _round(self, number: int, half: bytes) -> bytes:
        return hashlib.blake2b(half, digest_size=_HALF, key=self._key, salt=bytes([number])).digest()


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
