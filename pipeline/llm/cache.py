"""Replies that were paid for, kept in the store: looked up before a model is asked, and counted against budgets."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson
from sqlalchemy import and_, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import RaterKind
from pipeline.llm.config import LlmConfig
from pipeline.llm.replies import Form, Reply
from pipeline.texts.normalise import text_id


@dataclass(frozen=True, slots=True)
class Asked:
    """What makes two requests the same, apart from the text."""

    rater: str
    model: str
    #: hash of the prompt without the text
    prompt: str
    params: Mapping[str, Any]

    @classmethod
    def of(cls, config: LlmConfig, prompt: str) -> Asked:
        """As a configuration asks, with a prompt of that hash."""
        assert config.model is not None, "which model is found out first: see find_model"
        return cls(config.name, config.model, prompt, config.sampling.model_dump(exclude_none=True))

    def key(self, content: str) -> uuid.UUID:
        """Of the request with that text: 128-bit BLAKE2b of the model, the prompt, the parameters and the text."""
        same = orjson.dumps([self.model, self.prompt, self.params, content], option=orjson.OPT_SORT_KEYS)
        return uuid.UUID(bytes=hashlib.blake2b(same, digest_size=16).digest())


@dataclass(frozen=True, slots=True)
class PaidReply:
    """A reply that is to be kept."""

    asked: Asked
    key: uuid.UUID
    #: the masked text that it is about
    source: str
    reply: Reply
    cost: float


@dataclass(frozen=True, slots=True)
class Spent:
    """What replies took."""

    tokens: int = 0
    cost: float = 0.0


def kept_replies(session: Session, keys: Sequence[uuid.UUID]) -> dict[uuid.UUID, Reply]:
    """Those of the requests that were answered before, with the reply."""
    r = store.LlmReply
    rows = session.execute(
        select(r.key, r.reply, r.finish, r.refusal, r.prompt_tokens, r.completion_tokens, r.form, r.seconds).where(
            r.key == func.any(list(keys))
        )
    )
    return {
        row.key: Reply(
            row.reply,
            row.finish,
            row.refusal,
            row.prompt_tokens,
            row.completion_tokens,
            cast(Form, row.form),
            row.seconds,
        )
        for row in rows
    }


def keep_replies(session: Session, replies: Sequence[PaidReply], run_id: int | None) -> None:
    """Write replies down, in the caller's transaction; one that is there already stays."""
    if not replies:
        return
    rows = [
        {
            "key": one.key,
            "rater": one.asked.rater,
            "model": one.asked.model,
            "prompt": one.asked.prompt,
            "params": dict(one.asked.params),
            "source_id": text_id(one.source),
            "reply": _storable(one.reply.text),
            "finish": one.reply.finish,
            "refusal": _storable(one.reply.refusal) if one.reply.refusal is not None else None,
            "form": one.reply.form,
            "prompt_tokens": one.reply.prompt_tokens,
            "completion_tokens": one.reply.completion_tokens,
            "cost": one.cost,
            "seconds": one.reply.seconds,
            "run_id": run_id,
        }
        for one in replies
    ]
    session.execute(insert(store.LlmReply).on_conflict_do_nothing(), rows)


def spent_by(session: Session, rater: str) -> Spent:
    """What a rater's replies took so far, over all runs."""
    r = store.LlmReply
    tokens, cost = session.execute(
        select(
            func.coalesce(func.sum(r.prompt_tokens + r.completion_tokens), 0), func.coalesce(func.sum(r.cost), 0.0)
        ).where(r.rater == rater)
    ).one()
    return Spent(int(tokens), float(cost))


def spending(session: Session) -> dict[int, tuple[int, float]]:
    """Tokens and cost of every rater that is a language model, by its id: each version apart."""
    reply, rater = store.LlmReply, store.Rater
    sums = func.sum(reply.prompt_tokens + reply.completion_tokens), func.sum(reply.cost)
    same = (
        rater.kind == RaterKind.LLM,
        rater.name == reply.rater,
        rater.details["model"].astext == reply.model,
        rater.details["prompt"]["hash"].astext == reply.prompt,
        rater.details["sampling"] == reply.params,
    )
    rows = session.execute(select(rater.id, *sums).join(reply, and_(*same)).group_by(rater.id))
    return {id_: (int(tokens), float(cost)) for id_, tokens, cost in rows}


def _storable(text: str) -> str:
    """What PostgreSQL keeps: no zero bytes, no lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
