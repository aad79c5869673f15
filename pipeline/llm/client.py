"""Chat completions of one server, through the official client, with retries and the fields that it takes."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx2
import openai
import orjson

from pipeline.errors import LlmError, LlmUnavailable, UsageError
from pipeline.llm.completion import read_completion
from pipeline.llm.config import LlmConfig, key_of
from pipeline.llm.dialect import Dialect
from pipeline.llm.limiter import Limiter
from pipeline.llm.replies import NoReply, Reply
from pipeline.openai_server import (
    ServerError,
    error_in,
    error_of_status,
    hint,
    make_async_client,
    make_client,
    read_json,
)
from pipeline.retry_after import retry_after, wait_before
from pipeline.storable import storable

log = logging.getLogger(__name__)

Message = Mapping[str, str]
#: longest wait before the next attempt, in seconds, even if the server asks for more
_LONGEST_WAIT = 120.0
_TOO_MUCH = (429, 503, 529)
#: largest number of changes of one request's form
_MOST_CHANGES = 12
#: words of a server that refuses a text for what it says
_FILTERED = re.compile(r"content.?(?:filter|management|policy|moderation)|safety|harmful|inappropriate", re.I)


class LlmClient:
    """A client of one model. It must be made in the event loop that uses it.

    Args:
        config: the server, its model and its limits.
        schema: the JSON schema of replies; None: replies are plain text.
        dialect: what is known of the server already; None: nothing.
        window: number of requests at once that the server is known to handle.
        clock: gives seconds, never decreasing.
        rng: draws the waits between attempts.
    """

    def __init__(
        self,
        config: LlmConfig,
        *,
        schema: Mapping[str, Any] | None = None,
        dialect: Dialect | None = None,
        window: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        assert config.model is not None, "the model must be known: see find_model"
        self._config, self._model = config, config.model
        self.dialect = dialect or Dialect(config, schema)
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
        # Retries are made here: the limiter would not see those of the openai client.
        self._client = make_async_client(config.url, key_of(config), timeout=limits.timeout_seconds, retries=0)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def ask(self, messages: Sequence[Message]) -> Reply | NoReply:
        """Send a request, and retry it where that may help.

        Raises:
            LlmError: the server refuses the key, or the first few requests, or has no such model.
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
            if isinstance(answer, Reply) or answer.paid is not None:
                return answer
            if self.limiter.given_up:
                words = f': "{answer.message}"' if answer.message else ""
                raise LlmUnavailable(
                    f"the server of {self._config.name!r} at {self._config.url} does not answer ({answer.reason}"
                    f"{words}): check that it is running; the same command then continues"
                )
            if answer.reason == "refused by the server":
                return answer
            last = answer
        return last

    async def _ask_once(self, messages: Sequence[Message], began: float) -> Reply | NoReply:
        try:
            answer = await self._in_best_form(messages, began)
        except openai.APITimeoutError:
            self.limiter.overloaded(began)
            self.limiter.failed()
            return NoReply("timed out")
        except openai.APIConnectionError:
            self.limiter.failed()
            return NoReply("connection lost")
        except (openai.APIError, ValueError):
            # There was an answer, but not a completion.
            answer = None
        if answer is None:
            self.limiter.failed()
            return NoReply("broken answer")
        return answer

    async def _in_best_form(self, messages: Sequence[Message], began: float) -> Reply | NoReply | None:
        """Ask in the best form that the server supports. A refused format is dropped when another one works."""
        sent = sum(len(message["content"].encode("utf-8", "replace")) for message in messages)
        hidden = (key_of(self._config) or "", *_texts_of(messages))
        forms = list(self.dialect.forms)
        refusal, wait = ServerError(500), None
        for _ in range(_MOST_CHANGES):
            body, wait = self.dialect.body(forms[0]), None
            try:
                content = await self._create(body | {"messages": messages})
            except openai.APIStatusError as error:
                refusal = error_of_status(error, *hidden)
                wait = retry_after(error.response.headers.get("retry-after"))
            else:
                document = read_json(content)
                failure = _failure(document, hidden)
                if failure is None:
                    answer = read_completion(document, forms[0], self._clock() - began, sent)
                    if answer is not None:
                        self.dialect.answered(forms[0])
                        self.limiter.answered(began)
                    return answer
                refusal = failure
            if len(forms) > 1 and self.dialect.is_about_form(refusal):
                del forms[0]
            elif not self.dialect.learn(refusal, body):
                break
        return self._refused(refusal, began, wait)

    async def _create(self, body: Mapping[str, Any]) -> bytes:
        # The raw response: the client's own types for requests and answers take longer than sending.
        response = await self._client.post("/chat/completions", cast_to=httpx2.Response, content=orjson.dumps(body))
        return response.content

    def _refused(self, error: ServerError, began: float, wait: float | None) -> NoReply:
        """The result of a request that the server does not answer.

        Raises:
            LlmError: no other request will be answered either.
        """
        status, name = error.status, self._config.name
        if status in _TOO_MUCH:
            self.limiter.overloaded(began, None if wait is None else min(wait, _LONGEST_WAIT))
            return NoReply("too many requests", error.message)
        if status in (408, 504):
            self.limiter.overloaded(began)
            self.limiter.failed()
            return NoReply("timed out", error.message)
        if status in (401, 403):
            # The message may repeat a key.
            raise LlmError(
                f"the server of {name!r} refuses the key ({status}): check SARING_LLM_API_KEY or api_key_env"
            )
        if status == 402:
            raise LlmError(f"the server of {name!r} requires payment (402): add credit to your account there")
        if status in (404, 405):
            raise LlmError(
                f"the server of {name!r} at {self._config.url} has no model {self._model!r}, or no chat completions "
                f"({status}{_after(error)}){hint(self._config.url)}"
            )
        if status >= 500:
            self.limiter.failed()
            return NoReply("server error", error.message)
        # The fault is in this request: most likely it is too long. A filter of content is no sign of a wrong setting.
        if not _FILTERED.search(error.message) and self.dialect.refused(error):
            raise LlmError(
                f"the server of {name!r} refuses every request ({status}{_after(error)}): change `sampling`, "
                "`extra_body` or `model` in raters.yaml"
            )
        return NoReply("refused by the server", error.message)


def find_model(config: LlmConfig) -> LlmConfig:
    """Complete a configuration with its model: the configured one, or the only one that the server has.

    Raises:
        UsageError: the server has several models, or none.
        LlmError: the server does not list its models.
    """
    if config.model is not None:
        return config
    try:
        with make_client(config.url, key_of(config), timeout=30, retries=2) as client:
            names = _names(read_json(client.get("/models", cast_to=httpx2.Response).content))
    except openai.APIConnectionError as error:
        raise LlmUnavailable(
            f"the server of {config.name!r} at {config.url} cannot be reached: check its address"
        ) from error
    except openai.APIStatusError as error:
        raise LlmError(
            f"the server of {config.name!r} does not list its models ({error.status_code}): set "
            f"SARING_LLM_MODEL, or `model` in raters.yaml{hint(config.url)}"
        ) from error
    except (openai.APIError, ValueError) as error:
        raise LlmError(
            f"the server of {config.name!r} at {config.url} does not support the OpenAI API{hint(config.url)}"
        ) from error
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


def _names(listed: object) -> list[str]:
    """Names of a server's models.

    Raises:
        ValueError: the answer is not a list of models.
    """
    models = listed.get("data") if isinstance(listed, dict) else listed
    names = [model.get("id") for model in models if isinstance(model, dict)] if isinstance(models, list) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise ValueError("not a list of models")
    return sorted(" ".join(storable(str(name), 200).split()) for name in names)


def _failure(document: object, hidden: Sequence[str]) -> ServerError | None:
    """The error in an answer with status 200, of the whole or of its first choice; None if it is no error."""
    choices = document.get("choices") if isinstance(document, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    if (failure := error_in(first, *hidden)) is not None:
        return failure
    if isinstance(first, dict) and first.get("finish_reason") == "error":
        return ServerError(500)
    return error_in(document, *hidden) if not choices else None


def _after(error: ServerError) -> str:
    return f": {error.quoted}" if error.message else ""


def _texts_of(messages: Sequence[Message]) -> tuple[str, ...]:
    """The texts of a request that an error must not repeat: its last message, and the values in it."""
    content = messages[-1]["content"] if messages else ""
    try:
        fields = orjson.loads(content)
    except orjson.JSONDecodeError:
        fields = None
    values = [value for value in fields.values() if isinstance(value, str)] if isinstance(fields, dict) else []
    return (content, *values)
