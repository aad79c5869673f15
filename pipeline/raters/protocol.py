"""The interface of raters."""

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
    """A text for raters, with personal data masked."""

    id: uuid.UUID
    masked: str
    #: its vector of shape [dimension], for raters that need one
    vector: Vectors | None = None


@dataclass(frozen=True, slots=True)
class NoVerdict:
    """A text without a verdict, with the reason."""

    text_id: uuid.UUID
    #: a short fixed phrase, so that reasons can be counted
    reason: str


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers for some texts, to be stored in one transaction as soon as they arrive."""

    given: Sequence[NewJudgement | NoVerdict]
    #: paid replies that are not stored yet; they are stored before the answers, so that no request is sent twice
    paid: Sequence[PaidReply] = ()
    #: numbers by name, to be added up over a run
    counts: Mapping[str, Any] = field(default_factory=dict)


class Rater(Protocol):
    """A rater gives verdicts on texts. A new version is another rater, so old judgements do not change."""

    @property
    def ref(self) -> RaterRef: ...

    @property
    def details(self) -> Mapping[str, Any]:
        """Details to store with the rater: model, prompt, parameters."""
        ...

    @property
    def needs_vectors(self) -> bool: ...

    def judge(self, texts: Sequence[TextToJudge]) -> Iterator[NewJudgement | NoVerdict]:
        """Give one answer for each text, in any order, as they arrive."""
        ...


@runtime_checkable
class StreamingRater(Protocol):
    """A rater behind a network: it takes texts when it can, and answers in any order."""

    def stream(self, texts: Iterable[Sequence[TextToJudge]], budget: Allowance, run_id: int) -> Iterator[Answers]:
        """Give the answers for texts as they arrive.

        The caller commits each batch of answers before it takes the next.

        Args:
            texts: portions of texts, read when they are needed.
            budget: limits on the rater's spending over all runs; texts beyond them get no answer.
            run_id: id of the run.
        """
        ...

    def allowance(self, session: Session, tokens: int | None, cost: float | None) -> Allowance:
        """Limits over all runs, where `tokens` and `cost` are the limits from now on."""
        ...
