"""What a rater is to the stage that calls it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.ledger.book import NewJudgement
from pipeline.ledger.resolve import RaterRef
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
