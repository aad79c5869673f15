"""Configurations of language models: from `$SARING_HOME/raters.yaml`, and one from the settings.

The file never holds keys of servers: it names the environment variable that holds a key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError

from pipeline.errors import UsageError
from pipeline.settings import Settings
from pipeline.yaml_text import read_yaml_bytes, read_yaml_file

#: the rater that SARING_LLM_URL defines
SETTINGS_RATER = "llm"
#: reserved names
_TAKEN = ("bootstrap",)
#: fields of a request that `extra_body` must not change: Saring reads one whole answer of one model
_OURS = frozenset({"model", "messages", "stream", "stream_options", "n"})

Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WorkedExample(_Strict):
    """A text in the prompt with the labels that people gave it."""

    #: personal data masked
    text: Word
    labels: tuple[Word, ...] = ()


class Additions(BaseModel):
    """Additions to the prompt from a file, whose other fields are for people."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    examples: tuple[WorkedExample, ...] = ()
    #: by label: a sentence that sharpens its definition
    notes: Mapping[Word, Word] = Field(default_factory=dict)


class PromptConfig(_Strict):
    """The content of the prompt."""

    #: language of the instructions
    language: Literal["en", "ms"] = "en"
    #: form of the text: the original, its translation into the language of the instructions, or both
    text: Literal["original", "translated", "both"] = "original"
    #: translator, where the text is translated: a rater's name or `seq2seq:PATH`; None: the rater itself
    translator: Word | None = None
    #: labels in the prompt; None: all of the taxonomy
    labels: tuple[Word, ...] | None = None
    #: number of examples for each label
    exemplars: Annotated[int, Field(ge=0)] = 3
    near_misses: Annotated[int, Field(ge=0)] = 2
    #: file with worked examples and notes, seen from the home, as `saring raters improve` writes it
    additions: Word | None = None
    #: what is in that file
    added: Additions = Field(default_factory=Additions, exclude=True)


class Sampling(_Strict):
    """Sampling parameters of the model, sent unchanged; None: the parameter is not sent."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    max_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = 400


class Price(_Strict):
    """Price of a million tokens, in the currency of the budgets."""

    input: Annotated[float, Field(ge=0)] = 0.0
    output: Annotated[float, Field(ge=0)] = 0.0

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """The price of one reply."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6

    @property
    def known(self) -> bool:
        """True where a price is configured."""
        return self.input > 0 or self.output > 0


class Limits(_Strict):
    """Limits on requests to a server, and the rater's budget."""

    #: number of requests at once: at first, and at most
    start: Annotated[int, Field(ge=1)] = 8
    concurrency: Annotated[int, Field(ge=1)] = 64
    timeout_seconds: Annotated[float, Field(gt=0)] = 120.0
    #: attempts of one request
    attempts: Annotated[int, Field(ge=1)] = 5
    #: seconds before the second attempt, about doubled with each
    first_wait: Annotated[float, Field(gt=0)] = 0.5
    #: failed requests in a row after which no request is sent for a while
    breaker: Annotated[int, Field(ge=1)] = 10
    #: number of such pauses, each longer than the one before, after which the run stops
    patience: Annotated[int, Field(ge=0)] = 5
    #: largest use by this rater over all runs
    budget_tokens: Annotated[int, Field(ge=1)] | None = None
    budget_cost: Annotated[float, Field(gt=0)] | None = None


def _address(url: str) -> str:
    parts = urlsplit(url)
    # Reading the port checks that it is a number.
    if not parts.hostname or parts.port == 0 or not url.isprintable():
        raise ValueError("not an address")
    return url


def _extra(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in fields:
        if name in _OURS:
            raise ValueError(f"{name!r} is not a field to change")
    try:
        # Plain values, as the file's own types keep comments and places.
        return dict(orjson.loads(orjson.dumps(fields, default=_plain)))
    except TypeError as error:
        raise ValueError("a field has a value that JSON does not have") from error


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence | Set):
        return list(value)
    if isinstance(value, bool | int | float | str):
        return value
    raise TypeError


class LlmConfig(_Strict):
    """The configuration of one language model."""

    name: Word
    url: Annotated[str, StringConstraints(pattern=r"^https?://\S+$"), AfterValidator(_address)]
    #: None: the only model that the server has
    model: Word | None = None
    #: the environment variable that holds the server's key
    api_key_env: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    prompt: PromptConfig = PromptConfig()
    sampling: Sampling = Sampling()
    #: further fields of each request, as the server knows them; a null leaves out a field that would be sent
    extra_body: Annotated[Mapping[str, Any], AfterValidator(_extra)] = Field(default_factory=dict)
    price: Price = Price()
    limits: Limits = Limits()
    #: read from the environment
    api_key: SecretStr | None = Field(default=None, exclude=True)

    @property
    def params(self) -> dict[str, Any]:
        """All parameters that may change a reply; they identify stored replies."""
        params = self.sampling.model_dump(exclude_none=True)
        return params | ({"extra_body": dict(self.extra_body)} if self.extra_body else {})


def llm_configs(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, LlmConfig]:
    """All configured language models, by name.

    Raises:
        UsageError: the file is not valid; the message gives the line.
    """
    configs = _read(settings.raters_file, environ) if settings.raters_file.is_file() else {}
    if settings.llm_url is not None:
        if SETTINGS_RATER in configs:
            raise UsageError(
                f"{settings.raters_file}: the name {SETTINGS_RATER!r} is reserved for SARING_LLM_URL: use another name"
            )
        values = {"name": SETTINGS_RATER, "url": settings.llm_url, "model": settings.llm_model}
        configs[SETTINGS_RATER] = _checked(values, "SARING_LLM_URL", settings.llm_api_key)
    return configs


def llm_config(settings: Settings, name: str) -> LlmConfig:
    """The language model of that name.

    Raises:
        UsageError: no language model has that name.
    """
    configs = llm_configs(settings)
    if name not in configs:
        known = f"there are: {', '.join(sorted(configs))}" if configs else "none is configured"
        raise UsageError(
            f"no language model has the name {name!r} ({known}): set SARING_LLM_URL, or describe it in "
            f"{settings.raters_file}"
        )
    return configs[name]


def default_rater(settings: Settings) -> str:
    """The default rater: the model of SARING_LLM_URL, the only configured one, or `bootstrap`.

    Raises:
        UsageError: several models are configured, and none by SARING_LLM_URL.
    """
    if settings.llm_url is not None:
        return SETTINGS_RATER
    configs = llm_configs(settings)
    if len(configs) > 1:
        raise UsageError(
            f"several language models are described in {settings.raters_file} ({', '.join(configs)}): name one, or set "
            "SARING_LLM_URL to the address of the default one"
        )
    return next(iter(configs), "bootstrap")


def _read(path: Path, environ: Mapping[str, str]) -> dict[str, LlmConfig]:
    document = read_yaml_file(path)
    raters: Any = document.get("raters") if isinstance(document, dict) else None
    if not isinstance(raters, dict):
        raise UsageError(f"{path}:1: expected a mapping `raters` from names to raters")
    configs: dict[str, LlmConfig] = {}
    # The line of each rater.
    places: Any = document["raters"].lc
    for name, node in raters.items():
        line = places.key(name)[0] + 1
        where = f"{path}:{line}: rater {name!r}"
        if not isinstance(node, dict):
            raise UsageError(f"{where}: expected a mapping with url, model and so on")
        if name in _TAKEN:
            raise UsageError(f"{where}: this name is reserved: use another name")
        variable = node.get("api_key_env")
        key = environ.get(variable) if isinstance(variable, str) else None
        config = _checked(dict(node) | {"name": name}, where, SecretStr(key) if key else None)
        if config.prompt.additions is not None:
            added = read_additions(path.parent / config.prompt.additions, where)
            config = with_additions(config, added)
        configs[str(name)] = config
    return configs


def with_additions(config: LlmConfig, added: Additions) -> LlmConfig:
    """The configuration with these additions to its prompt in place of others."""
    return config.model_copy(update={"prompt": config.prompt.model_copy(update={"added": added})})


def read_additions(path: Path, where: str) -> Additions:
    """The additions in a file.

    Args:
        path: the file.
        where: the place that names it, for messages.

    Raises:
        UsageError: it cannot be read, or is not valid; the message gives the line where it can.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{where}, prompt.additions: {path} cannot be read ({error.strerror})") from error
    document = read_yaml_bytes(content, path)
    if not isinstance(document, dict) or not {"examples", "notes"} & document.keys():
        raise UsageError(f"{path}:1: expected `examples` or `notes`, as `saring raters improve` writes them")
    try:
        return Additions.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        places: Any = document
        line = int(places.lc.key(first["loc"][0])[0]) + 1
        raise UsageError(f"{path}:{line}: {place}: {first['msg']}") from error


def _checked(values: dict[str, Any], where: str, key: SecretStr | None) -> LlmConfig:
    if "api_key" in values:
        raise UsageError(
            f"{where}: the file must not hold keys: put the key into an environment variable, and give the variable's "
            "name as api_key_env"
        )
    try:
        return LlmConfig.model_validate(values).model_copy(update={"api_key": key})
    except ValidationError as error:
        # An unknown name first: it is often a misspelt form of one that is missing.
        first = min(error.errors(include_input=False), key=lambda problem: problem["type"] != "extra_forbidden")
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{where}, {_complaint(place, first)}") from error


def _complaint(place: str, problem: Mapping[str, Any]) -> str:
    if problem["type"] == "extra_forbidden":
        return f"there is no setting {place!r}: docs/raters.md lists all settings"
    if problem["type"] == "missing":
        return f"{place!r} is missing"
    if place == "url":
        # The value is not shown: it may be a key.
        return "url: not an address: an address begins with http:// or https://"
    return f"{place}: {problem['msg']}"


def key_of(config: LlmConfig) -> str | None:
    """The server's key; None if it needs none.

    Raises:
        UsageError: the environment variable of the key is not set.
    """
    if config.api_key is not None:
        return config.api_key.get_secret_value()
    if config.api_key_env is not None:
        raise UsageError(f"rater {config.name!r}: the environment variable {config.api_key_env} is not set")
    return None
