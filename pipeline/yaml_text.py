"""Reader of YAML that people write: whatever is wrong with it is one error with a line."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

from pipeline.errors import SaringError, UsageError

#: brackets within brackets; ruamel takes minutes for more before it fails
_DEEPEST = 200


class YamlFault(ValueError):
    """The text is not valid YAML.

    Args:
        line: the line of the fault, from 1.
        problem: what is wrong, on one line.
    """

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line, self.problem = line, problem


def read_yaml(text: str) -> Any:
    """The document in a text, with the places of its parts (`lc`).

    Raises:
        YamlFault: it is not valid YAML.
    """
    if (line := _too_deep(text)) is not None:
        raise YamlFault(line, "nested too deeply")
    # every command asks for the taxonomy's version, and few read the file
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.reader import ReaderError

    try:
        return YAML(typ="rt").load(StringIO(text))
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlFault(line, f"control character {error.character:#04x}") from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise YamlFault(line, " ".join(str(error.problem or "unreadable").split())) from error
    except RecursionError as error:
        raise YamlFault(1, "nested too deeply") from error
    except Exception as error:
        problem = " ".join(str(error).split()) or type(error).__name__
        raise YamlFault(1, f"a value is not valid ({problem[:200]})") from error


def read_yaml_bytes(content: bytes, where: object, kind: type[SaringError] = UsageError) -> Any:
    """The document in the content of a file, with the places of its parts (`lc`).

    Args:
        content: UTF-8, with or without a byte order mark.
        where: name of the file, for messages.
        kind: the error to raise.

    Raises:
        SaringError: of that kind: it is not UTF-8, or not valid YAML; the message gives the place.
    """
    try:
        return read_yaml(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise kind(f"{where}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except YamlFault as error:
        raise kind(f"{where}:{error.line}: not valid YAML: {error.problem}") from error


def read_yaml_file(path: Path) -> Any:
    """The document in a file, with the places of its parts (`lc`).

    Raises:
        UsageError: it cannot be read, or is not valid; the message gives the line where it can.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    return read_yaml_bytes(content, path)


def _too_deep(text: str) -> int | None:
    """The line at which brackets are nested too deeply; None if they are not."""
    depth = 0
    for number, line in enumerate(text.split("\n"), start=1):
        depth += line.count("[") + line.count("{") - line.count("]") - line.count("}")
        depth = max(depth, 0)
        if depth > _DEEPEST:
            return number
    return None
