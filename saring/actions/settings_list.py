"""All settings with their values, where each comes from, and what it means. No secret is in the list."""

from __future__ import annotations

import enum
import inspect
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import AliasChoices, SecretStr

from pipeline.settings import Settings, load_settings_file


class Origin(enum.StrEnum):
    """The place that a setting's value comes from."""

    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"
    #: the program that runs gave it
    PROGRAM = "program"


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting as it is in force."""

    #: the variable that sets it
    name: str
    #: None: it is not set. Of a secret there is never a value
    value: str | None
    is_secret: bool
    #: True: it has a value
    is_set: bool
    origin: Origin
    #: one line
    meaning: str


def list_settings(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[Setting]:
    """All settings in the order of their names.

    Args:
        settings: as they are in force in this process.
        environ: the environment of this process.
    """
    given = {name.upper() for name, value in environ.items() if value}
    written = load_settings_file(settings.home).model_fields_set
    return sorted((_setting(settings, name, given, written) for name in Settings.model_fields), key=lambda s: s.name)


@cache
def setting_meanings() -> Mapping[str, str]:
    """The comment above each field of `Settings`: one line for people."""
    meanings: dict[str, str] = {}
    comment: list[str] = []
    for line in inspect.getsource(Settings).splitlines():
        if line.startswith("    #: "):
            comment.append(line.removeprefix("    #: "))
        elif field := re.match(r"    (\w+): ", line):
            meanings[field[1]] = " ".join(comment) or meanings.get(field[1], "")
            comment = []
    return meanings


def variables_of(field: str) -> Sequence[str]:
    """The variables that set a field, the one to use first."""
    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [f"SARING_{field}".upper()]


def _setting(settings: Settings, field: str, given: set[str], written: set[str]) -> Setting:
    value = getattr(settings, field)
    variables = variables_of(field)
    annotation = str(Settings.model_fields[field].annotation)
    is_secret = "SecretStr" in annotation
    default = Settings.model_fields[field].get_default(call_default_factory=True)
    if any(name in given for name in variables):
        origin = Origin.ENVIRONMENT
    elif field in written:
        origin = Origin.FILE
    else:
        origin = Origin.DEFAULT if value == default else Origin.PROGRAM
    return Setting(
        variables[0],
        None if is_secret or value is None else _shown(value),
        is_secret,
        value is not None,
        origin,
        setting_meanings().get(field, ""),
    )


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "***"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return _without_password(str(value)) if "://" in str(value) else str(value)


def _without_password(address: str) -> str:
    """An address without a name, a password and a query, which may be secrets."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "***"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
