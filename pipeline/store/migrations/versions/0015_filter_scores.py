"""Indexes by which the texts next to a cut, and the review sample of a filter, are found.

Revision ID: 0015
Revises: 0014
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_INDEXES = (
    ("ix_filter_decision_stage_label_score", "filter_decision", ["stage", "label", "score"]),
    ("ix_review_reason_label", "review", ["reason", "label"]),
)


def upgrade() -> None:
    # Nobody who filters or reviews meanwhile waits. A build that was given up leaves an index that is of no use.
    with op.get_context().autocommit_block():
        for name, table, columns in _INDEXES:
            op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
            op.create_index(name, table, columns, postgresql_concurrently=True)


def downgrade() -> None:
    for name, table, _ in _INDEXES:
        op.drop_index(name, table)
