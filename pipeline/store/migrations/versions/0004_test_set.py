"""The frozen test set.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "test_set",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_test_set_run_id_run")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_test_set")),
    )
    op.create_table(
        "test_row",
        sa.Column("text_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("asserted", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("denied", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.CheckConstraint("NOT (asserted && denied)", name=op.f("ck_test_row_not_both")),
        sa.ForeignKeyConstraint(["text_id"], ["text.id"], name=op.f("fk_test_row_text_id_text")),
        sa.ForeignKeyConstraint(["version"], ["test_set.version"], name=op.f("fk_test_row_version_test_set")),
        sa.PrimaryKeyConstraint("text_id", "version", name=op.f("pk_test_row")),
    )
    op.execute(
        """
        CREATE FUNCTION refuse_change_of_test_set() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the test set is frozen: % refused; a later version may restate a text', TG_OP
                USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    for table in ("test_set", "test_row"):
        op.execute(
            f"""
            CREATE TRIGGER {table}_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_test_set()
            """
        )


def downgrade() -> None:
    op.drop_table("test_row")
    op.drop_table("test_set")
    op.execute("DROP FUNCTION refuse_change_of_test_set")
