"""Verdicts of a prompt on gold texts, within a budget; nothing enters the ledger."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipeline.ledger.book import NewJudgement
from pipeline.llm.budget import Allowance
from pipeline.llm.cache import PaidReply
from pipeline.raters.improve.gold import GoldText
from pipeline.raters.llm.rater import LlmRater
from pipeline.raters.protocol import NoVerdict, TextToJudge


@dataclass
class Spending:
    """Requests of one call so far."""

    #: paid replies, and their tokens and cost
    replies: int = 0
    tokens: int = 0
    cost: float = 0.0
    #: verdicts from replies that were stored before
    cached: int = 0
    #: the reason why it stopped; None: it did not
    stopped: str | None = None

    def add(self, paid: Sequence[PaidReply]) -> None:
        """Count paid replies."""
        self.replies += len(paid)
        self.tokens += sum(each.reply.prompt_tokens + each.reply.completion_tokens for each in paid)
        self.cost += sum(each.cost for each in paid)


@dataclass
class Verdicts:
    """Labels that a prompt gave."""

    #: by text, of those with a verdict
    given: dict[uuid.UUID, frozenset[str]] = field(default_factory=dict)
    #: number of texts by the reason why there is no verdict
    no_verdict: Counter[str] = field(default_factory=Counter)


def ask(
    rater: LlmRater,
    texts: Sequence[GoldText],
    allowance: Allowance,
    spending: Spending,
    step: Callable[[int], None],
) -> Verdicts:
    """Ask for verdicts on texts. Replies are stored as they arrive, so that asking again costs nothing.

    Args:
        rater: the model with the prompt.
        texts: gold texts.
        allowance: limits over all runs of the rater.
        spending: is updated.
        step: called with the number of texts that are answered.

    Raises:
        LlmError: the server refuses the key.
        LlmUnavailable: the server does not answer any more.
    """
    verdicts = Verdicts()
    portion = [TextToJudge(text.id, text.masked) for text in texts]
    for answers in rater.stream([portion], allowance, 0):
        for answer in answers.given:
            if isinstance(answer, NewJudgement):
                verdicts.given[answer.text_id] = answer.asserted
            elif isinstance(answer, NoVerdict):
                verdicts.no_verdict[answer.reason] += 1
        spending.replies += answers.counts.get("replies", 0)
        spending.tokens += answers.counts.get("tokens", 0)
        spending.cost += answers.counts.get("cost", 0.0)
        spending.cached += answers.counts.get("cached", 0)
        spending.stopped = answers.counts.get("stopped", spending.stopped)
        step(len(verdicts.given) + verdicts.no_verdict.total())
    return verdicts
