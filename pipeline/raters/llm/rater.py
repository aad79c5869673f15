"""A language model as a rater."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Engine

from pipeline.ledger.book import NewJudgement
from pipeline.ledger.rater_kind import RaterKind
from pipeline.ledger.resolve import RaterRef
from pipeline.raters.llm.asking import Answered, Question, ask
from pipeline.raters.llm.budget import Budget
from pipeline.raters.llm.client import Failure, LLMClient, Reply
from pipeline.raters.llm.config import LLMConfig
from pipeline.raters.llm.prompt import Prompt
from pipeline.raters.llm.replies import Replies
from pipeline.raters.llm.reply import Outcome, Reading, read_reply
from pipeline.raters.protocol import Batch, NoVerdict, TextToJudge, Work
from pipeline.taxonomy import Taxonomy

#: what stands for the confidence that a reply doesn't give
_UNSAID = 0.5


class LLMRater:
    """Asks a model about every text, and asserts what it names.

    It is asked about all labels, so a whole answer denies those that it doesn't name; one that was cut short, or names
    a label that doesn't exist, denies nothing. The score of an asserted label is the answer's confidence, that of a
    denied one its complement: a model says how sure it is of the answer, not of each label.
    """

    needs_vectors = False
    waits = True

    def __init__(self, taxonomy: Taxonomy, config: LLMConfig, model: str, engine: Engine) -> None:
        self._taxonomy = taxonomy
        self._config = config
        self._model = model
        self._prompt = Prompt(taxonomy, config.prompt)
        self._replies = Replies(engine, purpose="judge", model=model, price=config.price)
        self._client = LLMClient(config.model_copy(update={"model": model}), schema=self._prompt.schema)
        content = json.dumps([model, self._prompt.version, config.sampling.model_dump()], sort_keys=True)
        version = hashlib.blake2b(content.encode(), digest_size=6).hexdigest()
        self._ref = RaterRef(RaterKind.LLM, config.name, version)
        self._budgets: dict[int, Budget] = {}

    @property
    def ref(self) -> RaterRef:
        """Its version changes with the model, the prompt (so with the taxonomy) and the sampling."""
        return self._ref

    @property
    def details(self) -> Mapping[str, Any]:
        """Model, prompt, parameters, and where it was asked."""
        return {
            "model": self._model,
            "url": self._config.url,
            "prompt": self._prompt.version,
            "style": self._config.prompt.model_dump(),
            "sampling": self._config.sampling.model_dump(),
            "price": self._config.price.model_dump(),
            "taxonomy": self._taxonomy.version,
        }

    @property
    def needs_translation(self) -> str | None:
        """See Rater."""
        style = self._config.prompt
        return style.translated_to if style.text != "as-is" else None

    def judge(self, texts: Iterable[Sequence[TextToJudge]], work: Work) -> Iterator[Batch]:
        """See Rater. Ends early, and says so, when the budget of the run is spent."""
        budget = self._budget(work.run_id)
        questions = (
            [Question(one.id, self._prompt.messages(one.masked, one.translation)) for one in chunk] for chunk in texts
        )
        came = ask(
            self._client,
            self._config,
            questions,
            self._replies,
            budget,
            model=self._model,
            run_id=work.run_id,
            rater_id=work.rater_id,
        )
        for batch in came:
            paid = [one.answer for one in batch if not one.kept and isinstance(one.answer, Reply)]
            given, taken = sum(one.prompt_tokens for one in paid), sum(one.completion_tokens for one in paid)
            price = self._config.price
            cost = Budget(self._config.limits, price, given, taken).money
            yield Batch([self._verdict(one) for one in batch], tokens=given + taken, cost=cost)
        if budget.spent:
            yield Batch([], stopped=budget.words())

    def _budget(self, run_id: int) -> Budget:
        if run_id not in self._budgets:
            spent = self._replies.spent(run_id)
            self._budgets = {
                run_id: Budget(self._config.limits, self._config.price, spent.prompt_tokens, spent.completion_tokens)
            }
        return self._budgets[run_id]

    def _verdict(self, one: Answered) -> NewJudgement | NoVerdict:
        assert isinstance(one.id, uuid.UUID), "texts are known by their ids"
        if isinstance(one.answer, Failure):
            return NoVerdict(one.id, one.answer.reason)
        cut = one.answer.finish_reason == "length"
        reading = read_reply(one.answer.content, self._taxonomy, refusal=one.answer.refusal, cut=cut)
        if reading.outcome is not Outcome.VERDICT:
            return NoVerdict(one.id, str(reading.outcome))
        return judged(one.id, reading, self._taxonomy)


def judged(text_id: uuid.UUID, reading: Reading, taxonomy: Taxonomy) -> NewJudgement:
    """The judgement that a reading comes to."""
    denied = frozenset(taxonomy.keys) - reading.asserted if reading.whole else frozenset()
    sure = reading.confidence if reading.confidence is not None else _UNSAID
    scores = {key: round(sure, 4) for key in sorted(reading.asserted)}
    scores |= {key: round(1 - sure, 4) for key in sorted(denied)}
    return NewJudgement(text_id, reading.asserted, denied, scores, reading.explanation)
