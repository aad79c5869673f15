"""The human loop.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rater", sa.Column("excluded_at", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.add_column("rater", sa.Column("excluded_why", sa.Text(), nullable=True))
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("label_studio_project", sa.Integer(), nullable=True),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("handled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    op.create_index("ix_event_unhandled", "event", ["id"], unique=False, postgresql_where=sa.text("handled_at IS NULL"))
    op.create_table(
        "prediction",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("text_id", sa.Uuid(), nullable=False),
        sa.Column("labels", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("scores", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "why", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.PrimaryKeyConstraint("project_id", "version", "text_id", name=op.f("pk_prediction")),
    )
    op.create_table(
        "project",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("label_studio_id", sa.Integer(), nullable=False),
        sa.Column("label_studio_created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.Enum("open", "gone", name="project_state", native_enum=False, length=16),
            server_default="open",
            nullable=False,
        ),
        sa.Column("volunteer", sa.Text(), nullable=True),
        sa.Column("opt_out", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("harsh_cap", sa.Integer(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project")),
        sa.UniqueConstraint(
            "url",
            "label_studio_id",
            "label_studio_created_at",
            name=op.f("uq_project_url_label_studio_id_label_studio_created_at"),
        ),
    )
    op.create_table(
        "annotation",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("label_studio_id", sa.Integer(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("text_id", sa.Uuid(), nullable=False),
        sa.Column("rater_id", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "submitted",
                "skipped",
                "undecided",
                "empty",
                "invalid",
                "deleted",
                name="annotation_state",
                native_enum=False,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("chosen", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("unknown", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("predicted", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("prediction_version", sa.Text(), nullable=True),
        sa.Column(
            "change", sa.Enum("kept", "changed", "scratch", name="change", native_enum=False, length=16), nullable=False
        ),
        sa.Column("lead_time", sa.REAL(), nullable=True),
        sa.Column("blind", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column(
            "first_seen_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_annotation_project_id_project")),
        sa.ForeignKeyConstraint(["rater_id"], ["rater.id"], name=op.f("fk_annotation_rater_id_rater")),
        sa.ForeignKeyConstraint(["text_id"], ["text.id"], name=op.f("fk_annotation_text_id_text")),
        sa.PrimaryKeyConstraint("project_id", "label_studio_id", "created_at", name=op.f("pk_annotation")),
    )
    op.create_index(op.f("ix_annotation_project_id_task_id"), "annotation", ["project_id", "task_id"], unique=False)
    op.create_index(op.f("ix_annotation_text_id"), "annotation", ["text_id"], unique=False)
    op.create_table(
        "prediction_batch",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("champion", sa.Text(), nullable=True),
        sa.Column(
            "policy", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("sent", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("shown_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_prediction_batch_project_id_project")),
        sa.PrimaryKeyConstraint("project_id", "version", name=op.f("pk_prediction_batch")),
    )
    op.create_table(
        "project_config",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("since", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("taxonomy_version", sa.Text(), nullable=False),
        sa.Column("labels", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_project_config_project_id_project")),
        sa.PrimaryKeyConstraint("project_id", "since", name=op.f("pk_project_config")),
    )
    op.create_table(
        "queue_item",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("text_id", sa.Uuid(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("inclusion_probability", sa.REAL(), nullable=False),
        sa.Column("priority", sa.REAL(), nullable=False),
        sa.Column("blind", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("harsh", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("expected", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("gold", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "state",
            sa.Enum("queued", "pushed", "dropped", name="queue_state", native_enum=False, length=16),
            server_default="queued",
            nullable=False,
        ),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "inclusion_probability > 0 AND inclusion_probability <= 1", name=op.f("ck_queue_item_probability")
        ),
        sa.CheckConstraint("priority >= 0 AND priority <= 1", name=op.f("ck_queue_item_priority")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_queue_item_run_id_run")),
        sa.ForeignKeyConstraint(["text_id"], ["text.id"], name=op.f("fk_queue_item_text_id_text")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queue_item")),
    )
    op.create_index(
        "uq_queue_item_queued", "queue_item", ["text_id"], unique=True, postgresql_where=sa.text("state = 'queued'")
    )
    op.create_table(
        "sync_cursor",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("watermark", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("looked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("reconciled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_sync_cursor_project_id_project")),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_sync_cursor")),
    )
    op.create_table(
        "task",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("text_id", sa.Uuid(), nullable=False),
        sa.Column("label_studio_id", sa.Integer(), nullable=True),
        sa.Column("queue_item_id", sa.BigInteger(), nullable=True),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("inclusion_probability", sa.REAL(), nullable=False),
        sa.Column("priority", sa.REAL(), server_default="0", nullable=False),
        sa.Column("blind", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("harsh", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("gold", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("paired", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("overlap", sa.Integer(), server_default="1", nullable=False),
        sa.Column(
            "state",
            sa.Enum("pushing", "open", "done", "gone", name="task_state", native_enum=False, length=16),
            nullable=False,
        ),
        sa.Column("batch", sa.Text(), server_default="", nullable=False),
        sa.Column("pushed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "inclusion_probability > 0 AND inclusion_probability <= 1", name=op.f("ck_task_probability")
        ),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_task_project_id_project")),
        sa.ForeignKeyConstraint(["queue_item_id"], ["queue_item.id"], name=op.f("fk_task_queue_item_id_queue_item")),
        sa.ForeignKeyConstraint(["text_id"], ["text.id"], name=op.f("fk_task_text_id_text")),
        sa.PrimaryKeyConstraint("project_id", "text_id", name=op.f("pk_task")),
        sa.UniqueConstraint("project_id", "label_studio_id", name=op.f("uq_task_project_id_label_studio_id")),
    )
    op.create_index(op.f("ix_task_text_id"), "task", ["text_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_task_text_id"), table_name="task")
    op.drop_table("task")
    op.drop_table("sync_cursor")
    op.drop_index("uq_queue_item_queued", table_name="queue_item", postgresql_where=sa.text("state = 'queued'"))
    op.drop_table("queue_item")
    op.drop_table("project_config")
    op.drop_table("prediction_batch")
    op.drop_index(op.f("ix_annotation_text_id"), table_name="annotation")
    op.drop_index(op.f("ix_annotation_project_id_task_id"), table_name="annotation")
    op.drop_table("annotation")
    op.drop_table("project")
    op.drop_table("prediction")
    op.drop_index("ix_event_unhandled", table_name="event", postgresql_where=sa.text("handled_at IS NULL"))
    op.drop_table("event")
    op.drop_column("rater", "excluded_why")
    op.drop_column("rater", "excluded_at")
