"""Reference pages of the documentation site, made from the code: commands, errors, Python, HTTP."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer

import saring
from ml_backend.moderation.config import ModerationLimits
from ml_backend.moderation.openapi import document
from pipeline.errors import SaringError
from pipeline.taxonomy import load_taxonomy
from saring.cli import app

#: modules with errors of their own, beside `pipeline.errors`
_WITH_ERRORS = ("saring.actions.starting", "saring.accounts.oidc", "ml_backend.moderation.errors")
_MARKS = re.compile(r"\[/?[a-z ]+\]")


def commands() -> str:
    """Every command with its help, arguments and options."""
    root = typer.main.get_command(app)
    lines = ["# Commands", "", "Made from `saring --help`. All commands take `-v` to log more, before their name.", ""]
    for words, command in _walk(root, "saring"):
        lines += _command(words, command)
    return "\n".join(lines)


def _walk(group: Any, words: str) -> Iterator[tuple[str, Any]]:
    context = group.make_context(words, [], resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield f"{words} {name}", command
        if hasattr(command, "list_commands"):
            yield from _walk(command, f"{words} {name}")


def _command(words: str, command: Any) -> list[str]:
    text, _, example = _plain(command.help or "").partition("Example: ")
    lines = ["#" * words.count(" ") + f"# {words}", "", text.strip(), ""]
    if example:
        lines += ["```sh", " ".join(example.split()), "```", ""]
    rows = [row for parameter in command.params if (row := _parameter(parameter)) is not None]
    if rows:
        lines += ["| | default | meaning |", "| --- | --- | --- |", *rows, ""]
    return lines


def _parameter(parameter: Any) -> str | None:
    if getattr(parameter, "hidden", False) or parameter.name == "help":
        return None
    if parameter.param_type_name == "argument":
        name = f"`{parameter.name.upper()}`"
    else:
        name = ", ".join(f"`{option}`" for option in [*parameter.opts, *parameter.secondary_opts])
    default = parameter.default
    shown = "" if default in (None, False, ()) or callable(default) else f"`{getattr(default, 'value', default)}`"
    return f"| {name} | {shown} | {_cell(getattr(parameter, 'help', None) or '')} |"


def errors() -> str:
    """Every error that Saring raises on purpose, by the class that it is a kind of."""
    for module in _WITH_ERRORS:
        importlib.import_module(module)
    lines = [
        *("# Errors", "", "Every error is a `SaringError`. Its message is one line: what is wrong, where, what to do."),
        *("A command ends with the exit status that is given here.", ""),
        *("| error | is a | exit status | meaning |", "| --- | --- | --- | --- |"),
    ]
    for error in _kinds(SaringError):
        parent = error.__mro__[1].__name__ if error is not SaringError else ""
        status = getattr(error, "exit_status", "")
        lines.append(f"| `{error.__name__}` | {parent} | {status} | {_cell(inspect.getdoc(error) or '')} |")
    return "\n".join([*lines, ""])


def _kinds(error: type[SaringError]) -> Iterator[type[SaringError]]:
    if not error.__name__.startswith("_"):
        yield error
    for kind in sorted(error.__subclasses__(), key=lambda kind: kind.__name__.lstrip("_")):
        yield from _kinds(kind)


def python() -> str:
    """The public names of `saring`, with signatures and docstrings."""
    lines = [
        "# Python",
        "",
        "What `import saring` gives. [Its page](../saring.md) says how it is used.",
        "",
    ]
    for name in saring.__all__:
        thing = getattr(saring, name)
        lines += [f"## saring.{name}", "", *_signature(thing), *_doc(thing)]
        if inspect.isclass(thing) and not issubclass(thing, BaseException):
            for member, function in sorted(vars(thing).items()):
                if not member.startswith("_") and inspect.isfunction(function):
                    lines += [f"### {name}.{member}", "", *_signature(function), *_doc(function)]
    return "\n".join(lines)


def _signature(thing: Any) -> list[str]:
    try:
        signature = str(inspect.signature(thing))
    except (TypeError, ValueError):
        return []
    # where an object is a default, its address in memory would change from build to build
    signature = re.sub(r" at 0x[0-9a-f]+", "", signature)
    return ["```text", f"{getattr(thing, '__name__', '')}{signature}", "```", ""]


def _doc(thing: Any) -> list[str]:
    text = inspect.getdoc(thing) or ""
    return ["```text", text, "```", ""] if text else []


def http() -> str:
    """What applications ask over HTTP, from the OpenAPI document that the server gives."""
    definitions = {label.key: label.definition.en for label in load_taxonomy().labels}
    openapi = document("https://saring.example.org", ModerationLimits(), definitions)
    lines = [
        *("# HTTP", "", "From the document at `/v1/openapi.json`. [Moderation](../moderation.md) explains it; "),
        *("[ML backend](../ml-backend.md) has what Label Studio asks.", ""),
    ]
    for path, methods in openapi["paths"].items():
        for method, said in methods.items():
            lines += [f"## {method.upper()} {path}", "", said.get("summary", ""), "", said.get("description", ""), ""]
            lines += ["| answer | meaning |", "| --- | --- |"]
            lines += [f"| {status} | {_cell(one['description'])} |" for status, one in said["responses"].items()]
            lines.append("")
    return "\n".join(lines)


def _plain(text: str) -> str:
    return _MARKS.sub("", text.replace("\f", "\n"))


def _cell(text: str) -> str:
    return " ".join(_plain(text).split()).replace("|", "\\|")


#: pages of the folder `reference`
PAGES = {"commands.md": commands, "errors.md": errors, "python.md": python, "http.md": http}
