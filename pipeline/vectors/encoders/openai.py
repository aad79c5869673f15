"""An encoder behind any server with OpenAI's ``POST /embeddings``: OpenAI, vLLM, llama.cpp, Ollama and others."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import numpy as np
import openai
import orjson

from pipeline.errors import EncoderError
from pipeline.openai_server import ServerError, error_in, error_of_status, hint, make_client, read_json
from pipeline.retry_after import wait_before
from pipeline.vectors.encoders.openai_reply import Row, UnclearOrderError, UnreadableError, WrongCountError, read_rows
from pipeline.vectors.encoders.protocol import Encoded, Vectors, unit

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
#: status codes that say nothing of the texts
_NOT_OF_TEXTS = frozenset({401, 402, 403, 404, 405, 408, 429, 503, 504, 529})
#: seconds before a request is repeated that failed with status 200, and at most
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 8.0
#: number of texts of which at least one must have a vector
_FEW = 4
#: a text that any model has a vector for
_PLAIN = "."


class _Refused(Exception):
    """The server's error."""

    def __init__(self, error: ServerError) -> None:
        super().__init__(error.message)
        self.error = error


class _OddReplyError(EncoderError):
    """The server's answer has another form."""


class OpenAIEncoder:
    """An embedding model behind such a server.

    Requests are small enough for the limits of servers. A refused request is sent again in halves, and the smaller size
    is kept. A text that fails is tried alone, and shortened. Vectors are sent in base64 where the server supports it.

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
        self._url, self._key = base_url, api_key or ""
        self._attempts = attempts
        try:
            self._client = make_client(base_url, api_key, timeout=timeout, retries=attempts - 1)
        except httpx2.InvalidURL as error:
            raise EncoderError(f"SARING_EMBEDDINGS_URL is not a valid address ({error})") from error
        self._once = self._client.with_options(max_retries=0)
        # The client requires a key, but the header can be left out.
        self._options: openai.RequestOptions = {} if api_key else {"headers": {"Authorization": openai.Omit()}}
        self._most = _REQUEST_TEXTS
        self._packed = True
        #: dimension of the vectors; 0 until the server has answered once
        self.dimension = 0
        self.dimension = self.encode([_PLAIN]).shape[1]

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder`. Failed requests are retried, after twice the last wait or the time that the server asks for.

        Raises:
            EncoderError: the server cannot be reached, refuses the request, or has no vector of a text.
        """
        encoded = self.encode_some(texts)
        if encoded.failed:
            place, reason = next(iter(encoded.failed.items()))
            raise EncoderError(f"the embeddings server has no vector for text {place + 1} of {len(texts)}: {reason}")
        return encoded.vectors

    def encode_some(self, texts: Sequence[str]) -> Encoded:
        """See `PartialEncoder`."""
        call = _Call(self)
        requests = self._requests([text[:_LONGEST] for text in texts])
        if len(requests) < 2:
            rows = [row for request in requests for row in call.rows(request)]
        else:
            # The threads end with this call, so that there are none when a worker forks.
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="embeddings") as pool:
                rows = [row for some in pool.map(call.rows, requests) for row in some]
        places = [place for place, row in enumerate(rows) if not isinstance(row, str)]
        failed = {place: row for place, row in enumerate(rows) if isinstance(row, str)}
        if failed and not places and (len(failed) >= _FEW or not self.dimension):
            count = f"any of {len(failed)} texts" if len(failed) > 1 else "a plain text"
            raise EncoderError(f"the embeddings server has no vector for {count} by model {self._model!r}: {failed[0]}")
        if not places:
            return Encoded([], np.empty((0, self.dimension), dtype=np.float32), failed)
        return Encoded(places, unit(np.stack([rows[place] for place in places])), failed)

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

    def post(self, texts: list[str], *, again: bool = True) -> list[Row]:
        """One row for each text: its vector, or the reason why there is none.

        Args:
            texts: not too many.
            again: True: a request that fails is repeated.

        Raises:
            EncoderError: the server cannot be reached.
            _OddReplyError: its answer has another form.
            _Refused: it answers with an error.
            UnclearOrderError: it is not clear which vector is of which text.
        """
        try:
            document = self._document(texts, again=again)
        except openai.APIConnectionError as error:
            reason = type(error.__cause__ or error).__name__
            raise EncoderError(
                f"the embeddings server at {self._client.base_url} cannot be reached ({reason}); "
                "check SARING_EMBEDDINGS_URL"
            ) from error
        try:
            return read_rows(document, len(texts), self.dimension)
        except WrongCountError as error:
            raise _OddReplyError(f"the embeddings server gave {error} vectors for {len(texts)} texts") from error
        except UnreadableError as error:
            raise _OddReplyError(f"{error} (model {self._model!r}){hint(self._url)}") from error

    def _document(self, texts: list[str], *, again: bool) -> Any:
        attempt = 1
        while True:
            content = self._content(texts, again=again)
            try:
                document = read_json(content)
            except ValueError as error:
                raise _OddReplyError(
                    f"the embeddings server's answer does not have the form of OpenAI's /embeddings{hint(self._url)}"
                ) from error
            if (failure := error_in(document, self._key, *texts)) is None:
                return document
            passing = failure.status == 429 or failure.status >= 500
            if not passing or attempt == self._attempts or not again:
                raise _Refused(failure)
            time.sleep(wait_before(attempt, first=_FIRST_WAIT, longest=_LONGEST_WAIT))
            attempt += 1

    def _content(self, texts: list[str], *, again: bool) -> bytes:
        try:
            return self._send(texts, again=again)
        except _Refused as refusal:
            if not self._packed or self.dimension or refusal.error.status not in _REFUSED:
                raise
            # The server refuses unknown fields and does not know the field for base64.
            self._packed = False
            return self._send(texts, again=again)

    def _send(self, texts: list[str], *, again: bool) -> bytes:
        client = self._client if again else self._once
        # The raw response: the client takes longer to parse a list of numbers than to fetch it.
        content = orjson.dumps(self._body(texts))
        try:
            reply = client.post("/embeddings", cast_to=httpx2.Response, content=content, options=self._options)
        except openai.APIStatusError as error:
            raise _Refused(error_of_status(error, self._key, *texts)) from error
        return reply.content

    def _body(self, texts: list[str]) -> dict[str, Any]:
        # Lone surrogates cannot be sent.
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        body: dict[str, Any] = {"model": self._model, "input": clean}
        return body | {"encoding_format": "base64"} if self._packed else body

    def fits(self, count: int) -> None:
        """Record that the server refused more texts in a request than `count`, and took that many."""
        self._most = min(self._most, max(count, 1))

    def complaint(self, error: ServerError) -> str:
        """A server's error as a message."""
        # The message of a refused key may repeat it.
        words = f': "{error.message}"' if error.message and error.status not in (401, 403) else ""
        where = hint(self._url) if error.status in (404, 405) else ""
        return f"the embeddings server answered {error.status} for model {self._model!r}{words}{where}"


class _Call:
    """One call of an encoder: the rows of its texts, and whether the server is known to work."""

    def __init__(self, encoder: OpenAIEncoder) -> None:
        self._encoder = encoder
        self._works = False
        self._lock = threading.Lock()

    def rows(self, texts: list[str], *, again: bool = True) -> list[Row]:
        """A row for each text of a request, in several requests if the server refuses this one."""
        try:
            rows = self._encoder.post(texts, again=again)
        except _Refused as refusal:
            return self._smaller(texts, refusal.error)
        except UnclearOrderError:
            return self._halves(texts, again=again)
        except _OddReplyError as error:
            self._check(error)
            return self._halves(texts, again=again) if len(texts) > 1 else [str(error)]
        if len(texts) == 1:
            return rows
        bad = [place for place, row in enumerate(rows) if isinstance(row, str)]
        if len(bad) == len(texts):
            reason = rows[0]
            self._check(EncoderError(f"the embeddings server has no vector for {len(texts)} texts: {reason}"))
        for place in bad:
            # The text may fail in this company only.
            rows[place] = self.rows([texts[place]])[0]
        return rows

    def _smaller(self, texts: list[str], error: ServerError) -> list[Row]:
        if error.status in _NOT_OF_TEXTS:
            raise EncoderError(self._encoder.complaint(error))
        if error.status not in _REFUSED or (len(texts) == 1 and len(texts[0]) <= _SHORTEST_CUT):
            self._check(EncoderError(self._encoder.complaint(error)))
        if len(texts) > 1:
            rows = self._halves(texts, again=False)
            if error.status in _REFUSED and not any(isinstance(row, str) for row in rows):
                # The server refused the size, since it accepted the halves.
                self._encoder.fits(len(texts) // 2)
            return rows
        text = texts[0]
        if len(text) > _SHORTEST_CUT:
            log.info("the embeddings server refuses a text of %d characters: it is shortened", len(text))
            return self.rows([text[: max(len(text) // 2, _SHORTEST_CUT)]], again=False)
        return [self._encoder.complaint(error)]

    def _halves(self, texts: list[str], *, again: bool) -> list[Row]:
        half = len(texts) // 2
        # The last attempt of a text is repeated, so that it is not held against the text if the server was busy.
        return [row for part in (texts[:half], texts[half:]) for row in self.rows(part, again=again or len(part) == 1)]

    def _check(self, error: EncoderError) -> None:
        """Ask for a plain text once, to know whether texts are at fault or the server.

        Raises:
            EncoderError: the given one: the server fails with a plain text too.
        """
        with self._lock:
            if not self._works:
                try:
                    self._works = not isinstance(self._encoder.post([_PLAIN], again=False)[0], str)
                except (_Refused, _OddReplyError):
                    self._works = False
            if not self._works:
                raise error
