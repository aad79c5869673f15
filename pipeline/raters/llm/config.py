"""Which language models judge: from the settings, or several by name from `raters.yaml` in the home folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import UsageError
from pipeline.settings import Settings

#: the rater that SARING_LLM_URL alone defines
DEFAULT_NAME = "llm"
#: how the reply's shape is asked for; `auto` begins with the strictest and steps down when the server refuses it
Structured = Literal["auto", "schema", "json", "text"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PromptStyle(_Frozen):
    """How the taxonomy is put to the model. All of it is in the rater's version."""

    #: language of the instructions
    instructions: Literal["en", "ms"] = "en"
    #: what of a text goes in
    text: Literal["as-is", "translated", "both"] = "as-is"
    #: language that texts are translated into, where they are
    translated_to: str = "en"
    #: examples a label
    exemplars: Annotated[int, Field(ge=0, le=40)] = 3
    #: texts a label that look like it and are not
    near_misses: Annotated[int, Field(ge=0, le=40)] = 2


class Sampling(_Frozen):
    """How the model draws its answer. All of it is in the rater's version."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_tokens: Annotated[int, Field(ge=16)] = 300
    seed: int | None = None


class Price(_Frozen):
    """What a million tokens cost, in a currency of your choice."""

    input: Annotated[float, Field(ge=0)] = 0.0
    output: Annotated[float, Field(ge=0)] = 0.0


class Limits(_Frozen):
    """How hard the server may be worked, and how much may be spent by one run."""

    #: requests at once, at most; it begins with few and grows while the server keeps its pace
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 64
    #: seconds that one request may take
    timeout: Annotated[float, Field(gt=0)] = 120.0
    #: tries of one text
    attempts: Annotated[int, Field(ge=1, le=20)] = 5
    #: tokens, in and out, that one run may use
    tokens: Annotated[int, Field(ge=1)] | None = None
    #: money that one run may cost, in the price's currency
    money: Annotated[float, Field(gt=0)] | None = None


class LLMConfig(_Frozen):
    """One rater."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    #: base address, for example http://localhost:8000/v1
    url: Annotated[str, Field(pattern=r"^https?://")]
    #: None: the only one that the server has
    model: str | None = None
    #: name of the environment variable that holds the key; the key itself is never written down
    api_key_env: str | None = None
    structured: Structured = "auto"
    prompt: PromptStyle = PromptStyle()
    sampling: Sampling = Sampling()
    price: Price = Price()
    limits: Limits = Limits()
    #: as given by the settings, for the rater that they define
    api_key: SecretStr | None = Field(default=None, exclude=True, repr=False)

    def key(self) -> str | None:
        """The key to be sent, if any.

        Raises:
            UsageError: the environment variable that should hold it is not set.
        """
        if self.api_key_env is None:
            return self.api_key.get_secret_value() if self.api_key else None
        found = os.environ.get(self.api_key_env)
        if not found:
            raise UsageError(f"rater {self.name!r} takes its key from {self.api_key_env}, which is not set: export it")
        return found


def raters_file(settings: Settings) -> Path:
    """Where raters are configured by name."""
    return settings.home / "raters.yaml"


def load_raters(settings: Settings) -> dict[str, LLMConfig]:
    """Every language model that is configured, by name.

    Raises:
        UsageError: the file can't be read, or says something that can't be meant.
    """
    found: dict[str, LLMConfig] = {}
    if settings.llm_url is not None:
        given = {"url": settings.llm_url, "model": settings.llm_model, "api_key": settings.llm_api_key}
        found[DEFAULT_NAME] = _checked(DEFAULT_NAME, given, "SARING_LLM_URL")
    path = raters_file(settings)
    for name, given in _read(path).items():
        if not isinstance(given, Mapping):
            raise UsageError(f"{path}: {name!r} must be a mapping with at least `url`")
        found[str(name)] = _checked(str(name), dict(given), str(path))
    return found


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise UsageError(f"{path}: cannot be read ({' '.join(str(error).split())[:200]})") from error
    raters = (document or {}).get("raters") if isinstance(document, Mapping | None) else None
    if not isinstance(raters, Mapping):
        raise UsageError(f"{path}: must hold one mapping `raters:` from names to settings; see docs/raters.md")
    return raters


def _checked(name: str, given: Mapping[str, Any], where: str) -> LLMConfig:
    if "api_key" in given and where != "SARING_LLM_URL":
        raise UsageError(f"{where}: {name!r} holds a key: put it in an environment variable and name that, api_key_env")
    try:
        return LLMConfig(name=name, **{key: value for key, value in given.items() if key != "name"})
    except (ValidationError, TypeError) as error:
        if isinstance(error, ValidationError):
            first = error.errors(include_input=False)[0]
            words = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        else:
            words = str(error)
        raise UsageError(f"{where}: rater {name!r} cannot be used ({words}); see docs/raters.md") from error
