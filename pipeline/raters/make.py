"""The rater of a name: the bootstrap rater, or a language model that is configured."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine

from pipeline.llm.config import llm_config, llm_configs
from pipeline.raters.bootstrap import BootstrapRater
from pipeline.raters.protocol import Rater
from pipeline.settings import Settings
from pipeline.taxonomy import Taxonomy
from pipeline.vectors.encoders.protocol import Encoder

BOOTSTRAP = "bootstrap"


def make_rater(
    name: str, settings: Settings, taxonomy: Taxonomy, engine: Engine, encoder: Callable[[], Encoder]
) -> Rater:
    """The rater of that name.

    Args:
        name: `bootstrap`, or one of `llm_configs`.
        settings: where language models are described.
        taxonomy: the labels.
        engine: the store.
        encoder: gives the encoder, for a rater that needs vectors.

    Raises:
        UsageError: there is none of that name, or its description is wrong.
        LlmError: its server cannot be asked which models it has.
    """
    if name == BOOTSTRAP:
        return BootstrapRater(taxonomy, encoder())
    # what they are made of takes a while to load
    from pipeline.llm.client import find_model
    from pipeline.llm.translation.make import make_translator
    from pipeline.raters.llm.rater import LlmRater

    config = find_model(llm_config(settings, name))
    translator = None
    if config.prompt.text != "original":
        translator = make_translator(config.prompt.translator or name, settings, engine)
    return LlmRater(config, taxonomy, engine, translator=translator)


def rater_names(settings: Settings) -> tuple[str, ...]:
    """Every rater that may be asked for."""
    return (BOOTSTRAP, *sorted(llm_configs(settings)))
