"""Ask a server about many texts at once, as fast as it can answer and no faster, through the official client."""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import openai

from pipeline.errors import RaterError, RaterRefused, RaterUnavailable
from pipeline.raters.llm.budget import Budget
from pipeline.raters.llm.config import LLMConfig
from pipeline.raters.llm.limiter import Breaker, Concurrency, State
from pipeline.raters.llm.prompt import Message

#: what is asked for, from the strictest on
_MODES = ("schema", "json", "text")
#: seconds before a request is tried again, doubled each time
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
#: seconds that a server may ask to be left alone, at most
_LONGEST_RETRY_AFTER = 300.0
_TOO_MANY = 429
_BUSY = frozenset({408, 409, 425, 500, 502, 503, 504, 520, 522, 524, 529})


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be asked of one text."""

    key: Any
    messages: list[Message]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answered."""

    key: Any
    content: str | None
    refusal: str | None
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Failure:
    """There is no answer, and why."""

    key: Any
    reason: str


Answer = Reply | Failure
Sleep = Callable[[float], Awaitable[None]]


class LLMClient:
    """Asks one model of one server, which `config` must name.

    Its pace, and how a reply's shape may be asked for, are found out on the way.
    """

    def __init__(
        self,
        config: LLMConfig,
        *,
        schema: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
        breaker: Breaker | None = None,
        first_wait: float = _FIRST_WAIT,
    ) -> None:
        self._config = config
        self._schema = schema
        self._clock = clock
        self._first_wait = first_wait
        self.concurrency = Concurrency(config.limits.concurrency)
        self._breaker = breaker or Breaker()
        modes = _MODES if config.structured == "auto" else (config.structured,)
        self._modes = [mode for mode in modes if mode != "schema" or schema is not None] or ["text"]
        self._mode_holds = len(self._modes) == 1
        self._under_way = 0
        self._changed = asyncio.Event()

    async def ask_all(self, requests: Iterable[Request], budget: Budget, on_answer: Callable[[Answer], None]) -> None:
        """Ask about every request; `on_answer` gets each answer when it comes.

        Ends early, with nothing lost, when the budget is spent: what is under way is waited for.

        Raises:
            RaterRefused: the server will not have us at all, or doesn't have the model.
            RaterUnavailable: it has not answered for long.
        """
        key, patience = self._config.key() or "none", self._config.limits.timeout
        async with openai.AsyncOpenAI(
            base_url=self._config.url, api_key=key, timeout=patience, max_retries=0
        ) as client:
            waiting = iter(requests)
            try:
                async with asyncio.TaskGroup() as group:
                    for request in waiting:
                        await self._turn(budget)
                        if budget.spent:
                            break
                        self._under_way += 1
                        group.create_task(self._ask(client, request, budget, on_answer))
            except BaseExceptionGroup as several:
                # the first failure has the others cancelled
                ours = [one for one in several.exceptions if isinstance(one, RaterError)]
                if not ours:
                    raise
                raise ours[0] from ours[0].__cause__

    async def _turn(self, budget: Budget) -> None:
        """Wait until one more request may be sent."""
        while not budget.spent:
            now = self._clock()
            room = self._under_way < (self.concurrency.limit if self._mode_holds else 1)
            room = room and not budget.must_wait(self._under_way)
            rest = self.concurrency.resume_at - now
            if room and rest <= 0 and self._breaker.may_ask(now):
                return
            if self._breaker.state is State.OPEN:
                rest = max(rest, self._breaker.retry_at - now)
            await self._change(rest if room and rest > 0 else None)

    async def _change(self, seconds: float | None) -> None:
        """Until something is answered, or so long."""
        self._changed.clear()
        if not self._under_way and seconds is None:
            seconds = self._first_wait
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return

    async def _ask(
        self, client: openai.AsyncOpenAI, request: Request, budget: Budget, on_answer: Callable[[Answer], None]
    ) -> None:
        try:
            answer = await self._tried(client, request)
            if isinstance(answer, Reply):
                budget.spend(answer.prompt_tokens, answer.completion_tokens)
            on_answer(answer)
        finally:
            self._under_way -= 1
            self._changed.set()

    async def _tried(self, client: openai.AsyncOpenAI, request: Request) -> Answer:
        """One text, as often as its tries allow."""
        reason = ""
        for attempt in range(self._config.limits.attempts):
            if attempt:
                await self._rest(attempt)
            mode, began = self._modes[0], self._clock()
            try:
                reply = await self._once(client, request, mode)
            except openai.APITimeoutError:
                reason = "timed out"
                self.concurrency.overloaded(began, self._clock())
                self._breaker.failed(self._clock())
            except openai.APIStatusError as error:
                step = self._refused(error, mode, began)
                if step is not None:
                    return Failure(request.key, step)
                reason = f"server error {error.status_code}"
            except (openai.APIConnectionError, openai.APIResponseValidationError, _NotOurShape) as error:
                reason = (
                    "not in the protocol's shape" if not isinstance(error, openai.APIConnectionError) else "cut off"
                )
                self._breaker.failed(self._clock())
            else:
                self._breaker.succeeded()
                self._mode_holds = True
                self.concurrency.replied(began, self._clock())
                return reply
            if self._breaker.given_up:
                raise RaterUnavailable(
                    f"the server of rater {self._config.name!r} at {self._config.url} has not answered for long (last: "
                    f"{reason}): what was judged is kept; mend it and run the same command again"
                )
        return Failure(request.key, reason)

    async def _rest(self, attempt: int) -> None:
        """Before a try is repeated: longer each time, and as long as the server or the circuit asks for."""
        await asyncio.sleep(min(_LONGEST_WAIT, self._first_wait * 2.0 ** (attempt - 1)))
        while True:
            now = self._clock()
            rest = self.concurrency.resume_at - now
            if rest <= 0 and self._breaker.may_ask(now):
                return
            if self._breaker.state is State.OPEN:
                rest = max(rest, self._breaker.retry_at - now)
            await asyncio.sleep(max(0.01, rest if rest > 0 else self._first_wait))

    def _refused(self, error: openai.APIStatusError, mode: str, began: float) -> str | None:
        """What a status means; why this text has no answer, or None if it is worth another try.

        Raises:
            RaterRefused: it is no use asking about any text.
        """
        status = error.status_code
        if status == _TOO_MANY or status in _BUSY:
            now, after = self._clock(), _retry_after(error.response)
            if status == _TOO_MANY or after is not None:
                self.concurrency.overloaded(began, now, after)
            if status == _TOO_MANY:
                self._breaker.succeeded()
            else:
                self._breaker.failed(now)
            return None
        self._breaker.succeeded()
        if status in (401, 403):
            raise RaterRefused(
                f"the server of rater {self._config.name!r} refuses the key ({status}): check SARING_LLM_API_KEY, or "
                "the variable that raters.yaml names"
            )
        if status == 404:
            raise RaterRefused(
                f"the server of rater {self._config.name!r} at {self._config.url} has no model "
                f"{self._config.model!r}, or the address is not that of its API (does it end in /v1?)"
            )
        if status in (400, 422, 501) and not self._mode_holds and len(self._modes) > 1 and mode == self._modes[0]:
            # it may not know how to hold a reply to a shape: the next best is asked for
            self._modes.pop(0)
            return None
        if mode != self._modes[0]:
            return None
        return f"refused by the server ({status})"

    async def _once(self, client: openai.AsyncOpenAI, request: Request, mode: str) -> Reply:
        sampling = self._config.sampling
        body: dict[str, Any] = {
            "model": self._config.model,
            "messages": request.messages,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
        }
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        if mode == "schema":
            shape = {"name": "reply", "strict": True, "schema": dict(self._schema or {})}
            body["response_format"] = {"type": "json_schema", "json_schema": shape}
        elif mode == "json":
            body["response_format"] = {"type": "json_object"}
        raw = await client.chat.completions.with_raw_response.create(**body)
        return _read(request.key, raw.http_response)


class _NotOurShape(Exception):
    """The answer is no chat completion."""


def _read(key: Any, response: Any) -> Reply:
    try:
        body = response.json()
        choice = (body.get("choices") or [{}])[0]
        message = choice.get("message") or {}
        usage = body.get("usage") or {}
        return Reply(
            key,
            _content(message.get("content")),
            message.get("refusal") or ("content filter" if choice.get("finish_reason") == "content_filter" else None),
            choice.get("finish_reason"),
            int(usage.get("prompt_tokens") or 0),
            int(usage.get("completion_tokens") or 0),
        )
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise _NotOurShape from error


def _content(given: Any) -> str | None:
    """Words, or the words of a list of parts."""
    if isinstance(given, list):
        return "".join(str(part.get("text", "")) for part in given if isinstance(part, dict))
    return given if isinstance(given, str) else None


def _retry_after(response: Any) -> float | None:
    """Seconds that a server asks to be left alone: a number, or a date."""
    said = response.headers.get("retry-after")
    if said is None:
        return None
    try:
        seconds = float(said)
    except ValueError:
        when = email.utils.parsedate_to_datetime(said) if said[:1].isalpha() else None
        seconds = when.timestamp() - time.time() if when is not None else 0.0
    return min(max(0.0, seconds), _LONGEST_RETRY_AFTER)


def the_model(config: LLMConfig) -> str:
    """The model that is configured, else the only one that the server has.

    Raises:
        RaterRefused: it has several, or none, or refuses the key.
        RaterUnavailable: it can't be reached.
    """
    if config.model is not None:
        return config.model
    try:
        with openai.OpenAI(
            base_url=config.url, api_key=config.key() or "none", timeout=config.limits.timeout
        ) as client:
            found = [model.id for model in client.models.list().data]
    except openai.APIStatusError as error:
        raise RaterRefused(
            f"the server at {config.url} does not say which models it has ({error.status_code}): check the address and "
            f"the key, or name the model of rater {config.name!r} (SARING_LLM_MODEL, or `model` in raters.yaml)"
        ) from error
    except openai.APIError as error:
        raise RaterUnavailable(
            f"the server of rater {config.name!r} at {config.url} cannot be reached: start it, or check SARING_LLM_URL"
        ) from error
    if not found:
        raise RaterRefused(f"the server at {config.url} has no model: load one, or name it in SARING_LLM_MODEL")
    if len(found) > 1:
        raise RaterRefused(
            f"the server at {config.url} has several models ({', '.join(found[:8])}): name one for rater "
            f"{config.name!r} (SARING_LLM_MODEL, or `model` in raters.yaml)"
        )
    return found[0]
