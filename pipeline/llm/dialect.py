"""The dialect of one server: which fields of a request it takes, learned from what it refuses."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.llm.config import LlmConfig
from pipeline.llm.replies import Form
from pipeline.openai_server import ServerError

log = logging.getLogger(__name__)

#: response formats, best first
_FORMS: tuple[Form, ...] = ("schema", "json", "text")
#: words in an error about the response format
_OF_FORM = (
    "response_format",
    "json_schema",
    "json_object",
    "schema",
    "guided",
    "structured",
    "grammar",
    "requested parameters",
)
#: words of a server that does not take a field, whatever its value
_UNKNOWN = re.compile(
    r"unsupported|not (?:be )?(?:supported|allowed|permitted|recogni[sz]ed|available|implemented|accepted)|"
    r"(?:does|do)(?:n['’]t| not) (?:support|accept|allow|recogni[sz]e)|unrecogni[sz]ed|unknown|unexpected|"
    r"extra (?:inputs?|fields?)|additional propert|only the default|deprecated|no longer|"
    r"invalid (?:parameter|argument|field)|\binstead\b",
    re.I,
)
#: words of a server that finds a request too long, which says nothing of its fields
_TOO_LONG = re.compile(r"context (?:length|window|size)|maximum context|too (?:long|large|many)|exceed", re.I)
#: other names of the largest number of tokens, as in "use 'max_completion_tokens' instead"
_OTHER_NAME = re.compile(r"\bmax_\w+\b")
#: parameters of sampling, for which a server may also refuse the value, such as a temperature of zero
_SAMPLING = frozenset({"temperature", "top_p", "seed"})
_LONGEST_REPLY = "max_tokens"
#: these say nothing of a request's fields
_NOT_OF_FIELDS = frozenset({401, 402, 403, 408, 429, 503, 504, 529})
#: refusals with no answer before, after which a server is taken to refuse every request
FIRST_FEW = 5


class Dialect:
    """The fields that one server takes, as far as they are known. It is kept from one client to the next.

    Args:
        config: the model and its parameters.
        schema: the JSON schema of replies; None: replies are plain text.
    """

    def __init__(self, config: LlmConfig, schema: Mapping[str, Any] | None) -> None:
        self._name, self._schema = config.name, schema
        self._forms: tuple[Form, ...] = _FORMS if schema is not None else ("text",)
        params = dict(config.sampling.model_dump(exclude_none=True))
        #: the name that the server has for the largest number of tokens
        self._longest = _LONGEST_REPLY
        self._params: dict[str, Any] = {"model": config.model} | params
        # A null leaves out a field that would be sent.
        self._extra = dict(config.extra_body)
        self._left_out: set[str] = set()
        #: what was changed, for people
        self.notes: list[str] = []
        self._answered = False
        self._refusals = 0

    @property
    def forms(self) -> Sequence[Form]:
        """Response formats that the server may take, best first."""
        return self._forms

    def body(self, form: Form) -> dict[str, Any]:
        """The body of a request in that format, without the messages."""
        body = {self._longest if name == _LONGEST_REPLY else name: value for name, value in self._params.items()}
        if form == "schema":
            wanted = {"name": "verdict", "strict": True, "schema": self._schema}
            body["response_format"] = {"type": "json_schema", "json_schema": wanted}
        elif form == "json":
            body["response_format"] = {"type": "json_object"}
        body |= self._extra
        return {name: value for name, value in body.items() if value is not None and name not in self._left_out}

    def answered(self, form: Form) -> None:
        """Record that a request in that format was answered: better ones, which were refused, are tried no more."""
        self._answered = True
        position = self._forms.index(form) if form in self._forms else 0
        if position:
            self._forms = self._forms[position:]
            self._note(f"response_format: {'left out' if form == 'text' else 'JSON without a schema'}")

    def refused(self, error: ServerError) -> bool:
        """Record a refusal; True where the first few requests were all refused."""
        if not self._refusals:
            log.warning("the server of %r refuses a request: %s", self._name, error.quoted)
        self._refusals += 1
        return not self._answered and self._refusals >= FIRST_FEW

    def is_about_form(self, error: ServerError) -> bool:
        """True where a server refuses the response format, with whichever status."""
        if error.status in _NOT_OF_FIELDS:
            return False
        message = " ".join((error.message, *error.fields)).casefold()
        return any(word in message for word in _OF_FORM)

    def learn(self, error: ServerError, sent: Mapping[str, Any]) -> bool:
        """Leave out or rename the field of a request that the server refuses by its name.

        Args:
            error: the refusal.
            sent: the body of the refused request.

        Returns:
            True where another body would be sent now.
        """
        if error.status in _NOT_OF_FIELDS:
            return False
        name = _named(error, [name for name in sent if name not in ("model", "messages")])
        if name is None:
            return False
        if name not in self._left_out and name in (*self._params, self._longest, *self._extra, "response_format"):
            self._drop(name, error.message)
        return True

    def _drop(self, name: str, message: str) -> None:
        if name == self._longest == _LONGEST_REPLY and name in self._params:
            others = [other for other in _OTHER_NAME.findall(message) if other != name]
            self._longest = others[0] if others else "max_completion_tokens"
            self._note(f"{name}: sent as {self._longest}")
        elif name != _LONGEST_REPLY or self._longest == _LONGEST_REPLY:
            self._left_out.add(name)
            self._note(f"{name}: left out")

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)
            log.warning("the server of %r refuses a parameter; %s", self._name, note)


def _named(error: ServerError, sent: Sequence[str]) -> str | None:
    """The field of a request that an error refuses; None: it refuses none by name."""
    unknown = _UNKNOWN.search(error.message) is not None
    if error.status >= 500 and not unknown:
        return None
    too_long = _TOO_LONG.search(error.message) is not None
    mentioned = [name for name in sent if name in error.fields]
    mentioned += [name for name in sent if _mentions(error.message, name, quoted=not unknown)]
    for name in mentioned:
        if unknown and not (too_long and name not in error.fields):
            return name
        if name in _SAMPLING and not too_long:
            return name
    return None


def _mentions(message: str, name: str, *, quoted: bool) -> bool:
    """True where a message names a field; `seed` and `temperature` are also words of a language."""
    mark = r"[`'\"(\[]" if quoted else r"(?<![\w.-])[`'\"]?"
    return re.search(rf"{mark}{re.escape(name)}(?![\w-])", message) is not None
