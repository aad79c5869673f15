"""Alembic's entry point. It is always run with a connection that the caller made."""

from alembic import context

from pipeline.store.migrate import is_schema
from pipeline.store.tables.core import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    include_object=is_schema,
    compare_type=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
