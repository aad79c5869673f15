"""Any server that speaks OpenAI's ``POST /embeddings``: OpenAI, vLLM, llama.cpp, Ollama, text-embeddings-inference."""

from __future__ import annotations

import base64
import binascii
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import EncoderError
from pipeline.vectors.encoders.protocol import Vectors, unit

log = logging.getLogger(__name__)

#: longest wait before a server is asked again, in seconds
_LONGEST_WAIT = 30.0
#: characters beyond which no text is read, and those of all texts of a request
_LONGEST, _REQUEST_CHARACTERS = 8_000, 64_000
#: texts of a request, unless the server takes fewer
_REQUEST_TEXTS = 64
#: requests under way at once
_AT_ONCE = 4
#: a text that a server refuses is not cut shorter than this
_SHORTEST_CUT = 500
#: how servers say that a request is too large for them, or asks for what they don't know
_REFUSED = (400, 413, 422)


class OpenAIEncoder:
    """A model behind such a server.

    Requests are kept small enough for servers' limits; one that is refused is sent again in halves, and the smaller
    size is kept. Vectors travel in base64 where the server has it.

    Args:
        model: as the server calls it.
        base_url: what `/embeddings` is appended to.
        api_key: sent as a bearer token; never shown.
        timeout: seconds until an answer is given up.
        attempts: how often a request is sent that the server could not answer (429, 5xx, broken connections).
        first_wait: seconds before the second attempt; doubled with each, unless the server says how long.

    Raises:
        EncoderError: the server can't be reached, or does not give vectors.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        attempts: int = 4,
        first_wait: float = 0.5,
    ) -> None:
        self.name = f"openai:{model}"
        self._model = model
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        try:
            self._client = httpx.Client(
                base_url=base_url.rstrip("/") + "/",
                headers=headers,
                timeout=timeout,
            )
        except httpx.InvalidURL as error:
            raise EncoderError(f"SARING_EMBEDDINGS_URL is no address ({error})") from error
        self._attempts = attempts
        self._first_wait = first_wait
        self._most = _REQUEST_TEXTS
        self._packed = True
        #: 0 until the server has answered once
        self.dimension = 0
        self.dimension = self.encode(["."]).shape[1]

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See Encoder. Answers of 429 and 5xx are asked for again, each time after twice the wait or as told.

        Raises:
            EncoderError: the server can't be reached, refuses, or answers something else than vectors.
        """
        requests = self._requests([text[:_LONGEST] for text in texts])
        if not requests:
            return np.empty((0, self.dimension), dtype=np.float32)
        if len(requests) == 1:
            return self._ask(requests[0])
        # threads of this call alone: none is there when a worker forks
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="embeddings") as pool:
            return np.concatenate(list(pool.map(self._ask, requests)))

    def _requests(self, texts: Sequence[str]) -> list[list[str]]:
        made: list[list[str]] = []
        room = 0
        for text in texts:
            if not made or len(made[-1]) >= self._most or len(text) > room:
                made.append([])
                room = _REQUEST_CHARACTERS
            made[-1].append(text)
            room -= len(text)
        return made

    def _ask(self, texts: list[str]) -> Vectors:
        """The vectors of a request's texts, whatever part of it the server takes at once."""
        reply = self._post(texts)
        if not reply.is_error:
            return self._parse(reply, len(texts))
        if reply.status_code in _REFUSED:
            if len(texts) > 1:
                half = len(texts) // 2
                halves = np.concatenate([self._ask(texts[:half]), self._ask(texts[half:])])
                # it is the size that was refused, since the parts were not
                self._most = min(self._most, max(half, 1))
                return halves
            if len(texts[0]) > _SHORTEST_CUT:
                log.info("the embeddings server refuses a text of %d characters; it is cut", len(texts[0]))
                return self._ask([texts[0][: max(len(texts[0]) // 2, _SHORTEST_CUT)]])
        raise EncoderError(f"the embeddings server answered {reply.status_code} for model {self._model!r}")

    def _post(self, texts: list[str]) -> httpx.Response:
        """The server's answer, which may be a refusal.

        Raises:
            EncoderError: it can't be reached, or can't answer.
        """
        wait = 0.0
        for attempt in range(self._attempts):
            time.sleep(wait)
            wait = self._first_wait * 2**attempt
            try:
                reply = self._client.post("embeddings", json=self._body(texts))
                if self._packed and not self.dimension and reply.status_code in _REFUSED:
                    # a server that is strict about fields and does not know this one
                    self._packed = False
                    reply = self._client.post("embeddings", json=self._body(texts))
            except httpx.HTTPError as error:
                trouble = EncoderError(
                    f"the embeddings server at {self._client.base_url} cannot be reached ({type(error).__name__}); "
                    "check SARING_EMBEDDINGS_URL"
                )
                trouble.__cause__ = error
                continue
            if reply.status_code != httpx.codes.TOO_MANY_REQUESTS and not reply.is_server_error:
                return reply
            trouble = EncoderError(f"the embeddings server answered {reply.status_code} for model {self._model!r}")
            wait = max(wait, _retry_after(reply))
        raise trouble

    def _body(self, texts: list[str]) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self._model, "input": texts}
        return body | {"encoding_format": "base64"} if self._packed else body

    def _parse(self, reply: httpx.Response, expected: int) -> Vectors:
        try:
            items = sorted(reply.json()["data"], key=lambda item: item["index"])
            vectors = np.asarray([_numbers(item["embedding"]) for item in items], dtype=np.float32)
        except (ValueError, KeyError, TypeError) as error:
            raise EncoderError("the embeddings server's answer is not in the shape of OpenAI's /embeddings") from error
        if vectors.ndim != 2 or len(vectors) != expected:
            raise EncoderError(f"the embeddings server gave {len(vectors)} vectors for {expected} texts")
        if not np.isfinite(vectors).all():
            raise EncoderError(f"the embeddings server gave numbers that are not finite for model {self._model!r}")
        if vectors.shape[1] != (self.dimension or vectors.shape[1]):
            raise EncoderError(
                f"the embeddings server now gives {vectors.shape[1]} dimensions for model {self._model!r}, "
                f"not {self.dimension}: it serves another model under that name"
            )
        return unit(vectors)


def _numbers(embedding: object) -> NDArray[np.float32] | object:
    """An embedding as numbers, if it came as base64 of little-endian single precision."""
    if not isinstance(embedding, str):
        return embedding
    try:
        return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4")
    except binascii.Error as error:
        raise ValueError("no base64") from error


def _retry_after(reply: httpx.Response) -> float:
    said = reply.headers.get("retry-after", "")
    return min(float(said), _LONGEST_WAIT) if said.isdigit() else 0.0
