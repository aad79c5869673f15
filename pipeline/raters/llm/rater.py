"""The language model as a rater: it judges each text once, and turns replies into verdicts."""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement
from pipeline.llm.asker import Asker, Batch, Question
from pipeline.llm.budget import Allowance
from pipeline.llm.cache import Asked, spent_by
from pipeline.llm.config import LlmConfig
from pipeline.llm.replies import NoReply, Reply
from pipeline.llm.translation.protocol import Translator
from pipeline.llm.translation.translate import translated
from pipeline.raters.llm.prompt import Prompt
from pipeline.raters.llm.reply import LabelNames, Unusable, parse_reply
from pipeline.raters.protocol import Answers, NoVerdict, TextToJudge
from pipeline.taxonomy import Taxonomy

#: name of the method; it changes with the reading of replies, so that old judgements belong to another version
_METHOD = "llm-2"


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
        self._asker = Asker(config, engine, self._asked, system=self._prompt.system, schema=self._prompt.schema)

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
        """See `Rater`. Replies are stored without a run; the stage calls `stream`."""
        for batch in self.stream([texts], Allowance(), 0):
            yield from batch.given

    def stream(self, texts: Iterable[Sequence[TextToJudge]], budget: Allowance, run_id: int) -> Iterator[Answers]:
        """See `StreamingRater`.

        Raises:
            LlmError: the server refuses the key.
            LlmUnavailable: the server does not answer any more.
        """
        return _Stream(self, budget, run_id).answers(texts)

    def unpaid(self, masked: Sequence[str]) -> int:
        """The number of requests that these masked texts take, without those whose replies are stored.

        With a translator it is at most that number: a text that is not translated yet counts as one.
        """
        if self._translator is not None:
            return len(set(masked))
        questions: dict[uuid.UUID, Question] = {}
        for text in masked:
            content = self._prompt.content(text)
            key = self._asked.key(content)
            questions[key] = Question(key, text, content)
        return len(questions) - len(self._asker.kept(list(questions.values())))

    def verdict(self, text_id: uuid.UUID, reply: Reply) -> tuple[NewJudgement | NoVerdict, tuple[str, ...]]:
        """The verdict of a reply on a text, and the names in it that are not labels."""
        parsed = parse_reply(reply.text, self._names, finish=reply.finish, refusal=reply.refusal)
        if isinstance(parsed, Unusable):
            return NoVerdict(text_id, parsed.reason), parsed.invented
        sure = parsed.confidence
        scores = {} if sure is None else dict.fromkeys(sorted(parsed.labels), round(sure, 4))
        denied = frozenset[str]() if parsed.invented else self._names.asked - parsed.labels
        return NewJudgement(text_id, parsed.labels, denied, scores, parsed.explanation), parsed.invented


class _Stream:
    """One call of `stream`: the texts of each question, and the answers that are known without a request."""

    def __init__(self, rater: LlmRater, allowance: Allowance, run_id: int) -> None:
        self._rater, self._allowance, self._run_id = rater, allowance, run_id
        #: texts that wait for an answer, by the question's key: equal masked texts share a request
        self._whose: dict[uuid.UUID, list[TextToJudge]] = defaultdict(list)
        self._known: list[Answers] = []

    def answers(self, texts: Iterable[Sequence[TextToJudge]]) -> Iterator[Answers]:
        for batch in self._rater._asker.ask(self._questions(texts), self._allowance, run_id=self._run_id):
            known, self._known = self._known, []
            yield from known
            if batch.answers:
                yield self._read(batch)
            if batch.noted:
                yield Answers([], counts={"adapted": dict.fromkeys(batch.noted, 1)})
            if batch.stopped is not None:
                yield Answers([], counts={"stopped": batch.stopped})

    def _questions(self, texts: Iterable[Sequence[TextToJudge]]) -> Iterator[Question | None]:
        for portion in texts:
            yield from self._unanswered(portion)
            if self._known:
                yield None

    def _unanswered(self, portion: Sequence[TextToJudge]) -> list[Question]:
        """The questions without a stored reply; the other texts' answers are known."""
        rater = self._rater
        translations: Mapping[str, str] = {}
        if rater._translator is not None:
            masked = [text.masked for text in portion]
            translations = translated(
                rater._engine, rater._translator, masked, rater._config.prompt.language, run_id=self._run_id
            )
        questions: dict[uuid.UUID, Question] = {}
        without: list[NewJudgement | NoVerdict] = []
        for text in portion:
            if rater._translator is not None and text.masked not in translations:
                without.append(NoVerdict(text.id, "no translation"))
                continue
            content = rater._prompt.content(text.masked, translations.get(text.masked))
            key = rater._asked.key(content)
            if key not in self._whose:
                questions[key] = Question(key, text.masked, content)
            self._whose[key].append(text)
        if without:
            self._known.append(Answers(without))
        kept = rater._asker.kept(list(questions.values()))
        if kept:
            self._known.append(
                self._verdicts([(self._whose.pop(key), reply) for key, reply in kept.items()], cached=True)
            )
        return [question for key, question in questions.items() if key not in kept]

    def _read(self, batch: Batch) -> Answers:
        given: list[NewJudgement | NoVerdict] = []
        replied: list[tuple[list[TextToJudge], Reply]] = []
        for question, reply in batch.answers:
            texts = self._whose.pop(question.key)
            if isinstance(reply, NoReply):
                given += [NoVerdict(text.id, reply.reason) for text in texts]
            else:
                replied.append((texts, reply))
        read = self._verdicts(replied)
        counts = dict(read.counts) | {
            "replies": len(batch.paid),
            "tokens": sum(each.reply.prompt_tokens + each.reply.completion_tokens for each in batch.paid),
            "cost": sum(each.cost for each in batch.paid),
        }
        if estimated := sum(each.reply.estimated for each in batch.paid):
            counts["estimated"] = estimated
        return Answers([*given, *read.given], counts=counts)

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
