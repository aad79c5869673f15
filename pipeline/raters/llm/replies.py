"""What was answered before, kept in the store: the same question is never paid for twice."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.dialects.postgresql import insert

from pipeline import store
from pipeline.raters.llm.budget import cost
from pipeline.raters.llm.client import Reply
from pipeline.raters.llm.config import LLMConfig, Price
from pipeline.raters.llm.prompt import Message
from pipeline.store.session import open_session

_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens, in and out, and money."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0


def reply_key(model: str, messages: Sequence[Message], config: LLMConfig) -> uuid.UUID:
    """What tells one question from another: the model, every word that it is told, and how it draws its answer."""
    content = json.dumps([model, messages, config.sampling.model_dump(), config.structured], sort_keys=True)
    return uuid.UUID(bytes=hashlib.blake2b(content.encode(), digest_size=_KEY_BYTES).digest())


class Replies:
    """Replies in the store; each call is a transaction of its own, since what came was paid for."""

    def __init__(self, engine: Engine, *, purpose: str, model: str, price: Price) -> None:
        self._engine = engine
        self._purpose = purpose
        self._model = model
        self._price = price

    def known(self, keys: Sequence[uuid.UUID]) -> dict[uuid.UUID, Reply]:
        """Those of the questions that were answered before."""
        r = store.LLMReply
        columns = (r.id, r.content, r.refusal, r.finish_reason, r.prompt_tokens, r.completion_tokens)
        with open_session(self._engine) as session:
            rows = session.execute(select(*columns).where(r.id == func.any(list(keys)))).all()
        return {row[0]: Reply(*row) for row in rows}

    def save(self, replies: Sequence[Reply], *, run_id: int | None, rater_id: int | None) -> None:
        """Keep replies, by their keys."""
        if not replies:
            return
        rows: list[Mapping[str, Any]] = [
            {
                "id": one.key,
                "model": self._model,
                "purpose": self._purpose,
                "rater_id": rater_id,
                # PostgreSQL keeps no zero bytes
                "content": one.content.replace("\0", "") if one.content is not None else None,
                "refusal": one.refusal,
                "finish_reason": one.finish_reason,
                "prompt_tokens": one.prompt_tokens,
                "completion_tokens": one.completion_tokens,
                "cost": cost(self._price, one.prompt_tokens, one.completion_tokens),
                "run_id": run_id,
            }
            for one in replies
        ]
        with open_session(self._engine) as session, session.begin():
            session.execute(insert(store.LLMReply).on_conflict_do_nothing(), rows)

    def spent(self, run_id: int) -> Spent:
        """What a run has spent so far, in whatever process."""
        r = store.LLMReply
        sums = select(func.sum(r.prompt_tokens), func.sum(r.completion_tokens), func.sum(r.cost))
        with open_session(self._engine) as session:
            given, taken, money = session.execute(sums.where(r.run_id == run_id)).one()
        return Spent(int(given or 0), int(taken or 0), float(money or 0.0))
