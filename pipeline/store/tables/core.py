"""Every table of the store (docs/store.md has them in words).

Texts are identified by content, so that reading a file twice changes nothing. Judgements are append-only: the
database itself refuses to change or remove one (see the first migration). Every decision of a stage names its run.
"""

from __future__ import annotations

import enum
import uuid
from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Enum,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy import (
    Text as TextType,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pipeline.judgement import RaterKind

Timestamp = TIMESTAMP(timezone=True)
Json = dict[str, Any]


#: the words of a text as the search by words compares them, in SQL; an index is used only for this very expression
WORDS_OF_TEXT = "to_tsvector('simple'::regconfig, \"left\"(masked, 20000))"


class RunState(enum.StrEnum):
    """State of a run."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ModelState(enum.StrEnum):
    """State of a trained model."""

    CANDIDATE = "candidate"
    CHAMPION = "champion"
    RETIRED = "retired"
    REJECTED = "rejected"


def enum_column(kind: type[enum.StrEnum], name: str) -> Enum:
    """A column that holds the values of `kind` as text."""
    return Enum(
        kind,
        name=name,
        native_enum=False,
        length=16,
        values_callable=lambda e: [member.value for member in e],
    )


class Base(DeclarativeBase):
    """The base of all tables, with naming rules for constraints that migrations refer to."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 -- SQLAlchemy reads it from the class
        datetime: Timestamp,
        str: TextType(),
        Json: JSONB(),
        list[str]: ARRAY(TextType()),
        float: REAL(),
    }


class StoreKey(Base):
    """A secret of the store, made at first use."""

    __tablename__ = "store_key"

    #: its purpose
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[bytes]


class Source(Base):
    """A source of texts: a data set, a scrape."""

    __tablename__ = "source"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    licence: Mapped[str | None]
    url: Mapped[str | None]
    #: True: its texts may be published again; unknown counts as False
    redistributable: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Run(Base):
    """One execution of one stage."""

    __tablename__ = "run"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    stage: Mapped[str]
    #: the part of the data that it works on, for example a file; a stage has one run at a time on a slice
    slice: Mapped[str] = mapped_column(server_default="")
    state: Mapped[RunState] = mapped_column(enum_column(RunState, "run_state"))
    params: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    #: rows read, rows written, and rows rejected by reason
    counts: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    #: what a resumed run needs to continue
    checkpoint: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    progress_done: Mapped[int] = mapped_column(BigInteger, server_default="0")
    progress_total: Mapped[int | None] = mapped_column(BigInteger)
    code_version: Mapped[str] = mapped_column(server_default="")
    #: True: its work is spread over workers; False: one process does it, and holds a lock meanwhile
    on_workers: Mapped[bool] = mapped_column(server_default=text("false"))
    #: time at which somebody asked to cancel it
    cancel_asked_at: Mapped[datetime | None]
    #: the report of the stage
    result: Mapped[Json | None] = mapped_column(JSONB())
    error: Mapped[str | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    heartbeat_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        Index(None, "stage", "slice", "started_at"),
        # Few runs are at work, and those who follow them look every second.
        Index("ix_run_running", "id", postgresql_where=text("state = 'running'")),
        Index("ix_run_failed", "finished_at", postgresql_where=text("error IS NOT NULL")),
    )


class Text(Base):
    """One distinct text."""

    __tablename__ = "text"

    #: 128-bit BLAKE2b of the NFC-normalised, whitespace-collapsed text
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    #: the text as it was read, after repair; only exports for the text's owners may show it
    body: Mapped[str]
    #: the text with personal data masked: raters, models and volunteers see this one
    masked: Mapped[str]
    language: Mapped[str | None]
    language_score: Mapped[float | None]
    #: True: its language was in scope when it was read, and a source has it
    in_scope: Mapped[bool] = mapped_column(server_default=text("true"))
    #: the first stored text that it is a near-duplicate of; never a chain
    duplicate_of: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("text.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        Index(None, "duplicate_of", postgresql_where=text("duplicate_of IS NOT NULL")),
        # For the search by words. A longer text would make a list of words that PostgreSQL refuses.
        Index("ix_text_words", text(WORDS_OF_TEXT), postgresql_using="gin"),
    )


class ErasedText(Base):
    """A text whose words were erased. Its row in `text` stays, empty: the ledger names it, and it is not read again."""

    __tablename__ = "erased_text"

    text_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("text.id"), primary_key=True)
    #: the run that erased it, which has the reason
    run_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("run.id"))
    erased_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TextSource(Base):
    """One row of a source that had the text: its provenance.

    The only module that writes it, `pipeline.texts.write`, writes the text with it, and nothing removes a text. The
    rows of a source go when the source is removed (`pipeline.texts.removal`). So there are no foreign keys: checking
    them took a quarter of the database's time for ingest.
    """

    __tablename__ = "text_source"

    #: of `source`
    source_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    #: the source's id of the row, else file:line
    external_id: Mapped[str] = mapped_column(primary_key=True)
    #: of `text`
    text_id: Mapped[uuid.UUID] = mapped_column(index=True)
    #: the split in the source, such as `train` or `test`
    split: Mapped[str | None]
    #: the run that read it
    run_id: Mapped[int] = mapped_column(BigInteger)


class MinhashBand(Base):
    """One band of a text's MinHash signature; texts that share a bucket are compared in full."""

    __tablename__ = "minhash_band"

    #: hash of the band's number and its part of the signature
    bucket: Mapped[int] = mapped_column(BigInteger, index=True)
    text_id: Mapped[uuid.UUID] = mapped_column()

    # There are several rows for a text and no unique index in the database, as nothing depends on one.
    __mapper_args__ = {"primary_key": [bucket, text_id]}  # noqa: RUF012


class Rater(Base):
    """A rater: a person, a data set, a model or a rule that judges texts."""

    __tablename__ = "rater"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[RaterKind] = mapped_column(enum_column(RaterKind, "rater_kind"))
    name: Mapped[str]
    #: prompt hash, model version, Label Studio user id
    version: Mapped[str] = mapped_column(server_default="")
    details: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    #: time from which a maintainer excludes the rater's judgements from decisions, and the reason; None: they count
    excluded_at: Mapped[datetime | None]
    excluded_why: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (UniqueConstraint("kind", "name", "version"),)


class Judgement(Base):
    """One verdict of a rater on a text. A row is never changed or removed: a correction is a new row.

    The view `current_judgement` holds the current judgements of raters that are not excluded, by the same rule as
    `pipeline.ledger.resolve.current_judgements`.
    """

    __tablename__ = "judgement"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    rater_id: Mapped[int] = mapped_column(ForeignKey("rater.id"))
    text_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("text.id"))
    #: id of the judgement at its origin (an annotation id, a row id); empty where it has none
    external_ref: Mapped[str] = mapped_column(server_default="")
    revision: Mapped[int] = mapped_column(server_default="0")
    asserted: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    denied: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    #: probability or similarity of each label, where the rater gives one
    scores: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    explanation: Mapped[str | None]
    #: True: this row records that the rater withdrew the judgement
    withdrawn: Mapped[bool] = mapped_column(server_default=text("false"))
    supersedes: Mapped[int | None] = mapped_column(ForeignKey("judgement.id"))
    taxonomy_version: Mapped[str]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        UniqueConstraint("rater_id", "text_id", "external_ref", "revision"),
        CheckConstraint("NOT (asserted && denied)", name="not_both"),
        Index(None, "text_id"),
        Index("ix_judgement_asserted", "asserted", postgresql_using="gin"),
        Index(None, "rater_id", "created_at"),
        # Few rows supersede another, and the view looks for them.
        Index("ix_judgement_supersedes", "supersedes", postgresql_where=text("supersedes IS NOT NULL")),
    )


class Encoder(Base):
    """An encoder and its vector space."""

    __tablename__ = "encoder"

    name: Mapped[str] = mapped_column(primary_key=True)
    dimension: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: True: the stages use this space
    active: Mapped[bool] = mapped_column(server_default=text("false"))
    activated_at: Mapped[datetime | None]

    __table_args__ = (
        # The database allows one active encoder at a time.
        Index("uq_encoder_active", "active", unique=True, postgresql_where=text("active")),
    )


class Vector(Base):
    """The unit vector of one text in one encoder's space. Each encoder has its own partition."""

    # The table is not named `vector`: that is pgvector's type, and a table's row type must not have the same name.
    __tablename__ = "text_vector"

    encoder: Mapped[str] = mapped_column(primary_key=True)
    text_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    embedding: Mapped[Any] = mapped_column(HALFVEC())

    __table_args__ = {"postgresql_partition_by": "LIST (encoder)"}  # noqa: RUF012


class TextSentiment(Base):
    """Sentiment of a text: the probabilities that the sentiment classifier gives."""

    __tablename__ = "text_sentiment"

    text_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("text.id"), primary_key=True)
    #: version of the sentiment model
    model: Mapped[str]
    negative: Mapped[float]
    neutral: Mapped[float]
    positive: Mapped[float]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"))


class FilterDecision(Base):
    """The last decision of a filter on one asserted label of one text. Rejected labels are kept but do not count."""

    __tablename__ = "filter_decision"

    stage: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True)
    text_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("text.id"), primary_key=True)
    kept: Mapped[bool]
    score: Mapped[float | None]
    cut: Mapped[float | None]
    reason: Mapped[str]
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"))

    __table_args__ = (
        Index(None, "text_id"),
        # To find the texts next to a cut.
        Index(None, "stage", "label", "score"),
    )


class Review(Base):
    """A text that people should check, with the reason and its inclusion probability."""

    __tablename__ = "review"

    text_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("text.id"), primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True)
    #: for example `centroid_dropped`, `sentiment_dropped`, `pseudo_sample`
    reason: Mapped[str] = mapped_column(primary_key=True)
    inclusion_probability: Mapped[float]
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        CheckConstraint("inclusion_probability > 0 AND inclusion_probability <= 1", name="probability"),
        Index(None, "reason", "label"),
    )


class Snapshot(Base):
    """One frozen training set."""

    __tablename__ = "snapshot"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    #: hash of the rows, in order
    hash: Mapped[str] = mapped_column(unique=True)
    policy: Mapped[Json]
    counts: Mapped[Json]
    path: Mapped[str]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Model(Base):
    """One trained model; its files are in a folder named by its version."""

    __tablename__ = "model"

    version: Mapped[str] = mapped_column(primary_key=True)
    #: use of the model: `sfw`, `sentiment`, `pseudo:LABEL`
    purpose: Mapped[str]
    #: the backend that trained it: `linear`, `transformers`
    backend: Mapped[str]
    state: Mapped[ModelState] = mapped_column(enum_column(ModelState, "model_state"))
    labels: Mapped[list[str]]
    thresholds: Mapped[Json]
    metrics: Mapped[Json]
    artefact_hash: Mapped[str]
    path: Mapped[str]
    snapshot_id: Mapped[int | None] = mapped_column(ForeignKey("snapshot.id"))
    parent: Mapped[str | None] = mapped_column(ForeignKey("model.version"))
    taxonomy_version: Mapped[str]
    #: the reason for its state, as a sentence
    reason: Mapped[str | None]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        # The database allows one champion for each purpose.
        Index("uq_model_champion", "purpose", unique=True, postgresql_where=text("state = 'champion'")),
    )
