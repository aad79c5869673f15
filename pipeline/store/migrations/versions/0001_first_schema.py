"""The first schema.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    op.create_table(
        "encoder",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_encoder")),
    )
    op.create_table(
        "minhash_band",
        sa.Column("bucket", sa.BigInteger(), nullable=False),
        sa.Column("text_id", sa.Uuid(), nullable=False),
    )
    op.create_index(op.f("ix_minhash_band_bucket"), "minhash_band", ["bucket"], unique=False)
    op.create_table(
        "rater",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "human",
                "external",
                "llm",
                "classifier",
                "pseudo",
                "rule",
                "bootstrap",
                name="rater_kind",
                native_enum=False,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "details",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rater")),
        sa.UniqueConstraint("kind", "name", "version", name=op.f("uq_rater_kind_name_version")),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("slice", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "state",
            sa.Enum("running", "done", "failed", "cancelled", name="run_state", native_enum=False, length=16),
            nullable=False,
        ),
        sa.Column(
            "params",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "counts",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "checkpoint",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("progress_done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("progress_total", sa.BigInteger(), nullable=True),
        sa.Column("code_version", sa.Text(), server_default="", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "heartbeat_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    op.create_index(op.f("ix_run_stage_slice_started_at"), "run", ["stage", "slice", "started_at"], unique=False)
    op.create_table(
        "source",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("licence", sa.Text(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("redistributable", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
        sa.UniqueConstraint("name", name=op.f("uq_source_name")),
    )
    op.create_table(
        "text",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("masked", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("language_score", sa.REAL(), nullable=True),
        sa.Column("in_scope", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("duplicate_of", sa.Uuid(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["duplicate_of"], ["text.id"], name=op.f("fk_text_duplicate_of_text")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_text")),
    )
    op.create_index(
        op.f("ix_text_duplicate_of"),
        "text",
        ["duplicate_of"],
        unique=False,
        postgresql_where=sa.text("duplicate_of IS NOT NULL"),
    )
    op.create_table(
        "text_vector",
        sa.Column("encoder", sa.Text(), nullable=False),
        sa.Column("text_id", sa.Uuid(), nullable=False),
        sa.Column("embedding", HALFVEC(), nullable=False),
        sa.PrimaryKeyConstraint("encoder", "text_id", name=op.f("pk_text_vector")),
        postgresql_partition_by="LIST (encoder)",
    )
    op.create_table(
        "filter_decision",
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("text_id", sa.Uuid(), nullable=False),
        sa.Column("kept", sa.Boolean(), nullable=False),
        sa.Column("score", sa.REAL(), nullable=True),
        sa.Column("cut", sa.REAL(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_filter_decision_run_id_run")),
        sa.ForeignKeyConstraint(["text_id"], ["text.id"], name=op.f("fk_filter_decision_text_id_text")),
        sa.PrimaryKeyConstraint("stage", "label", "text_id", name=op.f("pk_filter_decision")),
    )
    op.create_index(op.f("ix_filter_decision_text_id"), "filter_decision", ["text_id"], unique=False)
    op.create_table(
        "judgement",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("rater_id", sa.Integer(), nullable=False),
        sa.Column("text_id", sa.Uuid(), nullable=False),
        sa.Column("external_ref", sa.Text(), server_default="", nullable=False),
        sa.Column("revision", sa.Integer(), server_default="0", nullable=False),
        sa.Column("asserted", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("denied", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "scores",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("explanation", sa.Text(), nullable=True),
        sa.Column("withdrawn", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("supersedes", sa.BigInteger(), nullable=True),
        sa.Column("taxonomy_version", sa.Text(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("NOT (asserted && denied)", name=op.f("ck_judgement_not_both")),
        sa.ForeignKeyConstraint(["rater_id"], ["rater.id"], name=op.f("fk_judgement_rater_id_rater")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_judgement_run_id_run")),
        sa.ForeignKeyConstraint(["supersedes"], ["judgement.id"], name=op.f("fk_judgement_supersedes_judgement")),
        sa.ForeignKeyConstraint(["text_id"], ["text.id"], name=op.f("fk_judgement_text_id_text")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_judgement")),
        sa.UniqueConstraint(
            "rater_id",
            "text_id",
            "external_ref",
            "revision",
            name=op.f("uq_judgement_rater_id_text_id_external_ref_revision"),
        ),
    )
    op.create_index("ix_judgement_asserted", "judgement", ["asserted"], unique=False, postgresql_using="gin")
    op.create_index(op.f("ix_judgement_text_id"), "judgement", ["text_id"], unique=False)
    op.create_table(
        "review",
        sa.Column("text_id", sa.Uuid(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("inclusion_probability", sa.REAL(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "inclusion_probability > 0 AND inclusion_probability <= 1", name=op.f("ck_review_probability")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_review_run_id_run")),
        sa.ForeignKeyConstraint(["text_id"], ["text.id"], name=op.f("fk_review_text_id_text")),
        sa.PrimaryKeyConstraint("text_id", "label", "reason", name=op.f("pk_review")),
    )
    op.create_table(
        "snapshot",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("policy", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_snapshot_run_id_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshot")),
        sa.UniqueConstraint("hash", name=op.f("uq_snapshot_hash")),
    )
    op.create_table(
        "text_sentiment",
        sa.Column("text_id", sa.Uuid(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("negative", sa.REAL(), nullable=False),
        sa.Column("neutral", sa.REAL(), nullable=False),
        sa.Column("positive", sa.REAL(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_text_sentiment_run_id_run")),
        sa.ForeignKeyConstraint(["text_id"], ["text.id"], name=op.f("fk_text_sentiment_text_id_text")),
        sa.PrimaryKeyConstraint("text_id", name=op.f("pk_text_sentiment")),
    )
    op.create_table(
        "text_source",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("text_id", sa.Uuid(), nullable=False),
        sa.Column("split", sa.Text(), nullable=True),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source_id", "external_id", name=op.f("pk_text_source")),
    )
    op.create_index(op.f("ix_text_source_text_id"), "text_source", ["text_id"], unique=False)
    op.create_table(
        "model",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "candidate",
                "champion",
                "retired",
                "rejected",
                name="model_state",
                native_enum=False,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("labels", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("thresholds", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("artefact_hash", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("snapshot_id", sa.Integer(), nullable=True),
        sa.Column("parent", sa.Text(), nullable=True),
        sa.Column("taxonomy_version", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["parent"], ["model.version"], name=op.f("fk_model_parent_model")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_model_run_id_run")),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name=op.f("fk_model_snapshot_id_snapshot")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_model")),
    )
    op.create_index(
        "uq_model_champion", "model", ["purpose"], unique=True, postgresql_where=sa.text("state = 'champion'")
    )
    # The ledger is append-only, whoever asks: not even an owner of the table changes a judgement by mistake.
    op.execute(
        """
        CREATE FUNCTION refuse_change_of_judgement() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'judgements are append-only: % refused; record a new revision instead', TG_OP
                USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER judgement_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON judgement
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_judgement()
        """
    )


def downgrade() -> None:
    op.drop_index("uq_model_champion", table_name="model", postgresql_where=sa.text("state = 'champion'"))
    op.drop_table("model")
    op.drop_index(op.f("ix_text_source_text_id"), table_name="text_source")
    op.drop_table("text_source")
    op.drop_table("text_sentiment")
    op.drop_table("snapshot")
    op.drop_table("review")
    op.drop_index(op.f("ix_judgement_text_id"), table_name="judgement")
    op.drop_index("ix_judgement_asserted", table_name="judgement", postgresql_using="gin")
    op.drop_table("judgement")
    op.execute("DROP FUNCTION refuse_change_of_judgement")
    op.drop_index(op.f("ix_filter_decision_text_id"), table_name="filter_decision")
    op.drop_table("filter_decision")
    op.drop_table("text_vector")
    op.drop_index(op.f("ix_text_duplicate_of"), table_name="text", postgresql_where=sa.text("duplicate_of IS NOT NULL"))
    op.drop_table("text")
    op.drop_table("source")
    op.drop_index(op.f("ix_run_stage_slice_started_at"), table_name="run")
    op.drop_table("run")
    op.drop_table("rater")
    op.drop_index(op.f("ix_minhash_band_bucket"), table_name="minhash_band")
    op.drop_table("minhash_band")
    op.drop_table("encoder")
