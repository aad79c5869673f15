"""The interface of translators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pipeline.llm.budget import Allowance
from pipeline.llm.cache import PaidReply

Language = Literal["ms", "en"]


@dataclass(frozen=True, slots=True)
class Translated:
    """A batch of translations, to be committed together."""

    #: translations by masked text
    bodies: dict[str, str] = field(default_factory=dict)
    #: number of texts by the reason why there is no translation
    failed: dict[str, int] = field(default_factory=dict)
    #: paid replies, which are stored already
    paid: Sequence[PaidReply] = ()


class Translator(Protocol):
    """A translator of masked texts."""

    @property
    def name(self) -> str:
        """Kind, name and version, as stored with each translation."""

    @property
    def allowance(self) -> Allowance:
        """Limits on its spending over all runs."""

    def translate(self, texts: Sequence[str], language: Language, *, run_id: int | None = None) -> Iterator[Translated]:
        """Translate texts into that language, batch by batch; each text occurs at most once, in any order.

        Paid replies are stored with `run_id`, the run that pays for them.
        """
