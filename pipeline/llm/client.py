"""One server's chat completions, through the official client: patient, and aware of what the server can do."""

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
#: best first
_FORMS: tuple[Form, ...] = ("schema", "json", "text")
#: seconds: a server that asks for more is asked again after these
_LONGEST_WAIT = 120.0
#: what a complaint about the form speaks of
_OF_FORM = ("response_format", "json_schema", "json_object", "schema", "guided", "structured", "grammar")
_TOO_MUCH = (429, 503, 529)
_BAD_REQUEST = (400, 404, 415, 422, 501)
#: what is sent in place of a key to a server that wants none
_NO_KEY = "none"


class LlmClient:
    """Asks one model. Made in the event loop that it is used in.

    Args:
        config: which server, and how hard it may be driven.
        schema: the JSON schema that replies are to keep to; None: plain text is wanted.
        form: the best form that the server is known to take.
        window: requests at once that it is known to bear.
        clock: seconds, ever growing.
        rng: draws the waits between tries.
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
        assert config.model is not None, "which model is found out first: see find_model"
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
            # tries are ours: the client's own would not be seen by the limiter
            max_retries=0,
        )

    @property
    def form(self) -> Form:
        """How replies are asked to keep to JSON at present."""
        return self._forms[0]

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def ask(self, messages: Sequence[Message]) -> Reply | NoReply:
        """Ask once, and again where that may help.

        Raises:
            LlmError: the server will not have us, or has no such model.
            LlmUnavailable: it failed so often that asking on is of no use.
        """
        last = NoReply("server error")
        for attempt in range(self._config.limits.attempts):
            if attempt:
                longest = wait_before(attempt, first=self._config.limits.first_wait, longest=_LONGEST_WAIT)
                await asyncio.sleep(self._rng.uniform(longest / 2, longest))
            began = await self.limiter.slot()
            try:
                found = await self._ask_once(messages, began)
            finally:
                self.limiter.leave()
            if self.limiter.given_up and isinstance(found, NoReply):
                raise LlmUnavailable(
                    f"the server of {self._config.name!r} at {self._config.url} does not answer ({found.reason}): "
                    "check that it runs; the same command goes on from here"
                )
            if isinstance(found, Reply) or found.reason == "refused by the server":
                return found
            last = found
        return last

    async def _ask_once(self, messages: Sequence[Message], began: float) -> Reply | NoReply:
        try:
            reply = await self._in_some_form(messages, began)
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
            # answered, but not in the shape of an answer
            self.limiter.failed()
            return NoReply("broken answer")
        if reply is None:
            self.limiter.failed()
            return NoReply("broken answer")
        self.limiter.answered(began)
        return reply

    async def _in_some_form(self, messages: Sequence[Message], began: float) -> Reply | None:
        """In the first form that the server takes. One that it refuses is remembered once another is answered."""
        tried = list(self._forms)
        for position, form in enumerate(tried):
            try:
                done = await self._create(messages, form)
            except openai.APIStatusError as error:
                if position + 1 < len(tried) and _is_about_form(error):
                    continue
                raise
            if position and len(self._forms) == len(tried):
                self._forms = tried[position:]
            return _read(done, form, self._clock() - began)
        raise AssertionError("the last form ends the loop")

    async def _create(self, messages: Sequence[Message], form: Form) -> bytes:
        body = self._bodies[form] | {"messages": messages}
        # what the client makes of an answer, and checks of a question, costs more than sending it
        done = await self._client.post("/chat/completions", cast_to=httpx2.Response, content=orjson.dumps(body))
        return done.content

    def _body(self, form: Form) -> dict[str, Any]:
        """What every request in that form has, but for the messages."""
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
            raise LlmError(f"the server of {name!r} wants to be paid (402): its own budget is spent")
        if status == 404:
            raise LlmError(
                f"the server of {name!r} at {self._config.url} has no model {self._model!r}, or "
                "no chat completions (404)"
            )
        if status >= 500:
            self.limiter.failed()
            return NoReply("server error")
        # this one request is at fault: too long, most likely
        return NoReply("refused by the server")


def find_model(config: LlmConfig) -> LlmConfig:
    """The configuration with its model: as it says, or the only one that the server has.

    Raises:
        UsageError: the server has several, or none.
        LlmError: it cannot be asked.
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
            f"the server of {config.name!r} does not say which models it has ({error.status_code}): set "
            "SARING_LLM_MODEL, or `model` in raters.yaml"
        ) from error
    except (openai.APIError, ValueError, AttributeError, TypeError) as error:
        raise LlmError(f"the server of {config.name!r} at {config.url} does not speak OpenAI's protocol") from error
    if len(names) != 1:
        shown = ", ".join(names[:10]) or "none"
        raise UsageError(
            f"the server of {config.name!r} has {len(names)} models ({shown}): set SARING_LLM_MODEL, or `model` in "
            "raters.yaml, to one of them"
        )
    return config.model_copy(update={"model": names[0]})


def _read(content: bytes, form: Form, seconds: float) -> Reply | None:
    """The first choice; an empty reply if there is none, and None if this is no completion at all.

    Raises:
        ValueError: it is no JSON.
    """
    done = orjson.loads(content)
    choices = done.get("choices") if isinstance(done, dict) else None
    if not isinstance(choices, list):
        return None
    usage = _table(done.get("usage"))
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


def _table(found: Any) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _text(found: Any) -> str | None:
    return found if isinstance(found, str) else None


def _count(found: Any) -> int:
    return found if isinstance(found, int) and found > 0 else 0


def _is_about_form(error: openai.APIStatusError) -> bool:
    if error.status_code not in _BAD_REQUEST:
        return False
    said = json.dumps(error.body, default=str) if error.body is not None else str(error)
    return any(word in said.casefold() for word in _OF_FORM)
