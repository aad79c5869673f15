"""The judgements that stand, as a view.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# What a query asks of `text_id` and `kind` reaches the tables, because both are among what is told apart at each step.
# `person` and `item` tell voices apart: a person by account, a data set by account and row, a machine by its name.
_VIEW = """
    CREATE VIEW current_judgement AS
    SELECT DISTINCT ON (text_id, kind, name, person, item) id, text_id, rater_id, kind, name, asserted, denied
    FROM (
        SELECT DISTINCT ON (j.rater_id, j.text_id, j.external_ref, r.kind)
            j.id, j.text_id, j.rater_id, j.asserted, j.denied, j.withdrawn, r.kind, r.name,
            CASE WHEN r.kind IN ('human', 'external') THEN j.rater_id END AS person,
            CASE WHEN r.kind = 'external' THEN j.external_ref END AS item
        FROM judgement j JOIN rater r ON r.id = j.rater_id
        WHERE r.excluded_at IS NULL
        ORDER BY j.rater_id, j.text_id, j.external_ref, r.kind, j.revision DESC
    ) newest
    WHERE NOT withdrawn AND NOT EXISTS (
        SELECT FROM judgement later JOIN rater r ON r.id = later.rater_id
        WHERE later.supersedes IS NOT NULL AND later.supersedes = newest.id AND later.text_id = newest.text_id
            AND r.excluded_at IS NULL
    )
    ORDER BY text_id, kind, name, person, item, id DESC
"""


def upgrade() -> None:
    op.create_index(
        "ix_judgement_supersedes", "judgement", ["supersedes"], postgresql_where=sa.text("supersedes IS NOT NULL")
    )
    op.execute(_VIEW)


def downgrade() -> None:
    op.execute("DROP VIEW current_judgement")
    op.drop_index("ix_judgement_supersedes", "judgement")
