"""Notices, and what was sent of them.

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_TIME = TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "notice",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("over_at", _TIME, nullable=True),
        sa.Column("routed_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
        sa.UniqueConstraint("event", name=op.f("uq_notice_event")),
    )
    op.create_index(op.f("ix_notice_kind_at"), "notice", ["kind", "at"])
    op.create_index(op.f("ix_notice_at_id"), "notice", ["at", "id"])
    op.create_index("ix_notice_unrouted", "notice", ["at"], postgresql_where=sa.text("routed_at IS NULL"))
    op.create_table(
        "notice_delivery",
        sa.Column("notice_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), server_default="waiting", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", _TIME, nullable=True),
        sa.Column("held_back", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["notice_id"], ["notice.id"], name=op.f("fk_notice_delivery_notice_id_notice"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("notice_id", "channel", name=op.f("pk_notice_delivery")),
    )
    op.create_index(
        "ix_notice_delivery_open",
        "notice_delivery",
        ["not_before"],
        postgresql_where=sa.text("state IN ('waiting', 'sending')"),
    )
    op.create_index(
        "ix_notice_delivery_sent", "notice_delivery", ["sent_at"], postgresql_where=sa.text("state = 'sent'")
    )
    # Runs that failed are looked for by the time of their end; few of all runs did.
    op.create_index("ix_run_failed", "run", ["finished_at"], postgresql_where=sa.text("error IS NOT NULL"))


def downgrade() -> None:
    op.drop_index("ix_run_failed", "run")
    op.drop_table("notice_delivery")
    op.drop_table("notice")
