"""Policies of applications, the policy of an API token, and challengers that score live traffic.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "moderation_policy",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("default_target", sa.Text(), nullable=True),
        sa.Column(
            "labels",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("changed_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_moderation_policy")),
    )
    op.add_column("api_token", sa.Column("policy", sa.Text(), nullable=True))
    op.create_table(
        "shadow_model",
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("since", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["version"], ["model.version"], name=op.f("fk_shadow_model_version_model")),
        sa.PrimaryKeyConstraint("purpose", name=op.f("pk_shadow_model")),
    )
    op.create_table(
        "shadow_count",
        sa.Column("champion", sa.Text(), nullable=False),
        sa.Column("challenger", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("both", "champion_only", "challenger_only", "neither")
        ),
        sa.PrimaryKeyConstraint("champion", "challenger", "label", name=op.f("pk_shadow_count")),
    )


def downgrade() -> None:
    op.drop_table("shadow_count")
    op.drop_table("shadow_model")
    op.drop_column("api_token", "policy")
    op.drop_table("moderation_policy")
