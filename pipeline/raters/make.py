"""Raters by name: `bootstrap`, and every language model that is configured."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine

from pipeline.errors import UsageError
from pipeline.raters.bootstrap import BootstrapRater
from pipeline.raters.llm.config import DEFAULT_NAME, load_raters, raters_file
from pipeline.raters.protocol import Rater
from pipeline.settings import Settings
from pipeline.taxonomy import Taxonomy
from pipeline.vectors.encoders.protocol import Encoder

BOOTSTRAP = "bootstrap"


def default_rater(settings: Settings) -> str:
    """Who judges where nobody is named: the one language model that is configured, else `bootstrap`.

    Raises:
        UsageError: several are configured, and none is called `llm`.
    """
    known = load_raters(settings)
    if DEFAULT_NAME in known:
        return DEFAULT_NAME
    if len(known) > 1:
        raise UsageError(f"{raters_file(settings)} has {', '.join(known)}: say which one judges, with --rater")
    return next(iter(known), BOOTSTRAP)


def known_rater(settings: Settings, name: str | None) -> str:
    """The name of a rater that there is.

    Raises:
        UsageError: there is none of that name.
    """
    if name is None:
        return default_rater(settings)
    if name != BOOTSTRAP and name not in (known := load_raters(settings)):
        raise UsageError(
            f"no rater is called {name!r}; there are {', '.join([BOOTSTRAP, *known])}: set SARING_LLM_URL, or describe "
            f"it in {raters_file(settings)} (docs/raters.md)"
        )
    return name


def make_rater(
    name: str, settings: Settings, taxonomy: Taxonomy, engine: Engine, encoder: Callable[[], Encoder]
) -> Rater:
    """The rater of that name.

    Args:
        name: from `known_rater`.
        settings: where language models are configured.
        taxonomy: the labels that it is to judge.
        engine: the store, where what a model answered is kept.
        encoder: gives the encoder, to a rater that needs one.

    Raises:
        UsageError: it is configured in a way that can't be meant.
        RaterError: its server can't be asked which model it has.
    """
    if name == BOOTSTRAP:
        return BootstrapRater(taxonomy, encoder())
    # the official client takes a second to import
    from pipeline.raters.llm.client import the_model
    from pipeline.raters.llm.rater import LLMRater

    config = load_raters(settings)[known_rater(settings, name)]
    return LLMRater(taxonomy, config, the_model(config), engine)
