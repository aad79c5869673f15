"""Taking turns on a project: a push writes tasks under the version that is shown, which predicting ahead replaces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, text

from pipeline.runs.record import lock_key


@contextmanager
def in_turn(engine: Engine, project_id: int) -> Iterator[None]:
    """Wait until nobody else writes tasks or predictions of the project, and keep others waiting meanwhile.

    Args:
        engine: the store.
        project_id: our own id of the project.
    """
    with engine.connect() as lock, lock.begin():
        key = lock_key("sync-turn", str(project_id))
        lock.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
        yield
