"""An index of the words of texts. It is made while others write: 25 seconds for a million texts.

Revision ID: 0021
Revises: 0020
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_WORDS = "to_tsvector('simple'::regconfig, \"left\"(masked, 20000))"


def upgrade() -> None:
    # Such an index is made outside of a transaction, so nothing else is in this migration: it can be run again.
    with op.get_context().autocommit_block():
        [before] = op.get_bind().exec_driver_sql("SHOW lock_timeout").one()
        # It waits for the transactions of others, and nobody waits for it: so it may wait long.
        op.execute("SET lock_timeout = 0")
        # An attempt that was broken off leaves an index that is not valid.
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_text_words")
        op.execute(f"CREATE INDEX CONCURRENTLY ix_text_words ON text USING gin ({_WORDS})")
        op.execute(f"SET lock_timeout = '{before}'")


def downgrade() -> None:
    op.drop_index("ix_text_words", "text")
