"""Runs that somebody asked for, and indexes of the runs at work and of parked shards.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "run_request",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column(
            "form", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("asked_by", sa.Text(), server_default="", nullable=False),
        sa.Column("asked_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("settled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("runs", postgresql.ARRAY(sa.BigInteger()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_request")),
    )
    op.create_index(
        "ix_run_request_waiting",
        "run_request",
        ["id"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.create_index("ix_run_request_runs", "run_request", ["runs"], unique=False, postgresql_using="gin")
    op.create_index("ix_run_running", "run", ["id"], unique=False, postgresql_where=sa.text("state = 'running'"))
    op.create_index("ix_shard_parked", "shard", ["run_id"], unique=False, postgresql_where=sa.text("state = 'parked'"))


def downgrade() -> None:
    op.drop_index("ix_shard_parked", table_name="shard", postgresql_where=sa.text("state = 'parked'"))
    op.drop_index("ix_run_running", table_name="run", postgresql_where=sa.text("state = 'running'"))
    op.drop_table("run_request")
