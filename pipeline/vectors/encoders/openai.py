"""Any server that speaks OpenAI's ``POST /embeddings``: OpenAI, vLLM, llama.cpp, Ollama, text-embeddings-inference."""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import numpy as np
import openai
import orjson
from numpy.typing import NDArray

from pipeline.errors import EncoderError
from pipeline.vectors.encoders.protocol import Vectors, unit

log = logging.getLogger(__name__)

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
_NO_KEY = "none"


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

    Raises:
        EncoderError: the server can't be reached, or does not give vectors.
    """

    def __init__(
        self, model: str, base_url: str, *, api_key: str | None = None, timeout: float = 60.0, attempts: int = 4
    ) -> None:
        self.name = f"openai:{model}"
        self._model = model
        try:
            self._client = openai.OpenAI(
                base_url=base_url,
                api_key=api_key or _NO_KEY,
                timeout=timeout,
                max_retries=attempts - 1,
            )
        except httpx2.InvalidURL as error:
            raise EncoderError(f"SARING_EMBEDDINGS_URL is no address ({error})") from error
        # the client insists on a key, but not on sending it
        self._options: openai.RequestOptions = {} if api_key else {"headers": {"Authorization": openai.Omit()}}
        self._most = _REQUEST_TEXTS
        self._packed = True
        #: 0 until the server has answered once
        self.dimension = 0
        self.dimension = self.encode(["."]).shape[1]

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See Encoder. What the server could not answer is asked for again, after twice the wait or as the server says.

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
        try:
            return self._parse(self._post(texts), len(texts))
        except openai.APIStatusError as error:
            if error.status_code not in _REFUSED or (len(texts) == 1 and len(texts[0]) <= _SHORTEST_CUT):
                raise EncoderError(
                    f"the embeddings server answered {error.status_code} for model {self._model!r}"
                ) from error
        except openai.APIConnectionError as error:
            reason = type(error.__cause__ or error).__name__
            raise EncoderError(
                f"the embeddings server at {self._client.base_url} cannot be reached ({reason}); "
                "check SARING_EMBEDDINGS_URL"
            ) from error
        if len(texts) == 1:
            log.info("the embeddings server refuses a text of %d characters; it is cut", len(texts[0]))
            return self._ask([texts[0][: max(len(texts[0]) // 2, _SHORTEST_CUT)]])
        half = len(texts) // 2
        halves = np.concatenate([self._ask(texts[:half]), self._ask(texts[half:])])
        # it is the size that was refused, since the parts were not
        self._most = min(self._most, max(half, 1))
        return halves

    def _post(self, texts: list[str]) -> bytes:
        try:
            return self._send(texts)
        except openai.APIStatusError as error:
            if not self._packed or self.dimension or error.status_code not in _REFUSED:
                raise
            # a server that is strict about fields and does not know the one that asks for base64
            self._packed = False
            return self._send(texts)

    def _send(self, texts: list[str]) -> bytes:
        # what the client makes of a list of numbers costs more than fetching it
        content = orjson.dumps(self._body(texts))
        reply = self._client.post("/embeddings", cast_to=httpx2.Response, content=content, options=self._options)
        return reply.content

    def _body(self, texts: list[str]) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self._model, "input": texts}
        return body | {"encoding_format": "base64"} if self._packed else body

    def _parse(self, reply: bytes, expected: int) -> Vectors:
        try:
            items = sorted(json.loads(reply)["data"], key=lambda item: item["index"])
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
