"""Ids of texts in addresses and forms: the public ones, since a text's own id says something of the text."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from pipeline.errors import UsageError
from pipeline.store.public_ids import PublicIds
from pipeline.store.session import open_session
from saring.context import Context


def public_ids(home: Context) -> PublicIds:
    """The public ids of a home's store; the key is read once."""

    def read() -> PublicIds:
        with open_session(home.engine) as session:
            return PublicIds.of_store(session)

    return home.keep(("public-ids", str(home.engine.url)), read)


def own_id(home: Context, given: str) -> uuid.UUID:
    """The own id of the text that a public id in an address or a form names.

    Raises:
        UsageError: it is no id.
    """
    try:
        return public_ids(home).text_id(uuid.UUID(given))
    except ValueError:
        raise UsageError(f"{given[:50]!r} is not the id of a text") from None


def own_ids(home: Context, given: Iterable[str]) -> list[uuid.UUID]:
    """The own ids of several texts, each once, in order.

    Raises:
        UsageError: one of them is no id.
    """
    return list(dict.fromkeys(own_id(home, each) for each in given))
