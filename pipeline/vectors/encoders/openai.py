"""An encoder behind any server with OpenAI's ``POST /embeddings``: OpenAI, vLLM, llama.cpp, Ollama and others."""

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

#: largest number of characters of a text, the rest of which is ignored, and of all texts of a request
_LONGEST, _REQUEST_CHARACTERS = 8_000, 64_000
#: largest number of texts of a request, unless the server accepts fewer
_REQUEST_TEXTS = 64
#: number of requests at once
_AT_ONCE = 4
#: least number of characters of a text that is shortened because the server refuses it
_SHORTEST_CUT = 500
#: status codes for requests that are too large, or have a field that the server does not know
_REFUSED = (400, 413, 422)
_NO_KEY = "none"


class OpenAIEncoder:
    """An embedding model behind such a server.

    Requests are small enough for the limits of servers. A refused request is sent again in halves, and the smaller size
    is kept. Vectors are sent in base64 where the server supports it.

    Args:
        model: the server's name of the model.
        base_url: the address to which `/embeddings` is appended.
        api_key: sent as a bearer token; never shown.
        timeout: seconds to wait for an answer.
        attempts: attempts of a request that fails (429, 5xx, broken connections).

    Raises:
        EncoderError: the server cannot be reached, or does not give vectors.
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
            raise EncoderError(f"SARING_EMBEDDINGS_URL is not a valid address ({error})") from error
        # The client requires a key, but the header can be left out.
        self._options: openai.RequestOptions = {} if api_key else {"headers": {"Authorization": openai.Omit()}}
        self._most = _REQUEST_TEXTS
        self._packed = True
        #: dimension of the vectors; 0 until the server has answered once
        self.dimension = 0
        self.dimension = self.encode(["."]).shape[1]

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder`. Failed requests are retried, after twice the last wait or the time that the server asks for.

        Raises:
            EncoderError: the server cannot be reached, refuses the request, or does not answer with vectors.
        """
        requests = self._requests([text[:_LONGEST] for text in texts])
        if not requests:
            return np.empty((0, self.dimension), dtype=np.float32)
        if len(requests) == 1:
            return self._ask(requests[0])
        # The threads end with this call, so that there are none when a worker forks.
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
        """The vectors of a request's texts, in several requests if the server refuses this one."""
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
            log.info("the embeddings server refuses a text of %d characters: it is shortened", len(texts[0]))
            return self._ask([texts[0][: max(len(texts[0]) // 2, _SHORTEST_CUT)]])
        half = len(texts) // 2
        halves = np.concatenate([self._ask(texts[:half]), self._ask(texts[half:])])
        # The server refused the size, since it accepted the halves.
        self._most = min(self._most, max(half, 1))
        return halves

    def _post(self, texts: list[str]) -> bytes:
        try:
            return self._send(texts)
        except openai.APIStatusError as error:
            if not self._packed or self.dimension or error.status_code not in _REFUSED:
                raise
            # The server refuses unknown fields and does not know the field for base64.
            self._packed = False
            return self._send(texts)

    def _send(self, texts: list[str]) -> bytes:
        # The raw response: the client takes longer to parse a list of numbers than to fetch it.
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
            raise EncoderError(
                "the embeddings server's answer does not have the form of OpenAI's /embeddings"
            ) from error
        if vectors.ndim != 2 or len(vectors) != expected:
            raise EncoderError(f"the embeddings server gave {len(vectors)} vectors for {expected} texts")
        if not np.isfinite(vectors).all():
            raise EncoderError(f"the embeddings server gave numbers that are not finite for model {self._model!r}")
        if vectors.shape[1] != (self.dimension or vectors.shape[1]):
            raise EncoderError(
                f"the embeddings server now gives {vectors.shape[1]} dimensions for model {self._model!r}, "
                f"not {self.dimension}: it has another model under that name"
            )
        return unit(vectors)


def _numbers(embedding: object) -> NDArray[np.float32] | object:
    """An embedding as numbers; base64 is decoded as little-endian single precision."""
    if not isinstance(embedding, str):
        return embedding
    try:
        return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4")
    except binascii.Error as error:
        raise ValueError("no base64") from error
