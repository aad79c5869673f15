"""Questions to a language model, many at a time: stored replies first, then requests within a budget."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from pipeline.llm.budget import Allowance, Budget
from pipeline.llm.cache import Asked, PaidReply, Spent, keep_replies, kept_replies, spent_by
from pipeline.llm.client import LlmClient
from pipeline.llm.config import LlmConfig
from pipeline.llm.dialect import Dialect
from pipeline.llm.replies import NoReply, Reply
from pipeline.llm.runner import Ask, answers
from pipeline.store.session import open_session


@dataclass(frozen=True, slots=True)
class Question:
    """A request about one text."""

    #: see `Asked.key`
    key: uuid.UUID
    #: the masked text that is judged or translated
    source: str
    #: the user's message
    content: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Answers that arrived together; none where the caller asked for a pause."""

    answers: Sequence[tuple[Question, Reply | NoReply]] = ()
    #: paid replies, which are stored already
    paid: Sequence[PaidReply] = ()
    #: changes of the requests that the server made necessary, for people
    noted: Sequence[str] = ()
    #: the reason why no more requests were sent, in the last batch only
    stopped: str | None = None


class Asker:
    """One language model with one set of instructions.

    Args:
        config: the model (which must be named: see `find_model`) and its limits.
        engine: the store, which keeps replies.
        asked: the identity of the requests.
        system: the instructions, the same for every question.
        schema: the JSON schema of replies.
    """

    def __init__(
        self, config: LlmConfig, engine: Engine, asked: Asked, *, system: str, schema: Mapping[str, Any]
    ) -> None:
        self._config, self._engine, self.asked = config, engine, asked
        self._system = system
        # Learned from the server once, and kept for the next questions.
        self._dialect = Dialect(config, schema)
        self._window: int | None = None

    def kept(self, questions: Sequence[Question]) -> dict[uuid.UUID, Reply]:
        """Stored replies of those questions that have one, by key."""
        with open_session(self._engine) as session:
            return kept_replies(session, [question.key for question in questions])

    def ask(
        self, questions: Iterable[Question | None], allowance: Allowance, *, run_id: int | None = None
    ) -> Iterator[Batch]:
        """Send requests, and give their answers as they arrive, in any order.

        Paid replies are in the store before they are given: whatever comes of reading them, they are not lost.

        Args:
            questions: read when they are needed, no two with the same key asked at once; None: give a batch, which may
                be empty, before more questions are read.
            allowance: limits over all runs; questions beyond them get no answer.
            run_id: id of the run that pays; None: there is none.

        Raises:
            LlmError: the server refuses the key.
            LlmUnavailable: the server does not answer any more.
        """
        budget = Budget(self._config, allowance, lambda: spent_so_far(self._engine, self._config.name))
        under_way: set[uuid.UUID] = set()
        stopped: str | None = None
        known = len(self._dialect.notes)
        instructions = _size(self._system)

        def allowed() -> Iterator[Question | None]:
            nonlocal stopped
            for question in questions:
                if question is None:
                    yield None
                    continue
                while (why := budget.refusal(len(under_way), instructions + _size(question.content))) is not None:
                    if not under_way:
                        stopped = why
                        return
                    yield None
                under_way.add(question.key)
                yield question

        for replied in answers(allowed(), self._asking, ahead=2 * self._config.limits.concurrency):
            paid: list[PaidReply] = []
            for question, reply in replied:
                under_way.discard(question.key)
                if (bought := reply if isinstance(reply, Reply) else reply.paid) is not None:
                    cost = self._config.price.of(bought.prompt_tokens, bought.completion_tokens)
                    budget.paid(bought.prompt_tokens + bought.completion_tokens, cost)
                    # What is no answer is kept for the sums, under a key that no question has.
                    key = question.key if bought is reply else uuid.uuid4()
                    paid.append(PaidReply(self.asked, key, question.source, bought, cost))
            self._keep(paid, run_id)
            noted, known = self._dialect.notes[known:], len(self._dialect.notes)
            yield Batch(replied, paid, noted)
            budget.look_again()
        if stopped is not None:
            yield Batch(stopped=stopped)

    def _keep(self, paid: Sequence[PaidReply], run_id: int | None) -> None:
        if paid:
            with open_session(self._engine) as session, session.begin():
                keep_replies(session, paid, run_id or None)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Ask[Question, tuple[Question, Reply | NoReply]]]:
        client = LlmClient(self._config, dialect=self._dialect, window=self._window)

        async def ask(question: Question) -> tuple[Question, Reply | NoReply]:
            return question, await client.ask(messages(self._system, question.content))

        try:
            yield ask
        finally:
            self._window = client.limiter.window
            await client.close()


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def messages(system: str, content: str) -> list[dict[str, str]]:
    """The messages of a request: the instructions, then the content."""
    return [{"role": "system", "content": system}, {"role": "user", "content": content}]


def spent_so_far(engine: Engine, rater: str) -> Spent:
    """Tokens and cost of a rater's replies in the store now, over all runs."""
    with open_session(engine) as session:
        return spent_by(session, rater)
