"""What a rater is to the stage that calls it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    #: it in another language, for raters that ask for that
    translation: str | None = None


@dataclass(frozen=True, slots=True)
class NoVerdict:
    """The rater could not, or would not, judge a text."""

    text_id: uuid.UUID
    #: a short fixed phrase, so that reasons can be counted
    reason: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Answers that are there to be recorded, one a text, and what was spent on them."""

    answers: Sequence[NewJudgement | NoVerdict]
    tokens: int = 0
    cost: float = 0.0
    #: why no more will be judged, though there are more texts
    stopped: str | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """In whose name, and in which run, a rater judges."""

    run_id: int
    rater_id: int


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

    @property
    def needs_translation(self) -> str | None:
        """The language that texts must be translated into before it judges."""
        ...

    @property
    def waits(self) -> bool:
        """Whether it mostly waits for a server."""
        ...

    def judge(self, texts: Iterable[Sequence[TextToJudge]], work: Work) -> Iterator[Batch]:
        """Judge texts, which come in chunks that are loaded when they are asked for.

        Answers come in any order; whoever calls this records each batch at once.
        """
        ...
