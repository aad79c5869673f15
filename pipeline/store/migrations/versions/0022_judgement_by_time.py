"""An index by which the newest judgements of a rater are found.

Revision ID: 0022
Revises: 0021
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_NAME = "ix_judgement_rater_id_created_at"


def upgrade() -> None:
    # Nobody who judges meanwhile waits. A build that was given up leaves an index that is of no use.
    with op.get_context().autocommit_block():
        op.drop_index(_NAME, "judgement", if_exists=True, postgresql_concurrently=True)
        op.create_index(_NAME, "judgement", ["rater_id", "created_at"], postgresql_concurrently=True)


def downgrade() -> None:
    op.drop_index(_NAME, "judgement")
