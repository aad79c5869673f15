"""The consensus of machines.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "consensus",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("content", postgresql.JSONB(), nullable=False),
        sa.Column("report", postgresql.JSONB(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_consensus_run_id_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consensus")),
    )
    op.execute(
        """
        CREATE FUNCTION refuse_change_of_consensus() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'consensuses are append-only: % refused; fit another', TG_OP
                USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER consensus_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON consensus
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_consensus()
        """
    )


def downgrade() -> None:
    op.drop_table("consensus")
    op.execute("DROP FUNCTION refuse_change_of_consensus")
