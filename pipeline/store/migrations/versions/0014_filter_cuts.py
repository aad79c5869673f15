"""The cuts that people set for labels, and what each filter made of each label.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "filter_cut",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("cut", sa.REAL(), nullable=True),
        sa.Column("encoder", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("reason <> ''", name=op.f("ck_filter_cut_reason")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_filter_cut")),
    )
    op.create_index(op.f("ix_filter_cut_stage_label_id"), "filter_cut", ["stage", "label", "id"])
    op.execute(
        """
        CREATE FUNCTION refuse_change_of_filter_cut() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'cuts are append-only: % refused; add another', TG_OP
                USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER filter_cut_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON filter_cut
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_filter_cut()
        """
    )
    op.create_table(
        "filter_summary",
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("cut", sa.REAL(), nullable=True),
        sa.Column("kept", sa.BigInteger(), nullable=False),
        sa.Column("dropped", sa.BigInteger(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("step", postgresql.DOUBLE_PRECISION(), nullable=False),
        sa.Column("counts", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_filter_summary_run_id_run")),
        sa.PrimaryKeyConstraint("stage", "label", name=op.f("pk_filter_summary")),
    )


def downgrade() -> None:
    op.drop_table("filter_summary")
    op.drop_table("filter_cut")
    op.execute("DROP FUNCTION refuse_change_of_filter_cut")
