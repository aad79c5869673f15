"""Answers of a language model's server, in a common form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: response format of a request: a JSON schema, the server's JSON mode, or the prompt's instructions alone
Form = Literal["schema", "json", "text"]
#: what servers say of a model that reached the largest number of tokens
CUT = frozenset({"length", "max_tokens", "model_length", "MAX_TOKENS"})


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of a model, with its tokens and its time."""

    text: str
    #: the reason why the model stopped: `stop`, `length`, `content_filter` and so on
    finish: str | None
    #: the model's refusal, where the server reports refusals separately
    refusal: str | None
    prompt_tokens: int
    completion_tokens: int
    #: response format of the request
    form: Form
    seconds: float
    #: True: the server did not say how many tokens it took, and they were estimated from lengths
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class NoReply:
    """A request without an answer after all attempts."""

    #: a short fixed phrase, so that reasons can be counted
    reason: str
    #: the server's message, for people
    message: str = ""
    #: output of the model that is no answer, which was paid for all the same
    paid: Reply | None = None
