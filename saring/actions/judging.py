"""Embed texts, and have raters judge them."""

from __future__ import annotations

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


def embed(
    home: Context,
    encoder: str | None = None,
    *,
    limit: int | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> EmbedReport:
    """Give each text in scope its vector; only missing ones are computed.

    Where the settings name another encoder than the one in use, its vectors are computed beside those in use, and used
    from the moment when no text lacks one.

    Args:
        home: whose store.
        encoder: compute the vectors of this one, and leave what is in use as it is.
        limit: keep to a random sample of so many texts.
        executor: who does it; without one, this process.
        progress: told of every chunk.

    Raises:
        EncoderError: the encoder can't be used.
        RunConflict: its space is being filled already.
    """
    try:
        return run(EmbedStage(), home, EmbedParams(encoder, limit), executor=executor, progress=progress)
    except EncoderError:
        active = _space_beside(home) if encoder is None else None
        if active is not None:
            # The stages go on in the space in use, so new texts need their vectors there.
            run(EmbedStage(), home, EmbedParams(active, limit), executor=executor, progress=progress)
        raise


def _space_beside(home: Context) -> str | None:
    """The space in use, where the settings name another encoder."""
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
        home: whose store.
        rater: `bootstrap`, or a language model that is described; None: the language model if there is one.
        limit: keep to a random sample of so many texts.
        most_tokens: stop before a language model takes more.
        most_cost: stop before it costs more.
        executor: who does it; without one, this process.
        progress: told as verdicts come.

    Raises:
        UsageError: there is no such rater.
        LlmError: its server cannot be asked.
        RunConflict: the rater is at work already.
    """
    name = require_rater(home.settings, rater)
    params = JudgeParams(name, limit, most_tokens, most_cost)
    return run(JudgeStage(), home, params, executor=executor, progress=progress)


def require_rater(settings: Settings, rater: str | None) -> str:
    """The name of the rater that was asked for, or of the one by default.

    Raises:
        UsageError: there is none of that name.
    """
    name = rater or default_rater(settings)
    names = rater_names(settings)
    if name in names:
        return name
    known = ", ".join(names)
    if name == SETTINGS_RATER:
        raise UsageError(f"no rater is called {name!r} until SARING_LLM_URL names a server: there is {known}")
    raise UsageError(f"no rater is called {name!r}: there is {known}; describe others in {settings.raters_file}")
