"""What a language model's server answers, as everything else here sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: how a server is asked to keep to JSON: by a schema, by its JSON mode, or in words alone
Form = Literal["schema", "json", "text"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered, and what it took."""

    text: str
    #: why the model stopped: `stop`, `length`, `content_filter` and so on
    finish: str | None
    #: what it said instead of an answer, where the server tells refusals apart
    refusal: str | None
    prompt_tokens: int
    completion_tokens: int
    #: how it was asked to keep to JSON
    form: Form
    seconds: float


@dataclass(frozen=True, slots=True)
class NoReply:
    """A request that came to nothing, however often it was tried."""

    #: a short fixed phrase, so that reasons can be counted
    reason: str
