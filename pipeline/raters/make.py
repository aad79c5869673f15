"""Raters by name: the bootstrap rater, or a configured language model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from pipeline.llm.config import LlmConfig, llm_config, llm_configs
from pipeline.raters.bootstrap import BootstrapRater
from pipeline.raters.protocol import Rater
from pipeline.settings import Settings
from pipeline.taxonomy import Taxonomy
from pipeline.vectors.encoders.protocol import Encoder

if TYPE_CHECKING:
    from pipeline.raters.llm.rater import LlmRater

BOOTSTRAP = "bootstrap"


def make_rater(
    name: str, settings: Settings, taxonomy: Taxonomy, engine: Engine, encoder: Callable[[], Encoder]
) -> Rater:
    """The rater of that name.

    Args:
        name: `bootstrap`, or a name in `llm_configs`.
        settings: the settings, which name the file of language models.
        taxonomy: the labels.
        engine: the store.
        encoder: gives the encoder, for a rater that needs vectors.

    Raises:
        UsageError: no rater has that name, or its configuration is not valid.
        LlmError: its server does not list its models.
    """
    if name == BOOTSTRAP:
        return BootstrapRater(taxonomy, encoder())
    # These modules take a while to load, so they are imported only here.
    from pipeline.llm.client import find_model

    return llm_rater(find_model(llm_config(settings, name)), settings, taxonomy, engine)


def llm_rater(config: LlmConfig, settings: Settings, taxonomy: Taxonomy, engine: Engine) -> LlmRater:
    """A language model as a rater, with the translator that its prompt wants.

    Args:
        config: the model, which must be named: see `find_model`.
        settings: the settings, which name the file of language models.
        taxonomy: the labels.
        engine: the store.

    Raises:
        UsageError: there is no such translator.
    """
    from pipeline.llm.translation.make import make_translator
    from pipeline.raters.llm.rater import LlmRater

    translator = None
    if config.prompt.text != "original":
        translator = make_translator(config.prompt.translator or config.name, settings, engine)
    return LlmRater(config, taxonomy, engine, translator=translator)


def rater_names(settings: Settings) -> tuple[str, ...]:
    """Names of all configured raters."""
    return (BOOTSTRAP, *sorted(llm_configs(settings)))
