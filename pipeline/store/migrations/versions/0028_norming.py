"""Norming: texts of the week that divided people, and volunteers' blind answers to them.

Revision ID: 0028
Revises: 0027
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_TIME = TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "norming_week",
        sa.Column("week", sa.Date(), nullable=False),
        sa.Column("looked_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("week", name=op.f("pk_norming_week")),
    )
    op.create_table(
        "norming_text",
        sa.Column("week", sa.Date(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("text_id", sa.Uuid(), nullable=False),
        sa.Column("labels", ARRAY(sa.Text()), nullable=False),
        sa.Column("division", sa.REAL(), nullable=False),
        sa.Column("chosen_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("noted_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(["week"], ["norming_week.week"], name=op.f("fk_norming_text_week_norming_week")),
        sa.ForeignKeyConstraint(["text_id"], ["text.id"], name=op.f("fk_norming_text_text_id_text")),
        sa.PrimaryKeyConstraint("week", "place", name=op.f("pk_norming_text")),
        sa.UniqueConstraint("text_id", name=op.f("uq_norming_text_text_id")),
    )
    op.create_table(
        "norming_vote",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("text_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("labels", ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("harsh", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("voted_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_norming_vote_account_id_account"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["text_id"], ["norming_text.text_id"], name=op.f("fk_norming_vote_text_id_norming_text")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_norming_vote")),
        sa.UniqueConstraint("account_id", "text_id", name=op.f("uq_norming_vote_account_id_text_id")),
    )
    op.create_index(op.f("ix_norming_vote_text_id"), "norming_vote", ["text_id"])


def downgrade() -> None:
    op.drop_table("norming_vote")
    op.drop_table("norming_text")
    op.drop_table("norming_week")
