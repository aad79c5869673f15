"""A browser that is gone is no fault; anything else that goes wrong is one."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from saring.web.gone import QuietlyGone


def _pass_on(error: BaseException) -> None:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        raise error

    asyncio.run(QuietlyGone(app)({"type": "http"}, None, None))  # type: ignore[arg-type]


def test_a_stream_that_nobody_reads_ends_quietly() -> None:
    _pass_on(anyio.BrokenResourceError())
    _pass_on(
        ExceptionGroup("tasks", [anyio.BrokenResourceError(), ExceptionGroup("more", [anyio.ClosedResourceError()])])
    )


def test_what_else_went_wrong_is_raised() -> None:
    with pytest.raises(KeyError):
        _pass_on(KeyError("x"))
    with pytest.raises(ExceptionGroup) as raised:
        _pass_on(ExceptionGroup("tasks", [anyio.BrokenResourceError(), KeyError("x")]))
    assert raised.group_contains(KeyError)
    assert not raised.group_contains(anyio.BrokenResourceError)
