"""What a rater is to the stage that calls it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from sqlalchemy.orm import Session

from pipeline.judgement import RaterRef
from pipeline.ledger.book import NewJudgement
from pipeline.llm.budget import Allowance
from pipeline.llm.cache import PaidReply
from pipeline.vectors.encoders.protocol import Vectors


@dataclass(frozen=True, slots=True)
class TextToJudge:
    """A text as raters see it: personal data masked."""

    id: uuid.UUID
    masked: str
    #: its vector of shape [dimension], for raters that ask for one
    vector: Vectors | None = None


@dataclass(frozen=True, slots=True)
class NoVerdict:
    """The rater could not, or would not, judge a text."""

    text_id: uuid.UUID
    #: a short fixed phrase, so that reasons can be counted
    reason: str


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of some texts: written in one transaction, as soon as it is there."""

    given: Sequence[NewJudgement | NoVerdict]
    #: what was paid for, and is not to be asked again
    paid: Sequence[PaidReply] = ()
    #: numbers by name, to be added up over a run
    counts: Mapping[str, Any] = field(default_factory=dict)


class Rater(Protocol):
    """Gives verdicts on texts. A new version of it is another rater, so old judgements stay what they were."""

    @property
    def ref(self) -> RaterRef: ...

    @property
    def details(self) -> Mapping[str, Any]:
        """What is worth remembering of it: model, prompt, parameters."""
        ...

    @property
    def needs_vectors(self) -> bool: ...

    def judge(self, texts: Sequence[TextToJudge]) -> Iterator[NewJudgement | NoVerdict]:
        """One answer a text, in any order, as they come."""
        ...


@runtime_checkable
class StreamingRater(Protocol):
    """A rater that is asked over a network: it takes texts as it gets on, and answers in any order."""

    def stream(self, texts: Iterable[Sequence[TextToJudge]], budget: Allowance, run_id: int) -> Iterator[Answers]:
        """What came of the texts, as it comes.

        Each list of answers is committed before the next is asked for.

        Args:
            texts: in portions, fetched when they are needed.
            budget: what it may have spent in all when it stops; texts that it then leaves out have no answer.
            run_id: the run that asks.
        """
        ...

    def allowance(self, session: Session, tokens: int | None, cost: float | None) -> Allowance:
        """What it may spend, if `tokens` and `cost` at most are allowed from now on."""
        ...
