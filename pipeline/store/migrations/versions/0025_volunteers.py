"""The volunteers' own pages.

Revision ID: 0025
Revises: 0024
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_TIME = TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "volunteer",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=True),
        sa.Column("token_refused_at", _TIME, nullable=True),
        sa.Column("consent", sa.Text(), nullable=False),
        sa.Column("consented_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("withdrawn_at", _TIME, nullable=True),
        sa.Column("approved_at", _TIME, nullable=True),
        sa.Column("avoid", ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("daily_cap", sa.Integer(), nullable=True),
        sa.Column("break_minutes", sa.Integer(), server_default="20", nullable=False),
        sa.CheckConstraint("daily_cap > 0", name=op.f("ck_volunteer_daily_cap")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_volunteer_account_id_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_volunteer")),
    )
    op.create_table(
        "personal_link",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("used_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_personal_link_account_id_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_personal_link")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_personal_link_token_hash")),
    )
    op.create_table(
        "phone_task",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("draft_id", sa.Integer(), nullable=True),
        sa.Column("prediction_id", sa.Integer(), nullable=True),
        sa.Column("harsh", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("aside", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("taken_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_phone_task_account_id_account"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_phone_task_project_id_project")),
        sa.PrimaryKeyConstraint("account_id", "project_id", "task_id", name=op.f("pk_phone_task")),
    )
    op.create_table(
        "phone_answer",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("labels", ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("replaces", sa.Uuid(), nullable=True),
        sa.Column("seconds", sa.REAL(), nullable=False),
        sa.Column("harsh", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("state", sa.String(length=16), server_default="waiting", nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("annotation_id", sa.Integer(), nullable=True),
        sa.Column("answered_at", _TIME, nullable=False),
        sa.Column("received_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_phone_answer_account_id_account"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_phone_answer_project_id_project")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_phone_answer")),
        sa.UniqueConstraint("number", name=op.f("uq_phone_answer_number")),
    )
    op.create_index(op.f("ix_phone_answer_account_id_answered_at"), "phone_answer", ["account_id", "answered_at"])
    op.create_index(
        "ix_phone_answer_waiting",
        "phone_answer",
        ["account_id", "number"],
        postgresql_where=sa.text("state = 'waiting'"),
    )


def downgrade() -> None:
    op.drop_table("phone_answer")
    op.drop_table("phone_task")
    op.drop_table("personal_link")
    op.drop_table("volunteer")
