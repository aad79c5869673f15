"""Texts whose words were erased; the explanations of their judgements may be erased too, and nothing else of them.

Revision ID: 0029
Revises: 0028
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "erased_text",
        sa.Column("text_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("erased_at", TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["text_id"], ["text.id"], name=op.f("fk_erased_text_text_id_text")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_erased_text_run_id_run")),
        sa.PrimaryKeyConstraint("text_id", name=op.f("pk_erased_text")),
    )
    op.execute("DROP TRIGGER judgement_append_only ON judgement")
    op.execute(
        """
        CREATE TRIGGER judgement_append_only
        BEFORE DELETE OR TRUNCATE OR UPDATE OF id, rater_id, text_id, external_ref, revision, asserted, denied, scores,
            withdrawn, supersedes, taxonomy_version, run_id, created_at
        ON judgement FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_judgement()
        """
    )
    op.execute(
        """
        CREATE FUNCTION refuse_change_of_judgement_but_erasure() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.explanation IS NULL AND to_jsonb(NEW) - 'explanation' = to_jsonb(OLD) - 'explanation'
                AND EXISTS (SELECT FROM erased_text WHERE text_id = OLD.text_id)
            THEN
                RETURN NEW;
            END IF;
            RAISE EXCEPTION 'judgements are append-only: % refused; record a new revision instead', TG_OP
                USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER judgement_unchanged BEFORE UPDATE ON judgement
        FOR EACH ROW EXECUTE FUNCTION refuse_change_of_judgement_but_erasure()
        """
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER judgement_unchanged ON judgement")
    op.execute("DROP FUNCTION refuse_change_of_judgement_but_erasure")
    op.execute("DROP TRIGGER judgement_append_only ON judgement")
    op.execute(
        """
        CREATE TRIGGER judgement_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON judgement
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_judgement()
        """
    )
    op.drop_table("erased_text")
