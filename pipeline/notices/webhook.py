"""Send a notice to a webhook: a signed JSON object by POST. Redirects are not followed."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from pipeline.errors import NoticeError, NoticeUndelivered, first_line
from pipeline.notices.addresses import checked_address
from pipeline.notices.config import Webhook
from pipeline.notices.message import Message
from pipeline.notices.signature import HEADER, sign

#: quick attempts; a notice that needs more is tried again later
_ATTEMPTS = 3
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 5.0
#: answers after which the same request may succeed
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class _NotTaken(NoticeUndelivered):
    """The receiver did not take the request, and says so, or could not be reached."""


def send(
    channel: Webhook,
    message: Message,
    *,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Send a notice.

    Only a request that was surely not taken is repeated at once.

    Raises:
        NoticeUndelivered: it may succeed later.
        NoticeError: it will not succeed as configured.
    """
    body = message.to_json()
    for attempt in Retrying(
        stop=stop_after_attempt(_ATTEMPTS),
        wait=_wait,
        retry=retry_if_exception_type(_NotTaken),
        sleep=sleep,
        reraise=True,
    ):
        with attempt:
            _post(channel, body, str(message.id), int(clock()))


def _wait(state: RetryCallState) -> float:
    return float(wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT)(state))


def _post(channel: Webhook, body: bytes, notice: str, now: int) -> None:
    url = channel.url.get_secret_value()
    parts = urlsplit(url)
    host = parts.hostname or ""
    address = checked_address(host, parts.port or (443 if parts.scheme == "https" else 80), private=channel.private)
    timeout = httpx.Timeout(channel.timeout_seconds)
    request = httpx.Request(
        "POST",
        httpx.URL(url).copy_with(host=address),
        content=body,
        headers={
            "Host": parts.netloc,
            "Content-Type": "application/json",
            "User-Agent": "Saring",
            "Saring-Notice": notice,
            HEADER: sign(body, channel.secret.get_secret_value(), now),
        },
        extensions={"timeout": timeout.as_dict(), "sni_hostname": host},
    )
    try:
        # A client would log the address, which is a secret, and follow the environment's proxies.
        with httpx.HTTPTransport(verify=httpx.create_ssl_context()) as transport:
            answer = transport.handle_request(request)
            answer.close()
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise _NotTaken(f"{channel.place} cannot be reached: {first_line(error, hidden=url)}") from error
    except httpx.TimeoutException as error:
        raise NoticeUndelivered(f"{channel.place} did not answer in {channel.timeout_seconds:g} s") from error
    except httpx.TransportError as error:
        raise NoticeUndelivered(f"{channel.place}: {first_line(error, hidden=url)}") from error
    status = answer.status_code
    if status in _PASSING:
        raise _NotTaken(f"{channel.place} answers {status}")
    if 300 <= status < 400:
        raise NoticeError(f"{channel.place} answers {status}: redirects are not followed, so give the last address")
    if not 200 <= status < 300:
        raise NoticeError(f"{channel.place} answers {status}: check the address and the secret in notices.yaml")
