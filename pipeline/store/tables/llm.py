"""The tables of language models' output: every paid reply, and translations."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, Double, ForeignKey, func, text
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.store.tables.core import Base, Json


class LlmReply(Base):
    """One reply of a language model. The same request is never sent twice: reading a stored reply costs nothing."""

    __tablename__ = "llm_reply"

    #: 128-bit BLAKE2b of the model, the prompt, the text and the parameters
    key: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    #: name of the rater that paid for it; budgets are counted by it
    rater: Mapped[str] = mapped_column(index=True)
    model: Mapped[str]
    #: hash of the prompt without the text
    prompt: Mapped[str]
    params: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    #: hash of the masked text that was judged or translated (`pipeline.texts.normalise.text_id`)
    source_id: Mapped[uuid.UUID] = mapped_column(index=True)
    reply: Mapped[str]
    #: the reason why the model stopped, from the server
    finish: Mapped[str | None]
    refusal: Mapped[str | None]
    #: the response format of the request: `schema`, `json`, `text`
    form: Mapped[str]
    prompt_tokens: Mapped[int] = mapped_column(server_default="0")
    completion_tokens: Mapped[int] = mapped_column(server_default="0")
    cost: Mapped[float] = mapped_column(Double(), server_default="0")
    seconds: Mapped[float]
    run_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("run.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Translation(Base):
    """A masked text in another language, by one translator."""

    __tablename__ = "translation"

    #: hash of the masked text; `text` need not have it, as files are translated too
    source_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    #: target language: `ms`, `en`
    language: Mapped[str] = mapped_column(primary_key=True)
    #: kind, name and version of the translator
    translator: Mapped[str] = mapped_column(primary_key=True)
    body: Mapped[str]
    run_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("run.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
