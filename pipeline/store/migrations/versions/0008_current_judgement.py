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
# A voice has one number, which is compared faster than names: a machine's is that of its first version, a person's
# that of the account, both negative; in a data set each row speaks for itself, under the number of the judgement.
_VIEW = """
    CREATE VIEW current_judgement AS
    SELECT DISTINCT ON (text_id, voice, kind) id, text_id, rater_id, kind, asserted, denied
    FROM (
        SELECT DISTINCT ON (j.rater_id, j.text_id, j.external_ref, r.kind)
            j.id, j.text_id, j.rater_id, j.asserted, j.denied, j.withdrawn, r.kind, coalesce(r.voice, j.id) AS voice
        FROM judgement j JOIN (
            SELECT id, kind, CASE WHEN kind <> 'external' THEN
                -min(id) OVER (PARTITION BY kind, name, CASE WHEN kind = 'human' THEN version END)
            END AS voice
            FROM rater WHERE excluded_at IS NULL
        ) r ON r.id = j.rater_id
        ORDER BY j.rater_id, j.text_id, j.external_ref, r.kind, j.revision DESC
    ) newest
    WHERE NOT withdrawn AND NOT EXISTS (
        SELECT FROM judgement later JOIN rater r ON r.id = later.rater_id
        WHERE later.supersedes IS NOT NULL AND later.supersedes = newest.id AND later.text_id = newest.text_id
            AND r.excluded_at IS NULL
    )
    ORDER BY text_id, voice, kind, id DESC
"""


def upgrade() -> None:
    op.create_index(
        "ix_judgement_supersedes", "judgement", ["supersedes"], postgresql_where=sa.text("supersedes IS NOT NULL")
    )
    op.execute(_VIEW)


def downgrade() -> None:
    op.execute("DROP VIEW current_judgement")
    op.drop_index("ix_judgement_supersedes", "judgement")
