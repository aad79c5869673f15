"""The language model as a rater: it judges each text once, and turns replies into verdicts."""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement
from pipeline.llm.budget import Allowance, Budget
from pipeline.llm.cache import Asked, PaidReply, kept_replies, spent_by
from pipeline.llm.client import LlmClient
from pipeline.llm.config import LlmConfig
from pipeline.llm.replies import Form, NoReply, Reply
from pipeline.llm.runner import Ask, answers
from pipeline.llm.translation.protocol import Translator
from pipeline.llm.translation.translate import translated
from pipeline.raters.llm.prompt import Prompt
from pipeline.raters.llm.reply import LabelNames, Unusable, parse_reply
from pipeline.raters.protocol import Answers, NoVerdict, TextToJudge
from pipeline.store.session import open_session
from pipeline.taxonomy import Taxonomy

#: name of the method; it changes with the reading of replies, so that old judgements belong to another version
_METHOD = "llm-1"


@dataclass(frozen=True, slots=True)
class _Question:
    key: uuid.UUID
    content: str


class LlmRater:
    """One language model with one prompt.

    Verdicts: the labels in its list are asserted, with its confidence as their score if it gives one. The other labels
    of the prompt are denied, unless its list has names that are not labels, since these may mean any of them.

    Args:
        config: the model (which must be named: see `find_model`), its prompt and its limits.
        taxonomy: the labels.
        engine: the store, which keeps replies.
        translator: the translator, for a prompt with translations.
    """

    needs_vectors = False

    def __init__(
        self, config: LlmConfig, taxonomy: Taxonomy, engine: Engine, *, translator: Translator | None = None
    ) -> None:
        self._config, self._engine = config, engine
        self._prompt = Prompt(taxonomy, config.prompt)
        self._names = LabelNames.of(taxonomy, self._prompt.labels)
        self._translator = translator if config.prompt.text != "original" else None
        by = self._translator.name if self._translator is not None else ""
        self._asked = Asked.of(config, self._prompt.version)
        same = orjson.dumps(
            [_METHOD, self._asked.model, self._asked.prompt, self._asked.params, by], option=orjson.OPT_SORT_KEYS
        )
        self._ref = RaterRef(RaterKind.LLM, config.name, hashlib.blake2b(same, digest_size=6).hexdigest())
        # Learned from the server once, and kept for the next texts.
        self._form: Form | None = None
        self._window: int | None = None

    @property
    def ref(self) -> RaterRef:
        """Kind, name and version: the version changes with the model, the prompt, the sampling and the translator."""
        return self._ref

    @property
    def details(self) -> Mapping[str, Any]:
        """Model, prompt and parameters; no key, and no address that may hold one."""
        prompt = self._config.prompt.model_dump(exclude_none=True) | {"hash": self._prompt.version}
        return {
            "method": _METHOD,
            "model": self._asked.model,
            "prompt": prompt,
            "sampling": dict(self._asked.params),
            "taxonomy": self._prompt.taxonomy.version,
            "translator": self._translator.name if self._translator is not None else None,
        }

    def allowance(self, session: Session, tokens: int | None, cost: float | None) -> Allowance:
        """See `StreamingRater`."""
        return Allowance.of(self._config, spent_by(session, self._config.name), tokens, cost)

    def judge(self, texts: Sequence[TextToJudge]) -> Iterator[NewJudgement | NoVerdict]:
        """See `Rater`. Replies are not stored; the stage calls `stream`."""
        for batch in self.stream([texts], Allowance(), 0):
            yield from batch.given

    def stream(self, texts: Iterable[Sequence[TextToJudge]], budget: Allowance, run_id: int) -> Iterator[Answers]:
        """See `StreamingRater`.

        Raises:
            LlmError: the server refuses the key.
            LlmUnavailable: the server does not answer any more.
        """
        return _Stream(self, budget, run_id).answers(texts)

    def verdict(self, text_id: uuid.UUID, reply: Reply) -> tuple[NewJudgement | NoVerdict, tuple[str, ...]]:
        """The verdict of a reply on a text, and the names in it that are not labels."""
        parsed = parse_reply(reply.text, self._names, finish=reply.finish, refusal=reply.refusal)
        if isinstance(parsed, Unusable):
            return NoVerdict(text_id, parsed.reason), parsed.invented
        sure = parsed.confidence
        scores = {} if sure is None else dict.fromkeys(sorted(parsed.labels), round(sure, 4))
        denied = frozenset[str]() if parsed.invented else self._names.asked - parsed.labels
        return NewJudgement(text_id, parsed.labels, denied, scores, parsed.explanation), parsed.invented

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Ask[_Question, tuple[_Question, Reply | NoReply]]]:
        client = LlmClient(self._config, schema=self._prompt.schema, form=self._form, window=self._window)

        async def ask(question: _Question) -> tuple[_Question, Reply | NoReply]:
            return question, await client.ask(self._prompt.messages(question.content))

        try:
            yield ask
        finally:
            self._form, self._window = client.form, client.limiter.window
            await client.close()


class _Stream:
    """One call of `stream`: stored replies, new requests, and the texts of each."""

    def __init__(self, rater: LlmRater, allowance: Allowance, run_id: int) -> None:
        self._rater, self._run_id = rater, run_id
        self._config, self._asked = rater._config, rater._asked
        self._budget = Budget(self._config, allowance, self._look)
        #: texts that wait for an answer, by the request's key: equal masked texts share a request
        self._whose: dict[uuid.UUID, list[TextToJudge]] = defaultdict(list)
        #: texts of the current portion whose request is not sent yet, by key
        self._next: dict[uuid.UUID, list[TextToJudge]] = {}
        self._known: list[Answers] = []
        self._stopped: str | None = None

    def answers(self, texts: Iterable[Sequence[TextToJudge]]) -> Iterator[Answers]:
        ahead = 2 * self._config.limits.concurrency
        for batch in answers(self._questions(texts), self._rater._asking, ahead=ahead):
            yield from self._take_known()
            if batch:
                yield self._read(batch)
            # The caller has committed the last answers when it takes the next.
            self._budget.look_again()
        yield from self._take_known()
        if self._stopped is not None:
            yield Answers([], counts={"stopped": self._stopped})

    def _questions(self, texts: Iterable[Sequence[TextToJudge]]) -> Iterator[_Question | None]:
        """The requests to send; None where the budget allows no more before the next answer."""
        overhead = len(self._rater._prompt.system)
        for portion in texts:
            for question in self._unanswered(portion):
                while (why := self._budget.refusal(len(self._whose), overhead + len(question.content))) is not None:
                    if not self._whose:
                        self._stopped = why
                        return
                    yield None
                for text in self._next.pop(question.key):
                    self._whose[question.key].append(text)
                yield question
            if self._known:
                yield None

    def _unanswered(self, portion: Sequence[TextToJudge]) -> list[_Question]:
        """The requests for texts without a stored reply; stored replies are given by `_take_known`."""
        translations: Mapping[str, str] = {}
        if self._rater._translator is not None:
            masked = [text.masked for text in portion]
            translations = translated(
                self._rater._engine, self._rater._translator, masked, self._config.prompt.language, run_id=self._run_id
            )
        questions: dict[uuid.UUID, _Question] = {}
        self._next = defaultdict(list)
        without: list[NewJudgement | NoVerdict] = []
        for text in portion:
            if self._rater._translator is not None and text.masked not in translations:
                without.append(NoVerdict(text.id, "no translation"))
                continue
            content = self._rater._prompt.content(text.masked, translations.get(text.masked))
            key = self._asked.key(content)
            if key in self._whose:
                self._whose[key].append(text)
                continue
            questions[key] = _Question(key, content)
            self._next[key].append(text)
        if without:
            self._known.append(Answers(without))
        with open_session(self._rater._engine) as session:
            kept = kept_replies(session, list(questions))
        if kept:
            self._known.append(
                self._verdicts([(self._next.pop(key), reply) for key, reply in kept.items()], cached=True)
            )
        return [question for key, question in questions.items() if key not in kept]

    def _take_known(self) -> list[Answers]:
        taken, self._known = self._known, []
        return taken

    def _read(self, batch: Sequence[tuple[_Question, Reply | NoReply]]) -> Answers:
        given: list[NewJudgement | NoVerdict] = []
        replied: list[tuple[list[TextToJudge], Reply]] = []
        paid: list[PaidReply] = []
        for question, reply in batch:
            texts = self._whose.pop(question.key)
            if isinstance(reply, NoReply):
                given += [NoVerdict(text.id, reply.reason) for text in texts]
                continue
            cost = self._config.price.of(reply.prompt_tokens, reply.completion_tokens)
            self._budget.paid(reply.prompt_tokens + reply.completion_tokens, cost)
            paid.append(PaidReply(self._asked, question.key, texts[0].masked, reply, cost))
            replied.append((texts, reply))
        read = self._verdicts(replied)
        counts = dict(read.counts) | {
            "replies": len(paid),
            "tokens": sum(each.reply.prompt_tokens + each.reply.completion_tokens for each in paid),
            "cost": sum(each.cost for each in paid),
        }
        return Answers([*given, *read.given], paid, counts)

    def _verdicts(self, replied: Sequence[tuple[Sequence[TextToJudge], Reply]], *, cached: bool = False) -> Answers:
        given: list[NewJudgement | NoVerdict] = []
        invented: Counter[str] = Counter()
        for texts, reply in replied:
            for text in texts:
                verdict, names = self._rater.verdict(text.id, reply)
                given.append(verdict)
                invented.update(names)
        counts: dict[str, Any] = {"invented": dict(invented)} if invented else {}
        return Answers(given, counts=counts | ({"cached": len(given)} if cached else {}))

    def _look(self) -> Any:
        with open_session(self._rater._engine) as session:
            return spent_by(session, self._config.name)
