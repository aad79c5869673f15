"""The moderation endpoint over HTTP, in OpenAI's and in Perspective's shape.

Texts are not logged, and are stored only where a policy says so.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import orjson
from psycopg import OperationalError
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ml_backend.moderation import openai_shape, openapi, perspective_shape
from ml_backend.moderation.callers import Callers
from ml_backend.moderation.config import Caller, ModerationConfig
from ml_backend.moderation.errors import BadRequest, NotReady, Refused, TooLarge, UnknownModel, UnknownReport
from ml_backend.moderation.explaining import check_explained, words_of
from ml_backend.moderation.policies import Judges
from ml_backend.moderation.reports import read_report
from ml_backend.moderation.scorer import Scorer
from ml_backend.moderation.verdicts import Judge
from ml_backend.serving import Champion
from pipeline.errors import SaringError, StoreError

logger = logging.getLogger(__name__)

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]
_PERSPECTIVE = "/v1alpha1/"


def create_moderation(config: ModerationConfig, champion: Champion) -> Starlette:
    """The application; its background work begins and ends with its lifespan.

    Args:
        config: the taxonomy, callers, policies and limits.
        champion: keeps the model that serves. Whoever made it starts and stops it.
    """
    limits = config.limits
    executor = ThreadPoolExecutor(2, thread_name_prefix="saring-callers")
    callers = Callers(config.find_caller, limits, executor)
    scorer = Scorer(champion, limits, config.shadow.offer if config.shadow is not None else None)
    definitions = {label.key: label.definition.en for label in config.taxonomy}
    judges = Judges(config.read_policies, config.taxonomy, limits, executor)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        beside = [part for part in (config.shadow, config.keeper) if part is not None]
        for part in beside:
            part.start()
        yield
        scorer.close()
        for part in beside:
            await asyncio.get_running_loop().run_in_executor(None, part.stop)
        executor.shutdown()

    def keep(caller: Caller, judge: Judge, texts: Sequence[str]) -> None:
        if config.keeper is not None and judge.policy.store_texts:
            config.keeper.offer(caller.name, texts)

    async def moderations(request: Request) -> Response:
        caller = await callers.admit(_bearer(request))
        question = openai_shape.read_question(await _json(request, limits.body, limits.arrival), most=limits.texts)
        _check_model(question.model, scorer)
        if question.explain:
            check_explained(question.texts)
        policy = question.policy or caller.policy
        # an unknown policy is told before any work is done
        model = scorer.model
        judge = await judges.of(model, policy)
        scored = await scorer.score(question.texts)
        if scored.model is not model:
            judge = await judges.of(scored.model, policy)
        verdicts = judge.verdicts(scored)
        words = None
        if question.explain:
            words = await scorer.apart(words_of, scored.model, question.texts, verdicts)
        answer = openai_shape.answer(verdicts, judge, scored.model.manifest.version, words)
        keep(caller, judge, question.texts)
        return _answer(answer)

    async def policies(request: Request) -> Response:
        await callers.admit(_bearer(request))
        model = scorer.model
        bodies = [openai_shape.policy_body(judge, model.manifest.version) for judge in await judges.all(model)]
        return _answer({"object": "list", "data": bodies})

    async def models(request: Request) -> Response:
        await callers.admit(_bearer(request))
        manifest = scorer.model.manifest
        created = int(manifest.created_at.timestamp())
        data = [{"id": manifest.version, "object": "model", "created": created, "owned_by": "saring"}]
        return _answer({"object": "list", "data": data})

    async def analyze(request: Request) -> Response:
        caller = await callers.admit(_bearer(request) or request.query_params.get("key", ""))
        payload = await _json(request, limits.body, limits.arrival)
        analysis = perspective_shape.read_analysis(payload, scorer.model.labels)
        scored = await scorer.score([analysis.text])
        judge = await judges.of(scored.model, caller.policy)
        [verdict] = judge.verdicts(scored)
        if not analysis.do_not_store:
            keep(caller, judge, [analysis.text])
        return _answer(perspective_shape.analysis_answer(analysis, verdict))

    async def report(request: Request) -> Response:
        caller = await callers.admit(_bearer(request))
        new = read_report(await _json(request, limits.body, limits.arrival), config.taxonomy)
        if config.reports is None:
            raise NotReady("reports are not taken here")
        return _answer(await _in_store(executor, config.reports.keep, caller, new), 201)

    async def report_state(request: Request) -> Response:
        caller = await callers.admit(_bearer(request))
        if config.reports is None:
            raise NotReady("reports are not taken here")
        state = await _in_store(executor, config.reports.read, caller, request.path_params["report"])
        if state is None:
            raise UnknownReport("there is no such report of this account")
        return _answer(state)

    async def rest(request: Request) -> Response:
        # Google's client libraries send the key with this, too
        await callers.admit(_bearer(request) or request.query_params.get("key", ""))
        return _answer(perspective_shape.discovery(str(request.base_url)))

    async def document(request: Request) -> Response:
        await callers.admit(_bearer(request))
        return _answer(openapi.document(str(request.base_url), limits, definitions))

    handlers: Mapping[str, tuple[Handler, str]] = {
        "/v1/moderations": (moderations, "POST"),
        "/v1/policies": (policies, "GET"),
        "/v1/models": (models, "GET"),
        "/v1/reports": (report, "POST"),
        "/v1/reports/{report}": (report_state, "GET"),
        "/v1/openapi.json": (document, "GET"),
        "/v1alpha1/comments:analyze": (analyze, "POST"),
        "/$discovery/rest": (rest, "GET"),
    }
    # Starlette without FastAPI: clients of other services expect those services' errors, and what FastAPI adds to each
    # request takes as long as the verdict on a text
    return Starlette(
        routes=[Route(path, _Endpoint(handler), methods=[method]) for path, (handler, method) in handlers.items()],
        exception_handlers={Refused: _refused, HTTPException: _http, Exception: _broken},
        lifespan=lifespan,
    )


class _Endpoint:
    """A handler as an ASGI application: what it raises is answered once, by the application around it."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._handler(Request(scope, receive))
        await response(scope, receive, send)


async def _in_store(executor: Executor, call: Callable[..., T], *arguments: Any) -> T:
    """The result of a call that needs the store, made in another thread.

    Raises:
        NotReady: the database is away.
    """
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, call, *arguments)
    except (StoreError, SQLAlchemyError, OperationalError) as error:
        raise NotReady("the database is away, and nothing was kept: send it again", retry_after=5) from error


def _check_model(name: str | None, scorer: Scorer) -> None:
    if name is None or name in openai_shape.CURRENT:
        return
    serving = scorer.model.manifest.version
    if name != serving:
        raise UnknownModel(
            f"there is no model {name[:100]!r} here: leave `model` out, or name {serving}, which serves", param="model"
        )


def _bearer(request: Request) -> str:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


async def _json(request: Request, most: int, arrival: float) -> Any:
    """The JSON of a request.

    Raises:
        TooLarge: the body has too many bytes.
        BadRequest: it does not arrive, or is not JSON.
    """
    message = f"the request has more than {most} bytes: send fewer or shorter texts at once"
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > most:
        raise TooLarge(message)
    chunks, size = [], 0
    try:
        async with asyncio.timeout(arrival):
            async for chunk in request.stream():
                size += len(chunk)
                if size > most:
                    raise TooLarge(message)
                chunks.append(chunk)
    except (TimeoutError, ClientDisconnect) as error:
        raise BadRequest("the body of the request did not arrive") from error
    body = b"".join(chunks)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as strict:
        # half of a surrogate pair is refused by one reader and sent by others
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise BadRequest(f"the body is not JSON ({strict.msg} at character {strict.pos})") from strict


def _answer(value: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers=dict(headers or {}), media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else {}
    if isinstance(error, NotReady):
        logger.warning("a request was not answered: %s", error)
    shape = perspective_shape.google_error if request.url.path.startswith(_PERSPECTIVE) else openai_shape.error_body
    return _answer(shape(error), error.status, headers)


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    refused = Refused(str(error.detail))
    body = openai_shape.error_body(refused)
    return _answer(body, error.status_code, error.headers)


async def _broken(_: Request, error: Exception) -> Response:
    logger.error("a request failed", exc_info=error)
    message = str(error) if isinstance(error, SaringError) else "the fault is ours, and is in the server's log"
    return _answer({"error": {"message": message, "type": "server_error", "param": None, "code": "failed"}}, 500)
