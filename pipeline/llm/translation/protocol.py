"""What a translator is to whoever needs translations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pipeline.llm.budget import Allowance
from pipeline.llm.cache import PaidReply

Language = Literal["ms", "en"]


@dataclass(frozen=True, slots=True)
class Translated:
    """Some translations, to be committed together."""

    #: masked text to its translation
    bodies: dict[str, str] = field(default_factory=dict)
    #: texts by the reason why there is no translation
    failed: dict[str, int] = field(default_factory=dict)
    paid: Sequence[PaidReply] = ()


class Translator(Protocol):
    """Translates masked texts."""

    @property
    def name(self) -> str:
        """Kind, name and version: what a translation says of where it comes from."""

    @property
    def allowance(self) -> Allowance:
        """What it may have spent in all when it stops."""

    def translate(self, texts: Sequence[str], language: Language) -> Iterator[Translated]:
        """The texts in that language, as they come. Each text at most once, in any order."""
