"""Disputes for reviewers, and who is at which of them.

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_TIME = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "dispute",
        sa.Column("text_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("labels", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("why", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("value", sa.REAL(), nullable=False),
        sa.Column("created_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.Column("settled_by", sa.BigInteger(), nullable=True),
        sa.Column("settled_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("text_id", "kind", name=op.f("pk_dispute")),
    )
    op.create_index(
        "ix_dispute_waiting",
        "dispute",
        ["kind", sa.text("value DESC"), "text_id"],
        postgresql_where=sa.text("settled_by IS NULL"),
    )
    op.create_index("ix_dispute_settled", "dispute", ["settled_by"], postgresql_where=sa.text("settled_by IS NOT NULL"))
    op.create_table(
        "review_lease",
        sa.Column("text_id", sa.Uuid(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("holder_name", sa.Text(), server_default="", nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("text_id", name=op.f("pk_review_lease")),
    )
    op.create_table(
        "review_cursor",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("judgement_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_review_cursor")),
    )


def downgrade() -> None:
    op.drop_table("review_cursor")
    op.drop_table("review_lease")
    op.drop_table("dispute")
