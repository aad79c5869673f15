"""Chat completions of one server, through the official client, with retries and the response formats it supports."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx2
import openai
import orjson
from openai import AsyncOpenAI

from pipeline.errors import LlmError, LlmUnavailable, UsageError
from pipeline.llm.config import LlmConfig, key_of
from pipeline.llm.limiter import Limiter
from pipeline.llm.replies import Form, NoReply, Reply
from pipeline.retry_after import retry_after, wait_before

Message = Mapping[str, str]
#: response formats, best first
_FORMS: tuple[Form, ...] = ("schema", "json", "text")
#: longest wait before the next attempt, in seconds, even if the server asks for more
_LONGEST_WAIT = 120.0
#: words in an error about the response format
_OF_FORM = ("response_format", "json_schema", "json_object", "schema", "guided", "structured", "grammar")
_TOO_MUCH = (429, 503, 529)
_BAD_REQUEST = (400, 404, 415, 422, 501)
#: sent in place of a key to a server that needs none
_NO_KEY = "none"


class LlmClient:
    """A client of one model. It must be made in the event loop that uses it.

    Args:
        config: the server, its model and its limits.
        schema: the JSON schema of replies; None: replies are plain text.
        form: the best response format that the server is known to support.
        window: number of requests at once that the server is known to handle.
        clock: gives seconds, never decreasing.
        rng: draws the waits between attempts.
    """

    def __init__(
        self,
        config: LlmConfig,
        *,
        schema: Mapping[str, Any] | None = None,
        form: Form | None = None,
        window: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        assert config.model is not None, "the model must be known: see find_model"
        self._config, self._model = config, config.model
        self._schema = schema
        known = _FORMS.index(form) if form is not None else 0
        self._forms: list[Form] = list(_FORMS[known:]) if schema is not None else ["text"]
        self._bodies = {form: self._body(form) for form in self._forms}
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - waits are no secret
        limits = config.limits
        self.limiter = Limiter(
            start=window or limits.start,
            most=limits.concurrency,
            breaker=limits.breaker,
            patience=limits.patience,
            clock=clock,
            rest=2 * limits.first_wait,
        )
        self._client = AsyncOpenAI(
            base_url=config.url,
            api_key=key_of(config) or _NO_KEY,
            timeout=limits.timeout_seconds,
            # Retries are made here: the limiter would not see those of the openai client.
            max_retries=0,
        )

    @property
    def form(self) -> Form:
        """The response format in use."""
        return self._forms[0]

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def ask(self, messages: Sequence[Message]) -> Reply | NoReply:
        """Send a request, and retry it where that may help.

        Raises:
            LlmError: the server refuses the key, or has no such model.
            LlmUnavailable: the server failed too often.
        """
        last = NoReply("server error")
        for attempt in range(self._config.limits.attempts):
            if attempt:
                longest = wait_before(attempt, first=self._config.limits.first_wait, longest=_LONGEST_WAIT)
                await asyncio.sleep(self._rng.uniform(longest / 2, longest))
            began = await self.limiter.slot()
            try:
                answer = await self._ask_once(messages, began)
            finally:
                self.limiter.leave()
            if self.limiter.given_up and isinstance(answer, NoReply):
                raise LlmUnavailable(
                    f"the server of {self._config.name!r} at {self._config.url} does not answer ({answer.reason}): "
                    "check that it is running; the same command then continues"
                )
            if isinstance(answer, Reply) or answer.reason == "refused by the server":
                return answer
            last = answer
        return last

    async def _ask_once(self, messages: Sequence[Message], began: float) -> Reply | NoReply:
        try:
            reply = await self._in_best_form(messages, began)
        except openai.APITimeoutError:
            self.limiter.overloaded(began)
            self.limiter.failed()
            return NoReply("timed out")
        except openai.APIConnectionError:
            self.limiter.failed()
            return NoReply("connection lost")
        except openai.APIStatusError as error:
            return self._refused(error, began)
        except (openai.APIError, ValueError):
            # There was an answer, but not a completion.
            self.limiter.failed()
            return NoReply("broken answer")
        if reply is None:
            self.limiter.failed()
            return NoReply("broken answer")
        self.limiter.answered(began)
        return reply

    async def _in_best_form(self, messages: Sequence[Message], began: float) -> Reply | None:
        """Ask in the best format that the server supports. A refused format is dropped when another one works."""
        forms = list(self._forms)
        for position, form in enumerate(forms):
            try:
                content = await self._create(messages, form)
            except openai.APIStatusError as error:
                if position + 1 < len(forms) and _is_about_form(error):
                    continue
                raise
            if position and len(self._forms) == len(forms):
                self._forms = forms[position:]
            return _read(content, form, self._clock() - began)
        raise AssertionError("the last form ends the loop")

    async def _create(self, messages: Sequence[Message], form: Form) -> bytes:
        body = self._bodies[form] | {"messages": messages}
        # The raw response: the client's own types for requests and answers take longer than sending.
        response = await self._client.post("/chat/completions", cast_to=httpx2.Response, content=orjson.dumps(body))
        return response.content

    def _body(self, form: Form) -> dict[str, Any]:
        """The body of every request in that format, without the messages."""
        sampling = self._config.sampling
        body: dict[str, Any] = {"model": self._model, "max_tokens": sampling.max_tokens}
        for name in ("temperature", "top_p", "seed"):
            if (value := getattr(sampling, name)) is not None:
                body[name] = value
        if form == "schema":
            wanted = {"name": "verdict", "strict": True, "schema": self._schema}
            body["response_format"] = {"type": "json_schema", "json_schema": wanted}
        elif form == "json":
            body["response_format"] = {"type": "json_object"}
        return body

    def _refused(self, error: openai.APIStatusError, began: float) -> NoReply:
        status, name = error.status_code, self._config.name
        if status in _TOO_MUCH:
            asked = retry_after(error.response.headers.get("retry-after"))
            self.limiter.overloaded(began, None if asked is None else min(asked, _LONGEST_WAIT))
            return NoReply("too many requests")
        if status == 408 or status == 504:
            self.limiter.overloaded(began)
            self.limiter.failed()
            return NoReply("timed out")
        if status in (401, 403):
            raise LlmError(
                f"the server of {name!r} refuses the key ({status}): check SARING_LLM_API_KEY or api_key_env"
            )
        if status == 402:
            raise LlmError(f"the server of {name!r} requires payment (402): add credit to your account there")
        if status == 404:
            raise LlmError(
                f"the server of {name!r} at {self._config.url} has no model {self._model!r}, or "
                "no chat completions (404)"
            )
        if status >= 500:
            self.limiter.failed()
            return NoReply("server error")
        # The fault is in this request: most likely it is too long.
        return NoReply("refused by the server")


def find_model(config: LlmConfig) -> LlmConfig:
    """Complete a configuration with its model: the configured one, or the only one that the server has.

    Raises:
        UsageError: the server has several models, or none.
        LlmError: the server does not list its models.
    """
    if config.model is not None:
        return config
    try:
        with openai.OpenAI(base_url=config.url, api_key=key_of(config) or _NO_KEY, timeout=30, max_retries=2) as client:
            names = sorted(model.id for model in client.models.list())
    except openai.APIConnectionError as error:
        raise LlmUnavailable(
            f"the server of {config.name!r} at {config.url} cannot be reached: check its address"
        ) from error
    except openai.APIStatusError as error:
        raise LlmError(
            f"the server of {config.name!r} does not list its models ({error.status_code}): set "
            "SARING_LLM_MODEL, or `model` in raters.yaml"
        ) from error
    except (openai.APIError, ValueError, AttributeError, TypeError) as error:
        raise LlmError(f"the server of {config.name!r} at {config.url} does not support the OpenAI API") from error
    if len(names) != 1:
        if not names:
            raise UsageError(
                f"the server of {config.name!r} lists no models: set SARING_LLM_MODEL, or `model` in "
                "raters.yaml, to its model"
            )
        raise UsageError(
            f"the server of {config.name!r} has {len(names)} models ({', '.join(names[:10])}): set SARING_LLM_MODEL, "
            "or `model` in raters.yaml, to one of them"
        )
    return config.model_copy(update={"model": names[0]})


def _read(content: bytes, form: Form, seconds: float) -> Reply | None:
    """The first choice of a completion; an empty reply if it has no choice; None if it is not a completion.

    Raises:
        ValueError: the content is not JSON.
    """
    completion = orjson.loads(content)
    choices = completion.get("choices") if isinstance(completion, dict) else None
    if not isinstance(choices, list):
        return None
    usage = _table(completion.get("usage"))
    tokens = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if not choices:
        return Reply("", None, None, *tokens, form, seconds)
    choice = _table(choices[0])
    message = _table(choice.get("message"))
    return Reply(
        _text(message.get("content")) or "",
        _text(choice.get("finish_reason")),
        _text(message.get("refusal")) or None,
        *tokens,
        form,
        seconds,
    )


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _is_about_form(error: openai.APIStatusError) -> bool:
    if error.status_code not in _BAD_REQUEST:
        return False
    message = json.dumps(error.body, default=str) if error.body is not None else str(error)
    return any(word in message.casefold() for word in _OF_FORM)
