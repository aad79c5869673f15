"""Label Studio's ML-backend protocol over HTTP.

What may take time runs in threads: one for small requests, one for large ones, a few for events, one for metrics. The
event loop only reads and writes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ml_backend.auth import BY_PASSWORD, Gate
from ml_backend.config import BackendConfig
from ml_backend.metrics import CONTENT_TYPE, Stopwatch
from ml_backend.service import Service, decode
from ml_backend.tries import Tries
from pipeline.errors import InputError, StoreError

logger = logging.getLogger(__name__)

#: bytes of a request that are read and decoded on the event loop
_SMALL_BODY = 64 << 10


def create_app(config: BackendConfig) -> FastAPI:
    """The application; its background work begins and ends with its lifespan."""
    service = Service(config)
    events = ThreadPoolExecutor(2, thread_name_prefix="saring-events")
    scrapes = ThreadPoolExecutor(1, thread_name_prefix="saring-metrics")
    #: large bodies are taken one after the other, so that memory stays within bounds
    large = asyncio.Semaphore(1)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, service.start)
        try:
            yield
        finally:
            await loop.run_in_executor(None, service.close)
            events.shutdown()
            scrapes.shutdown()

    app = FastAPI(title="Saring", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service = service
    app.add_middleware(Gate, credentials=config.credentials, tries=Tries(allowed=config.limits.tries))
    # added last, so that it comes first and sees those whom the gate refuses
    app.add_middleware(Stopwatch, metrics=service.metrics, routes=app.routes)
    app.add_exception_handler(InputError, _bad_request)

    @app.get("/health")
    async def health() -> Response:
        return _json(service.health())

    @app.post("/setup")
    async def setup(request: Request) -> Response:
        # what it says of the project is of no use here: labels are checked against the config of each request
        await _body(request, config)
        return _json(service.setup())

    @app.get("/versions")
    async def versions() -> Response:
        return _json(await asyncio.get_running_loop().run_in_executor(events, service.versions))

    @app.get("/metrics")
    async def metrics() -> Response:
        shown = await asyncio.get_running_loop().run_in_executor(scrapes, service.metrics.scrape)
        return Response(shown, headers={"Content-Type": CONTENT_TYPE})

    async def predict(request: Request) -> Response:
        if _length(request) <= _SMALL_BODY:
            asked = service.asked(decode(await _body(request, config)))
            if len(asked.tasks) <= config.limits.small:
                return _json({"results": await service.batcher.small(asked)})
            return _results(await service.batcher.large(lambda: asked))
        async with large:
            body = await _body(request, config)
            return _results(await service.batcher.large(lambda: service.asked(decode(body))))

    # without FastAPI's reading of parameters, of which there are none: a fifth of the time of a small request
    app.add_route("/predict", predict, methods=["POST"])

    @app.post("/webhook")
    async def webhook(request: Request) -> Response:
        by_password = bool(request.scope.get(BY_PASSWORD))
        body = await _body(request, config)
        try:
            kept = await asyncio.get_running_loop().run_in_executor(
                events, lambda: service.receive(decode(body), len(body), by_password=by_password)
            )
        except (StoreError, SQLAlchemyError) as error:
            logger.warning("an event was not stored: %s", type(error).__name__)
            return PlainTextResponse("the event cannot be stored now\n", status_code=503)
        if not kept:
            raise InputError("the event has no `action`")
        return _json({"status": "ok"}, 201)

    return app


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def _results(listed: bytes) -> Response:
    return Response(b'{"results":' + listed + b"}", media_type="application/json")


async def _bad_request(_: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", status_code=400)


def _length(request: Request) -> int:
    """Bytes that the request announces; a great many if it does not say."""
    try:
        return int(request.headers.get("content-length", ""))
    except ValueError:
        return 1 << 62


async def _body(request: Request, config: BackendConfig) -> bytes:
    """The body, as far as it may be read.

    Raises:
        HTTPException: it is too long, or does not arrive.
    """
    limits = config.limits
    announced = request.headers.get("content-length")
    if announced is not None and _length(request) > limits.body:
        raise HTTPException(413, f"the body has more than {limits.body} bytes: select fewer tasks")
    chunks, size = [], 0
    try:
        async with asyncio.timeout(limits.arrival):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.body:
                    raise HTTPException(413, f"the body has more than {limits.body} bytes: select fewer tasks")
                chunks.append(chunk)
    except TimeoutError as error:
        raise HTTPException(408, "the body did not arrive in time") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the body ended early") from error
    return b"".join(chunks)
