"""One text: its whole history, and which words moved the champion's verdict."""

from __future__ import annotations

import uuid
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.learning.registry import champion
from pipeline.models.artefact import TrainedModel
from pipeline.models.explain import Explained, explain
from pipeline.review.history import History, read_history
from pipeline.store.session import open_session
from pipeline.store.tables.core import Text
from saring.actions.models import PURPOSE, load_folder
from saring.context import Context


def history(home: Context, text_id: uuid.UUID) -> History:
    """The whole history of a text.

    Raises:
        UsageError: there is no such text.
    """
    with open_session(home.engine) as session:
        known = read_history(session, home.taxonomy, text_id)
        if known is None:
            raise UsageError("there is no such text in the store")
        session.expunge_all()
    return known


def moving_words(home: Context, text_id: uuid.UUID) -> Explained | None:
    """The words of a text that moved the champion's verdict; None: there is no champion.

    Raises:
        UsageError: there is no such text.
        ModelError: the champion's folder is missing or damaged.
    """
    with open_session(home.engine) as session:
        text = session.get(Text, text_id)
        if text is None:
            raise UsageError("there is no such text in the store")
        masked = text.masked
    model = _champion(home)
    return None if model is None else explain(model, masked)


def _champion(home: Context) -> TrainedModel | None:
    """The champion, which is loaded once in a process and again when there is another."""
    with open_session(home.engine) as session:
        row = champion(session, PURPOSE)
    if row is None:
        return None
    kept: dict[str, TrainedModel] = home.keep("champion that is explained", dict)
    model = kept.get(row.version)
    if model is None:
        model = load_folder(Path(row.path), home.settings)
        kept.clear()
        kept[row.version] = model
    return model
