"""Bringing a database to the schema of this code."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from pipeline.errors import StoreNotReady
from pipeline.store.models import Base

#: two processes that start at once must not migrate at once
_LOCK = 0x5A1216
#: partitions are made as encoders are met, so they are data rather than schema
PARTITION_PREFIX = "text_vector_p_"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def is_schema(obj: object, name: str | None, kind: str, *_rest: object) -> bool:
    """Whether Alembic should look at a database object."""
    if kind == "table":
        return not (name or "").startswith(PARTITION_PREFIX)
    table = getattr(obj, "table", None)
    return not (table is not None and table.name.startswith(PARTITION_PREFIX))


def upgrade(engine: Engine) -> None:
    """Create the schema, or bring an older one up to date. Safe to call from many processes at once."""
    config = _config()
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        connection.commit()
        try:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
            connection.commit()
    # Connections opened before the extension existed don't know its types.
    engine.dispose()


def current_and_head(engine: Engine) -> tuple[str | None, str]:
    """The revision of the database (None: empty) and the newest one that this code knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision(), head


def require_head(engine: Engine) -> None:
    """Check that the schema is the one this code was written for.

    Raises:
        StoreNotReady: it isn't; the message says what to do.
    """
    current, head = current_and_head(engine)
    if current != head:
        was = "has no schema yet" if current is None else f"has schema {current}, this version needs {head}"
        raise StoreNotReady(f"the database {was}: run `saring init`")


def drift(engine: Engine) -> list[object]:
    """Differences between the database and the models; empty when the migrations are complete."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_schema, "compare_type": True})
        return list(compare_metadata(context, Base.metadata))
