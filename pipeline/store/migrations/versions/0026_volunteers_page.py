"""The language that volunteers read first, and what an answer without labels means.

Revision ID: 0026
Revises: 0025
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("project", sa.Column("language", sa.Text(), server_default="en", nullable=False))
    for table in ("project", "project_config"):
        op.add_column(table, sa.Column("empty_is_none", sa.Boolean(), server_default=sa.text("false"), nullable=False))


def downgrade() -> None:
    for table in ("project_config", "project"):
        op.drop_column(table, "empty_is_none")
    op.drop_column("project", "language")
