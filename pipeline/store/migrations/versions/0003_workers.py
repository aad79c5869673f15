"""Work that is spread over workers.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "filter_score",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("text_id", sa.Uuid(), nullable=False),
        sa.Column("score", sa.REAL(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "label", "text_id", name=op.f("pk_filter_score")),
    )
    op.create_table(
        "run_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_log_run_id_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_log")),
    )
    op.create_index(op.f("ix_run_log_run_id_id"), "run_log", ["run_id", "id"], unique=False)
    op.create_table(
        "shard",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("lower", sa.Uuid(), nullable=True),
        sa.Column("upper", sa.Uuid(), nullable=True),
        sa.Column(
            "args", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "state",
            sa.Enum("waiting", "running", "done", "parked", name="shard_state", native_enum=False, length=16),
            server_default="waiting",
            nullable=False,
        ),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sends", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sent_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "counts", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_shard_run_id_run")),
        sa.PrimaryKeyConstraint("run_id", "number", name=op.f("pk_shard")),
    )
    op.create_index(op.f("ix_shard_run_id_state"), "shard", ["run_id", "state"], unique=False)
    op.add_column("run", sa.Column("on_workers", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("run", sa.Column("cancel_asked_at", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.add_column("run", sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    # whoever watches a run hears of each of its steps
    op.execute(
        """
        CREATE FUNCTION tell_of_run() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('saring_run', NEW.id::text);
            RETURN NULL;
        END $$
        """
    )
    op.execute("CREATE TRIGGER run_told AFTER INSERT OR UPDATE ON run FOR EACH ROW EXECUTE FUNCTION tell_of_run()")


def downgrade() -> None:
    op.execute("DROP TRIGGER run_told ON run")
    op.execute("DROP FUNCTION tell_of_run")
    op.drop_column("run", "result")
    op.drop_column("run", "cancel_asked_at")
    op.drop_column("run", "on_workers")
    op.drop_index(op.f("ix_shard_run_id_state"), table_name="shard")
    op.drop_table("shard")
    op.drop_index(op.f("ix_run_log_run_id_id"), table_name="run_log")
    op.drop_table("run_log")
    op.drop_table("filter_score")
