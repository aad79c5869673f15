"""Translators by name: a configured language model, or a translation model on this machine."""

from __future__ import annotations

from sqlalchemy import Engine

from pipeline.errors import UsageError
from pipeline.llm.budget import Allowance
from pipeline.llm.config import default_rater, llm_config
from pipeline.llm.translation.protocol import Translator
from pipeline.settings import Settings

SEQ2SEQ = "seq2seq"


def make_translator(
    name: str | None,
    settings: Settings,
    engine: Engine,
    *,
    most_tokens: int | None = None,
    most_cost: float | None = None,
    allowance: Allowance | None = None,
) -> Translator:
    """The translator of that name: a rater's name, or `seq2seq:PATH`; without a name, the default language model.

    `most_tokens` and `most_cost` limit a language model from now on, or `allowance` limits it over all runs; a model on
    this machine costs nothing.

    Raises:
        UsageError: no translator has that name, or no language model is configured.
        LlmError: its server does not list its models.
        ModelError: the translation model cannot be loaded.
    """
    name = name or default_rater(settings)
    kind, _, path = name.partition(":")
    if kind == SEQ2SEQ and path:
        # Torch takes seconds to load, so it is imported only here.
        from pipeline.llm.translation.seq2seq import Seq2SeqTranslator

        return Seq2SeqTranslator(path)
    if name == "bootstrap":
        raise UsageError(
            "no translator is configured: set SARING_LLM_URL, describe a language model in "
            f"{settings.raters_file}, or name a translation model with --with seq2seq:PATH"
        )
    # The client of OpenAI's protocol takes half a second to load.
    from pipeline.llm.client import find_model
    from pipeline.llm.translation.llm import LlmTranslator

    config = find_model(llm_config(settings, name))
    return LlmTranslator(config, engine, most_tokens=most_tokens, most_cost=most_cost, allowance=allowance)
