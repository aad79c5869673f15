"""Which language models there are, and how each is asked: `$SARING_HOME/raters.yaml`, or one from the settings.

Keys of servers never stand in the file: it names the environment variable that holds one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import UsageError
from pipeline.settings import Settings

#: the rater that SARING_LLM_URL defines
SETTINGS_RATER = "llm"
#: names that mean something else
_TAKEN = ("bootstrap",)

Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PromptConfig(_Strict):
    """How the task is put to the model."""

    #: of the instructions
    language: Literal["en", "ms"] = "en"
    #: what the model reads: the text as it is, its translation into the language of the instructions, or both
    text: Literal["original", "translated", "both"] = "original"
    #: who translates, where the text goes in translated: a rater's name or `seq2seq:PATH`; None: the rater itself
    translator: Word | None = None
    #: labels asked about; None: all of the taxonomy
    labels: tuple[Word, ...] | None = None
    #: examples given for each label
    exemplars: Annotated[int, Field(ge=0)] = 3
    near_misses: Annotated[int, Field(ge=0)] = 2


class Sampling(_Strict):
    """How the model draws its words; sent as it is."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: int | None = None
    max_tokens: Annotated[int, Field(ge=1)] = 400


class Price(_Strict):
    """What a million tokens cost, in whatever currency budgets are set in."""

    input: Annotated[float, Field(ge=0)] = 0.0
    output: Annotated[float, Field(ge=0)] = 0.0

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """The price of one reply."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6

    @property
    def known(self) -> bool:
        """Whether anything costs anything, as far as was said."""
        return self.input > 0 or self.output > 0


class Limits(_Strict):
    """How hard a server may be driven, and what may be spent there."""

    #: requests under way at once: at first, and at most
    start: Annotated[int, Field(ge=1)] = 8
    concurrency: Annotated[int, Field(ge=1)] = 64
    timeout_seconds: Annotated[float, Field(gt=0)] = 120.0
    #: tries of one request
    attempts: Annotated[int, Field(ge=1)] = 5
    #: seconds before the second try, about doubled with each
    first_wait: Annotated[float, Field(gt=0)] = 0.5
    #: requests in a row without an answer after which the server is left alone for a while
    breaker: Annotated[int, Field(ge=1)] = 10
    #: such whiles, each longer than the one before, after which the run is given up
    patience: Annotated[int, Field(ge=0)] = 5
    #: spent by this rater over all runs, at most
    budget_tokens: Annotated[int, Field(ge=1)] | None = None
    budget_cost: Annotated[float, Field(gt=0)] | None = None


class LlmConfig(_Strict):
    """One language model, and how it is asked."""

    name: Word
    url: Annotated[str, StringConstraints(pattern=r"^https?://\S+$")]
    #: None: the only one that the server has
    model: Word | None = None
    #: the environment variable that holds the server's key
    api_key_env: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    prompt: PromptConfig = PromptConfig()
    sampling: Sampling = Sampling()
    price: Price = Price()
    limits: Limits = Limits()
    #: filled in from the environment when it is read
    api_key: SecretStr | None = Field(default=None, exclude=True)


def llm_configs(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, LlmConfig]:
    """Every configured language model, by name.

    Raises:
        UsageError: the file breaks a rule; the message names the line.
    """
    found = _read(settings.raters_file, environ) if settings.raters_file.is_file() else {}
    if settings.llm_url is not None:
        if SETTINGS_RATER in found:
            raise UsageError(
                f"{settings.raters_file}: {SETTINGS_RATER!r} is what SARING_LLM_URL is called: give it another name"
            )
        values = {"name": SETTINGS_RATER, "url": settings.llm_url, "model": settings.llm_model}
        found[SETTINGS_RATER] = _checked(values, "SARING_LLM_URL", settings.llm_api_key)
    return found


def llm_config(settings: Settings, name: str) -> LlmConfig:
    """The language model of that name.

    Raises:
        UsageError: there is none.
    """
    found = llm_configs(settings)
    if name not in found:
        known = ", ".join(sorted(found)) or "none is configured"
        raise UsageError(
            f"no language model is called {name!r} ({known}): set SARING_LLM_URL, or describe it in "
            f"{settings.raters_file}"
        )
    return found[name]


def default_rater(settings: Settings) -> str:
    """Who judges unless somebody is named: the model of SARING_LLM_URL, the only one configured, or `bootstrap`.

    Raises:
        UsageError: several are configured, and none is the settings'.
    """
    if settings.llm_url is not None:
        return SETTINGS_RATER
    found = llm_configs(settings)
    if len(found) > 1:
        raise UsageError(
            f"several language models are described in {settings.raters_file} ({', '.join(found)}): name one, or set "
            "SARING_LLM_URL to the address of the one that is to be taken"
        )
    return next(iter(found), "bootstrap")


def _read(path: Path, environ: Mapping[str, str]) -> dict[str, LlmConfig]:
    try:
        document: Any = YAML(typ="rt").load(StringIO(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise UsageError(f"{path}:{line}: not valid YAML: {getattr(error, 'problem', None) or 'unreadable'}") from error
    raters: Any = document.get("raters") if isinstance(document, dict) else None
    if not isinstance(raters, dict):
        raise UsageError(f"{path}:1: expected a mapping `raters`, of names to raters")
    found: dict[str, LlmConfig] = {}
    # where each stands, as the reader kept it
    places: Any = document["raters"].lc
    for name, node in raters.items():
        line = places.key(name)[0] + 1
        where = f"{path}:{line}: rater {name!r}"
        if not isinstance(node, dict):
            raise UsageError(f"{where}: expected a mapping with url, model and so on")
        if name in _TAKEN:
            raise UsageError(f"{where}: that name is taken: give it another")
        variable = node.get("api_key_env")
        key = environ.get(variable) if isinstance(variable, str) else None
        found[str(name)] = _checked(dict(node) | {"name": name}, where, SecretStr(key) if key else None)
    return found


def _checked(values: dict[str, Any], where: str, key: SecretStr | None) -> LlmConfig:
    if "api_key" in values:
        raise UsageError(f"{where}: keys are not written there: put it in an environment variable, name it api_key_env")
    try:
        return LlmConfig.model_validate(values).model_copy(update={"api_key": key})
    except ValidationError as error:
        # a name that is not known is often what is missing, mistyped
        first = min(error.errors(include_input=False), key=lambda one: one["type"] != "extra_forbidden")
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{where}, {_complaint(place, first)}") from error


def _complaint(place: str, found: Mapping[str, Any]) -> str:
    if found["type"] == "extra_forbidden":
        return f"there is no {place!r}: see docs/raters.md for what there is"
    if found["type"] == "missing":
        return f"{place!r} is missing"
    if place == "url":
        # not shown: what was mistaken for an address may be a key
        return "url: this is no address: it begins with http:// or https://"
    return f"{place}: {found['msg']}"


def key_of(config: LlmConfig) -> str | None:
    """The server's key, if it has one.

    Raises:
        UsageError: the environment variable that should hold it is not set.
    """
    if config.api_key is not None:
        return config.api_key.get_secret_value()
    if config.api_key_env is not None:
        raise UsageError(f"rater {config.name!r}: the environment variable {config.api_key_env} is not set")
    return None
