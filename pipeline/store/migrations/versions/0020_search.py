"""Saved searches, other spellings, and texts in the queue whose inclusion probability is unknown.

Revision ID: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("queue_item", "task"):
        op.alter_column(table, "inclusion_probability", nullable=True)
    # nobody drew these; there are few of them
    op.execute("UPDATE task SET inclusion_probability = NULL WHERE queue_item_id IS NULL AND strategy = 'by hand'")
    op.add_column("queue_item", sa.Column("refused_why", sa.Text(), nullable=True))
    op.create_table(
        "search_word",
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("texts", sa.Integer(), nullable=False),
        sa.Column("trigrams", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("word", name=op.f("pk_search_word")),
    )
    op.create_index("ix_search_word_trigrams", "search_word", ["trigrams"], postgresql_using="gin")
    op.create_table(
        "saved_search",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("query", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_saved_search_account_id_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_search")),
        sa.UniqueConstraint(
            "account_id", "name", name=op.f("uq_saved_search_account_id_name"), postgresql_nulls_not_distinct=True
        ),
    )


def downgrade() -> None:
    op.drop_table("saved_search")
    op.drop_table("search_word")
    op.drop_column("queue_item", "refused_why")
    for table in ("queue_item", "task"):
        # an older version knows no unknown probability; with 1 such a text weighs least
        op.execute(f"UPDATE {table} SET inclusion_probability = 1 WHERE inclusion_probability IS NULL")  # noqa: S608
        op.alter_column(table, "inclusion_probability", nullable=False)
