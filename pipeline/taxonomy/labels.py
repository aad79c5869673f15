"""Labels with their names, definitions, colours and examples, and the taxonomy that they make up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from pipeline.errors import TaxonomyError

Sentiment = Literal["positive", "neutral", "negative"]
SENTIMENTS: tuple[Sentiment, ...] = ("negative", "neutral", "positive")
#: the written varieties that exemplars are given in: Malay, Manglish, English
VARIETIES = ("ms", "manglish", "en")

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
    #: nothing harmful: texts with it need no blur, no daily limit and no warning
    benign: bool = True
    #: sentiments that the label is plausible with; None: any
    sentiment: tuple[Sentiment, ...] | None = None
    #: keys of labels that the same text cannot have; in a taxonomy it goes both ways
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
        names = Counter(name for label in self.labels for name in {_plain(label.name.en), _plain(label.name.ms)})
        spelled = {
            _plain(name): label.key
            for label in self.labels
            for name in (label.name.en, label.name.ms)
            # two labels that are called the same: neither is meant
            if names[_plain(name)] == 1
        }
        spelled |= {_plain(alias): label.key for label in self.labels for alias in label.aliases}
        return spelled | {_plain(label.key): label.key for label in self.labels}

    @field_validator("labels")
    @classmethod
    def _excluded_both_ways(cls, labels: tuple[Label, ...]) -> tuple[Label, ...]:
        pairs = {(label.key, other) for label in labels for other in label.excludes}
        said_there = {
            label.key: tuple(
                other.key for other in labels if (other.key, label.key) in pairs and (label.key, other.key) not in pairs
            )
            for label in labels
        }
        return tuple(
            label.model_copy(update={"excludes": label.excludes + said_there[label.key]})
            if said_there[label.key]
            else label
            for label in labels
        )

    @cached_property
    def excludes(self) -> dict[str, frozenset[str]]:
        """For each label, the labels that the same text cannot have."""
        return {label.key: frozenset(label.excludes) for label in self.labels}

    @property
    def harmful(self) -> tuple[str, ...]:
        """Keys of the labels that stand for something harmful (`benign: false`)."""
        return tuple(label.key for label in self.labels if not label.benign)

    @property
    def has_harmful(self) -> bool:
        """True where a label stands for something harmful: only then are texts blurred and warnings given."""
        return bool(self.harmful)

    @property
    def none_label(self) -> str | None:
        """Key of the label that means "none of the others"; None: there is no such label.

        It is the one benign label, it excludes every other label, and all of those are harmful: a text without harm has
        it. In any other taxonomy a text may have no label at all. With Saring's own labels it may: "safe for work" does
        not exclude "informative", and a text that is no violation need not be safe (an advertisement for gambling).
        """
        benign = [label for label in self.labels if label.benign]
        if len(benign) != 1 or len(self.labels) < 2:
            return None
        [only] = benign
        return only.key if set(only.excludes) >= set(self.keys) - {only.key} else None

    @property
    def model_prefix(self) -> str:
        """First word of the names of models that give these labels: `sfw` where one is "safe for work"."""
        return "sfw" if "safe for work" in self else "labels"

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
        """The key for `name`; None: no label has that name, or more than one.

        Args:
            name: a key, an alias, or a name in English or Malay, in upper or lower case. A key goes before an alias,
                and an alias before a name.
        """
        return self._by_alias.get(_plain(name))


def _plain(name: str) -> str:
    """A name as names are compared."""
    return " ".join(name.split()).casefold()
