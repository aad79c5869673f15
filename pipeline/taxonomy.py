"""The taxonomy: names, definitions, colours and examples of all labels, read from a YAML file.

The taxonomy's version is the hash of the file's content and is stored with every judgement. A label is always
identified by its key, never by its position.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from pipeline.errors import TaxonomyError
from pipeline.yaml_text import YamlFault, read_yaml

Sentiment = Literal["positive", "neutral", "negative"]
SENTIMENTS: tuple[Sentiment, ...] = ("negative", "neutral", "positive")
#: the written varieties that exemplars are given in: Malay, Manglish, English
VARIETIES = ("ms", "manglish", "en")

#: the message for a `name` or `definition` that is given in one language only
_BILINGUAL = "`{place}` needs both languages, as in `{place}: {{en: Late, ms: Lewat}}`"

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Bilingual(_Frozen):
    """The same words in English and in Malay."""

    en: Line
    ms: Line


class NearMiss(_Frozen):
    """A text that resembles the label's texts but does not have the label, and the reason."""

    text: Line
    why: Line


class Label(_Frozen):
    """One label of the taxonomy."""

    key: Line
    name: Bilingual
    definition: Bilingual
    benign: bool
    #: sentiments that the label is plausible with; None: any
    sentiment: tuple[Sentiment, ...] | None = None
    #: keys of labels that the same text cannot have
    excludes: tuple[Line, ...] = ()
    colour: Annotated[str, StringConstraints(pattern=r"^#[0-9A-Fa-f]{6}$")]
    hotkey: Annotated[str, StringConstraints(min_length=1, max_length=1)]
    #: other spellings that data sets and language models use, lower case
    aliases: tuple[Line, ...] = ()
    exemplars: Mapping[str, tuple[Line, ...]] = Field(min_length=1)
    near_misses: Mapping[str, tuple[NearMiss, ...]] = Field(default_factory=dict)

    @field_validator("exemplars", "near_misses")
    @classmethod
    def _known_varieties(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        if unknown := sorted(set(value) - set(VARIETIES)):
            raise ValueError(f"unknown variety {unknown[0]!r}; give any of {', '.join(VARIETIES)}")
        return value

    def all_exemplars(self) -> list[str]:
        """Exemplars of every variety, in the order of the file."""
        return [text for texts in self.exemplars.values() for text in texts]

    def all_near_misses(self) -> list[NearMiss]:
        """Near-misses of every variety, in the order of the file."""
        return [miss for misses in self.near_misses.values() for miss in misses]


class Taxonomy(_Frozen):
    """An ordered set of labels, with the version of the file that it was read from."""

    version: str
    labels: tuple[Label, ...]

    @cached_property
    def _by_key(self) -> dict[str, Label]:
        return {label.key: label for label in self.labels}

    @cached_property
    def _by_alias(self) -> dict[str, str]:
        spelled = {alias.casefold(): label.key for label in self.labels for alias in label.aliases}
        return self._by_name | spelled | {label.key.casefold(): label.key for label in self.labels}

    @cached_property
    def _by_name(self) -> dict[str, str]:
        """Names in both languages, without those of several labels."""
        owners: dict[str, set[str]] = {}
        for label in self.labels:
            for name in (label.name.en, label.name.ms):
                owners.setdefault(" ".join(name.split()).casefold(), set()).add(label.key)
        return {name: next(iter(keys)) for name, keys in owners.items() if len(keys) == 1}

    @cached_property
    def excludes(self) -> dict[str, frozenset[str]]:
        """For each label, the labels that the same text cannot have."""
        return {label.key: frozenset(label.excludes) for label in self.labels}

    @property
    def keys(self) -> tuple[str, ...]:
        """Label keys in the order of the file."""
        return tuple(self._by_key)

    def __iter__(self) -> Iterator[Label]:  # type: ignore[override]
        return iter(self.labels)

    def __contains__(self, key: object) -> bool:
        return key in self._by_key

    def __getitem__(self, key: str) -> Label:
        try:
            return self._by_key[key]
        except KeyError:
            raise TaxonomyError(f"no label {key!r} in the taxonomy; its labels are {', '.join(self.keys)}") from None

    def canonical(self, name: str) -> str | None:
        """The key for `name`: a key, an alias, or a name in English or Malay, upper or lower case; None: no label's."""
        return self._by_alias.get(" ".join(name.split()).casefold())


def load_taxonomy(path: Path | None = None) -> Taxonomy:
    """Read and check a taxonomy file; without a path, the file that comes with Saring.

    Raises:
        TaxonomyError: the file cannot be read or is not valid; the message gives the line.
    """
    if path is None:
        where, content = "pipeline/taxonomy.yaml", files("pipeline").joinpath("taxonomy.yaml").read_bytes()
    else:
        where = str(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise TaxonomyError(f"{where}: cannot be read ({error.strerror}); check SARING_TAXONOMY") from error
    return parse_taxonomy(content, where)


def parse_taxonomy(content: bytes, where: str = "taxonomy") -> Taxonomy:
    """Check the content of a taxonomy file; `where` is its name in messages.

    Raises:
        TaxonomyError: the content is not valid; the message gives the line.
    """
    try:
        written = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TaxonomyError(f"{where}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    try:
        document: Any = read_yaml(written)
    except YamlFault as error:
        raise TaxonomyError(f"{where}:{error.line}: not valid YAML: {error.problem}") from error
    if not isinstance(document, dict) or not isinstance(document.get("labels"), list) or not document["labels"]:
        raise TaxonomyError(f"{where}:1: expected a mapping with a list `labels`")
    nodes: Any = document["labels"]
    labels = tuple(_parse_label(node, where, nodes.lc.item(i)[0] + 1) for i, node in enumerate(nodes))
    _check_across(labels, nodes, where)
    return Taxonomy(version=hashlib.blake2b(content, digest_size=8).hexdigest(), labels=_both_ways(labels))


def _both_ways(labels: tuple[Label, ...]) -> tuple[Label, ...]:
    """Labels in which an exclusion that one of two labels names stands in both."""
    made = []
    for label in labels:
        back = [other.key for other in labels if label.key in other.excludes and other.key not in label.excludes]
        made.append(label.model_copy(update={"excludes": (*label.excludes, *back)}) if back else label)
    return tuple(made)


def _parse_label(node: Any, where: str, line: int) -> Label:
    if not isinstance(node, dict):
        raise TaxonomyError(f"{where}:{line}: a label is a mapping with key, name, definition and so on")
    try:
        return Label.model_validate(node)
    except ValidationError as error:
        first = error.errors()[0]
        at = _line_of(node, first["loc"], line)
        place = ".".join(str(part) for part in first["loc"])
        one_language = _is_one_language(first["type"], first.get("ctx") or {})
        problem = _BILINGUAL.format(place=place) if one_language else f"{place}: {first['msg']}"
        raise TaxonomyError(f"{where}:{at}: label {node.get('key', '?')!r}: {problem}") from error


def _is_one_language(kind: str, context: Mapping[str, Any]) -> bool:
    return kind == "model_type" and context.get("class_name") == Bilingual.__name__


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


def _check_across(labels: tuple[Label, ...], nodes: Any, where: str) -> None:
    """Check rules between labels: nothing is used twice, and exclusions name labels that exist."""
    keys = {label.key for label in labels}
    seen: dict[tuple[str, str], int] = {}
    for label, node in zip(labels, nodes, strict=True):
        for kind, value, loc in _used_once(label):
            line = _line_of(node, loc, 1)
            if (kind, value) in seen:
                first = seen[kind, value]
                raise TaxonomyError(f"{where}:{line}: {kind} {value!r} is used twice (first at line {first})")
            seen[kind, value] = line
        for other in label.excludes:
            if other not in keys or other == label.key:
                line = _line_of(node, ("excludes",), 1)
                raise TaxonomyError(
                    f"{where}:{line}: label {label.key!r} excludes {other!r}, which is not another label"
                )


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
