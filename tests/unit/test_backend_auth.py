"""Who may ask what."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping

import httpx
import pytest
from starlette.responses import PlainTextResponse

from ml_backend.auth import Gate
from pipeline.backend_credentials import WEBHOOK_HEADER, BackendCredentials

CREDENTIALS = BackendCredentials("me", "pä:ss", "s3cret")
PATHS = ["/predict", "/setup", "/versions", "/webhook", "/", "/v1/moderations", "/nothing", "/health/more"]


def ask(
    path: str, headers: Mapping[str, str | bytes] | None = None, auth: tuple[str, str] | None = None
) -> httpx.Response:
    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(Gate(PlainTextResponse("inside"), CREDENTIALS))
        async with httpx.AsyncClient(transport=transport, base_url="http://here", auth=auth) as client:
            return await client.get(path, headers=_encoded(headers))

    return asyncio.run(get())


def _encoded(headers: Mapping[str, str | bytes] | None) -> list[tuple[bytes, bytes]]:
    return [(k.encode(), v if isinstance(v, bytes) else v.encode("latin-1")) for k, v in (headers or {}).items()]


def basic(written: bytes) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(written).decode()}"}


@pytest.mark.parametrize("path", ["/health", "/health/"])
def test_the_health_is_open(path: str) -> None:
    assert ask(path).text == "inside"


@pytest.mark.parametrize("path", PATHS)
def test_nothing_else_is_open(path: str) -> None:
    refused = ask(path)
    assert (refused.status_code, refused.headers["www-authenticate"][:5]) == (401, "Basic")
    assert ask(path, auth=("me", "pä:ss")).text == "inside"


@pytest.mark.parametrize(
    "headers",
    [
        basic(b"me:wrong"),
        basic("you:pä:ss".encode()),
        basic(b"me"),
        basic(b":"),
        basic(b""),
        basic(b"\xff\xfe:\x00"),
        {"Authorization": "Basic not-base-64!"},
        {"Authorization": "Basic"},
        {"Authorization": ""},
        {"Authorization": b"Bearer p\xc3\xa4:ss"},
        {WEBHOOK_HEADER: "s3cret"},
    ],
)
def test_wrong_credentials_are_refused(headers: Mapping[str, str | bytes]) -> None:
    assert ask("/predict", headers).status_code == 401


def test_a_webhook_may_bring_its_secret() -> None:
    assert ask("/webhook", {WEBHOOK_HEADER: "s3cret"}).text == "inside"


@pytest.mark.parametrize("wrong", [b"", b"s3cre", b"s3crets", b"S3CRET", b"s3cret\xe9"])
def test_a_webhook_with_another_secret_is_refused(wrong: bytes) -> None:
    assert ask("/webhook", {WEBHOOK_HEADER: wrong}).status_code == 401
