"""Embed texts, and have raters judge them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.errors import EncoderError, UsageError
from pipeline.llm.config import SETTINGS_RATER, default_rater
from pipeline.progress import Progress, silent
from pipeline.raters.judge import JudgeParams, JudgeReport, JudgeStage
from pipeline.raters.make import rater_names
from pipeline.runs.executor import Executor, run
from pipeline.settings import Settings
from pipeline.vectors.embed import EmbedParams, EmbedReport, EmbedStage
from pipeline.vectors.encoders.make import space_name
from pipeline.vectors.spaces import active_space
from saring.context import Context

if TYPE_CHECKING:
    from pipeline.raters.improve.improve import Forecast, Improvement, ImproveOptions


def embed(
    home: Context,
    encoder: str | None = None,
    *,
    limit: int | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> EmbedReport:
    """Compute a vector for each text in scope that has none.

    If the settings name another encoder than the one in use, its vectors are computed beside those in use. They are
    used as soon as every text has one.

    Args:
        home: the home with the store.
        encoder: the encoder to use; the encoder in use stays. None: the one of the settings.
        limit: size of the random sample of texts to embed; None: all.
        executor: the place where the stage runs; None: this process.
        progress: called after every chunk.

    Raises:
        EncoderError: the encoder can't be used.
        RunConflict: the stage is running for this encoder already.
    """
    try:
        return run(EmbedStage(), home, EmbedParams(encoder, limit), executor=executor, progress=progress)
    except EncoderError:
        active = _space_beside(home) if encoder is None else None
        if active is not None:
            # The other stages keep using the encoder in use, so new texts need its vectors.
            run(EmbedStage(), home, EmbedParams(active, limit), executor=executor, progress=progress)
        raise


def _space_beside(home: Context) -> str | None:
    """The space in use, if the settings name another encoder; else None."""
    with home.begin() as session:
        active = active_space(session)
    return active if active != space_name(home.settings.encoder) else None


def judge(
    home: Context,
    rater: str | None = None,
    *,
    limit: int | None = None,
    most_tokens: int | None = None,
    most_cost: float | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> JudgeReport:
    """Have a rater judge the texts that it has not judged yet.

    Args:
        home: the home with the store.
        rater: `bootstrap`, or the name of a language model; None: the language model if one is set up, else bootstrap.
        limit: size of the random sample of texts to judge; None: all.
        most_tokens: stop before a language model uses more tokens.
        most_cost: stop before it costs more.
        executor: the place where the stage runs; None: this process.
        progress: called as judgements arrive.

    Raises:
        UsageError: there is no such rater.
        LlmError: its server cannot be asked.
        RunConflict: the rater is judging already.
    """
    name = require_rater(home.settings, rater)
    params = JudgeParams(name, limit, most_tokens, most_cost)
    return run(JudgeStage(), home, params, executor=executor, progress=progress)


def improve_rater(
    home: Context,
    name: str,
    options: ImproveOptions,
    *,
    tell: Callable[[Forecast], None] = lambda _: None,
    progress: Progress = silent,
) -> Improvement:
    """Propose a better prompt for a language model from what people judged, and measure it beside the present one.

    The proposal is written to a file in the home. No rater uses it until `raters.yaml` names it.

    Args:
        home: the home with the store.
        name: the rater's name.
        options: see `ImproveOptions`.
        tell: called with what it may take, before anything is sent.
        progress: called as replies arrive.

    Raises:
        UsageError: no language model has that name.
        InputError: people judged too few texts.
        LlmError: its server cannot be asked.
    """
    from pipeline.llm.client import find_model
    from pipeline.llm.config import llm_config
    from pipeline.raters.improve.improve import improve

    config = find_model(llm_config(home.settings, name))
    return improve(
        config,
        home.settings,
        home.taxonomy,
        home.engine,
        options,
        now=datetime.now(UTC),
        tell=tell,
        progress=progress,
    )


def require_rater(settings: Settings, rater: str | None) -> str:
    """The name of the chosen rater, or of the default rater.

    Raises:
        UsageError: there is no rater of this name.
    """
    name = rater or default_rater(settings)
    names = rater_names(settings)
    if name in names:
        return name
    known = ", ".join(names)
    if name == SETTINGS_RATER:
        raise UsageError(f"the rater {name!r} needs a server: set SARING_LLM_URL, or choose one of {known}")
    raise UsageError(f"no rater is called {name!r}: choose one of {known}, or describe it in {settings.raters_file}")
