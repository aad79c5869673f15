"""Replies of language models, and translations.

Revision ID: 0005
Revises: 0004
"""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _made() -> sa.Column[datetime]:
    return sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "llm_reply",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("rater_id", sa.BigInteger(), nullable=True),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("finish_reason", sa.Text(), nullable=True),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("completion_tokens", sa.Integer(), nullable=False),
        sa.Column("cost", sa.Float(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        _made(),
        sa.ForeignKeyConstraint(["rater_id"], ["rater.id"], name=op.f("fk_llm_reply_rater_id_rater")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_llm_reply_run_id_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_llm_reply")),
    )
    op.create_index(op.f("ix_llm_reply_rater_id"), "llm_reply", ["rater_id"])
    op.create_index(op.f("ix_llm_reply_run_id"), "llm_reply", ["run_id"])
    op.create_table(
        "translation",
        sa.Column("text_id", sa.Uuid(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("translator", sa.Text(), nullable=False),
        sa.Column("translated", sa.Text(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        _made(),
        sa.ForeignKeyConstraint(["text_id"], ["text.id"], name=op.f("fk_translation_text_id_text")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_translation_run_id_run")),
        sa.PrimaryKeyConstraint("text_id", "language", "translator", name=op.f("pk_translation")),
    )


def downgrade() -> None:
    op.drop_table("translation")
    op.drop_table("llm_reply")
