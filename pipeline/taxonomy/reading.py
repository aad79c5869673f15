"""Taxonomy files: read, completed with defaults, and checked; every mistake is reported, each with its line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.errors import TaxonomyError
from pipeline.taxonomy.defaults import with_defaults
from pipeline.taxonomy.labels import Label, Taxonomy
from pipeline.taxonomy.mistakes import words_of
from pipeline.yaml_text import read_yaml_bytes

#: a line of the file, and what is wrong there
_Mistake = tuple[int, str]


def load_taxonomy(path: Path | None = None) -> Taxonomy:
    """Read and check a taxonomy file; without a path, the file that comes with Saring.

    Raises:
        TaxonomyError: the file cannot be read or is not valid; `problems` has every mistake with its line.
    """
    content, where = _content(path)
    return parse_taxonomy(content, where)


def version_of(path: Path | None = None) -> str:
    """The version of a taxonomy file, which need not be valid; without a path, of the file that comes with Saring.

    Raises:
        TaxonomyError: the file cannot be read.
    """
    return _version(_content(path)[0])


def example_taxonomy() -> bytes:
    """The content of a small taxonomy file, to be copied and changed."""
    return files("pipeline.taxonomy").joinpath("example.yaml").read_bytes()


@lru_cache(maxsize=8)
def parse_taxonomy(content: bytes, where: str = "taxonomy") -> Taxonomy:
    """Check the content of a taxonomy file; `where` is its name in messages.

    The same content is read once a process: YAML with line numbers takes a tenth of a second or more.

    Raises:
        TaxonomyError: the content is not valid; `problems` has every mistake with its line.
    """
    nodes = _nodes(content, where)
    labels: list[tuple[Label, Any]] = []
    mistakes: list[_Mistake] = []
    for i, (node, completed) in enumerate(zip(nodes, with_defaults(nodes), strict=True)):
        line = nodes.lc.item(i)[0] + 1
        if not isinstance(node, Mapping):
            mistakes.append((line, "a label is a list entry with `key`, `definition`, `exemplars` and so on"))
            continue
        try:
            labels.append((Label.model_validate(completed), node))
        except ValidationError as error:
            mistakes += _of_label(error, node, line)
    written = {str(node.get("key")).strip() for node in nodes if isinstance(node, Mapping)}
    mistakes += _across(labels, written)
    if mistakes:
        mistakes = sorted(dict.fromkeys(mistakes), key=lambda mistake: mistake[0])
        raise TaxonomyError.listing([f"{where}:{line}: {words}" for line, words in mistakes])
    return Taxonomy(version=_version(content), labels=tuple(label for label, _ in labels))


def _content(path: Path | None) -> tuple[bytes, str]:
    """The bytes of a file, and its name in messages."""
    if path is None:
        return files("pipeline").joinpath("taxonomy.yaml").read_bytes(), "pipeline/taxonomy.yaml"
    try:
        return path.read_bytes(), str(path)
    except OSError as error:
        raise TaxonomyError(f"{path}: cannot be read ({error.strerror}); check SARING_TAXONOMY") from error


def _version(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _nodes(content: bytes, where: str) -> Any:
    """The list of labels as it is written, with line numbers."""
    document: Any = read_yaml_bytes(content, where, TaxonomyError)
    if not isinstance(document, dict) or not isinstance(document.get("labels"), list) or not document["labels"]:
        raise TaxonomyError(f"{where}:1: expected a mapping with a list `labels`")
    return document["labels"]


def _of_label(error: ValidationError, node: Any, line: int) -> Iterator[_Mistake]:
    """Mistakes within one label."""
    for detail in error.errors(include_url=False):
        yield _line_of(node, detail["loc"], line), f"label {node.get('key', '?')!r}: {words_of(detail)}"


def _line_of(node: Any, loc: tuple[int | str, ...], line: int) -> int:
    """The line of the innermost part of `loc` that is in the file; `line` if no part is."""
    for part in loc:
        try:
            place = node.lc
            line = (place.item(part) if isinstance(part, int) else place.key(part))[0] + 1
            node = node[part]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    return line


def _across(labels: Sequence[tuple[Label, Any]], keys: set[str]) -> Iterator[_Mistake]:
    """Mistakes between labels: values that are used twice, and exclusions of labels that are not there."""
    seen: dict[tuple[str, str], int] = {}
    for label, node in labels:
        for kind, value, loc in _used_once(label):
            line = _line_of(node, loc, 1)
            if (kind, value) in seen:
                yield line, f"{kind} {value!r} is used twice (first at line {seen[kind, value]})"
            seen.setdefault((kind, value), line)
        for other in label.excludes:
            if other not in keys or other == label.key:
                line = _line_of(node, ("excludes",), 1)
                yield line, f"label {label.key!r} excludes {other!r}, which is not another label"


def _used_once(label: Label) -> Iterator[tuple[str, str, tuple[int | str, ...]]]:
    """Values that a file may have only once, upper or lower case: kind, value, and place in the label."""
    names: dict[str, tuple[int | str, ...]] = {label.key.casefold(): ("key",)}
    for i, alias in enumerate(label.aliases):
        names.setdefault(alias.casefold(), ("aliases", i))
    for name, loc in names.items():
        yield "name", name, loc
    yield "hotkey", label.hotkey.casefold(), ("hotkey",)
    yield "colour", label.colour.casefold(), ("colour",)
    for variety, texts in label.exemplars.items():
        for i, text in enumerate(texts):
            yield "text", text.casefold(), ("exemplars", variety, i)
    for variety, misses in label.near_misses.items():
        for i, miss in enumerate(misses):
            yield "text", miss.text.casefold(), ("near_misses", variety, i, "text")
