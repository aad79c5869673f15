"""Taking turns on a project: a push writes tasks under the version that is shown, which predicting ahead replaces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from pipeline.store.locks import lock_key, waited_for


@contextmanager
def in_turn(engine: Engine, project_id: int) -> Iterator[None]:
    """Wait until nobody else writes tasks or predictions of the project, and keep others waiting meanwhile.

    Args:
        engine: the store.
        project_id: our own id of the project.
    """
    with waited_for(engine, lock_key("sync-turn", str(project_id))):
        yield
