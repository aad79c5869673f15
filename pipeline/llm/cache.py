"""Paid replies in the store: they are looked up before a model is asked, and counted against budgets."""

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
from pipeline.storable import storable
from pipeline.texts.normalise import text_id


@dataclass(frozen=True, slots=True)
class Asked:
    """The identity of a request without its text: rater, model, prompt and parameters."""

    rater: str
    model: str
    #: hash of the prompt without the text
    prompt: str
    params: Mapping[str, Any]

    @classmethod
    def of(cls, config: LlmConfig, prompt: str) -> Asked:
        """The identity of requests by a configuration, with a prompt of that hash."""
        assert config.model is not None, "the model must be known: see find_model"
        return cls(config.name, config.model, prompt, config.params)

    def key(self, content: str) -> uuid.UUID:
        """The key of the request with that text: 128-bit BLAKE2b of the model, the prompt, the parameters, the text."""
        same = orjson.dumps([self.model, self.prompt, self.params, content], option=orjson.OPT_SORT_KEYS)
        return uuid.UUID(bytes=hashlib.blake2b(same, digest_size=16).digest())


@dataclass(frozen=True, slots=True)
class PaidReply:
    """A paid reply to store."""

    asked: Asked
    key: uuid.UUID
    #: the masked text that was judged or translated
    source: str
    reply: Reply
    cost: float


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens and cost of replies."""

    tokens: int = 0
    cost: float = 0.0


def kept_replies(session: Session, keys: Sequence[uuid.UUID]) -> dict[uuid.UUID, Reply]:
    """Stored replies of those requests that have one, by key."""
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
    """Store replies in the caller's transaction; a reply that is stored already stays."""
    if not replies:
        return
    rows = [
        {
            "key": paid.key,
            "rater": paid.asked.rater,
            "model": paid.asked.model,
            "prompt": paid.asked.prompt,
            "params": dict(paid.asked.params),
            "source_id": text_id(paid.source),
            "reply": storable(paid.reply.text),
            "finish": storable(paid.reply.finish) if paid.reply.finish is not None else None,
            "refusal": storable(paid.reply.refusal) if paid.reply.refusal is not None else None,
            "form": paid.reply.form,
            "prompt_tokens": paid.reply.prompt_tokens,
            "completion_tokens": paid.reply.completion_tokens,
            "cost": paid.cost,
            "seconds": paid.reply.seconds,
            "run_id": run_id,
        }
        for paid in replies
    ]
    session.execute(insert(store.LlmReply).on_conflict_do_nothing(), rows)


def spent_by(session: Session, rater: str) -> Spent:
    """Tokens and cost of a rater's replies so far, over all runs."""
    r = store.LlmReply
    tokens, cost = session.execute(
        select(
            func.coalesce(func.sum(r.prompt_tokens + r.completion_tokens), 0), func.coalesce(func.sum(r.cost), 0.0)
        ).where(r.rater == rater)
    ).one()
    return Spent(int(tokens), float(cost))


def spending(session: Session) -> dict[int, tuple[int, float]]:
    """Tokens and cost of every rater that is a language model, by its id; each version is a rater of its own."""
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
