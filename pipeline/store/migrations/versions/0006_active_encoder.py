"""Which space of vectors is in use.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("encoder", sa.Column("active", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("encoder", sa.Column("activated_at", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.create_index("uq_encoder_active", "encoder", ["active"], unique=True, postgresql_where=sa.text("active"))
    # so far, whatever the settings named was used: most likely what most texts were embedded with
    op.execute(
        """
        UPDATE encoder SET active = true, activated_at = now() WHERE name = (
            SELECT e.name FROM encoder e
            ORDER BY (SELECT count(*) FROM text_vector v WHERE v.encoder = e.name) DESC, e.created_at LIMIT 1
        )
        """
    )


def downgrade() -> None:
    op.drop_index("uq_encoder_active", "encoder")
    op.drop_column("encoder", "activated_at")
    op.drop_column("encoder", "active")
