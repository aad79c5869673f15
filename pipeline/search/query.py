"""A search as plain values: what is looked for, and how it is stored and read back."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from pipeline.errors import UsageError
from pipeline.judgement import Tier
from pipeline.plural import counted

#: longest text of a search, in characters
MOST_WORDS = 500


class Whereabouts(enum.StrEnum):
    """Progress of a text with people so far."""

    #: in the queue, not pushed yet
    QUEUED = "queued"
    #: in Label Studio, without enough answers
    SENT = "sent"
    #: judged by a person
    JUDGED = "judged"
    #: none of these
    FREE = "free"


@dataclass(frozen=True, slots=True)
class Query:
    """A search. All that is given must be true of a text.

    Raises:
        UsageError: nothing is given, or it is too long.
    """

    #: words of the text; "two words" in quotation marks, `or`, and `-word` mean what they mean elsewhere
    words: str = ""
    #: the text that the found ones are like, the most similar first
    like: uuid.UUID | None = None
    #: a sentence that the found texts are like, in place of a text
    meaning: str = ""
    #: key of a label that the text has by the decision on it
    label: str | None = None
    #: tier of that decision; without a label, of the text as a whole
    tier: Tier | None = None
    language: str | None = None
    #: name of a source that has the text
    source: str | None = None
    whereabouts: Whereabouts | None = None

    def __post_init__(self) -> None:
        for given in (self.words, self.meaning):
            if len(given) > MOST_WORDS:
                raise UsageError(
                    f"the words of the search have {counted(len(given), 'character')}: give at most {MOST_WORDS}"
                )
        if self.like is not None and self.meaning:
            raise UsageError("give a text or a sentence to be like, not both")
        if not any(getattr(self, field.name) for field in fields(self)):
            raise UsageError("say what to look for: words, a text to be like, or a filter")

    def values(self) -> dict[str, str]:
        """The given values, as JSON takes it."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: str(value) for name, value in given.items() if value}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Query:
        """A search from values as a form, an address or the store has them; empty ones count as not given.

        Raises:
            UsageError: a value cannot be read.
        """
        given = {field.name: str(values.get(field.name) or "").strip() for field in fields(cls)}
        return cls(
            words=given["words"].replace("\0", " "),
            like=_text_id(given["like"]),
            meaning=given["meaning"].replace("\0", " "),
            label=given["label"] or None,
            tier=_one_of(Tier, given["tier"], "tier"),
            language=given["language"] or None,
            source=given["source"] or None,
            whereabouts=_one_of(Whereabouts, given["whereabouts"], "place"),
        )


def _text_id(value: str) -> uuid.UUID | None:
    if not value:
        return None
    try:
        return uuid.UUID(value)
    except ValueError:
        raise UsageError(f"{value[:50]!r} is not the id of a text") from None


def _one_of(kind: type[Any], value: str, what: str) -> Any:
    if not value:
        return None
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(str(member) for member in kind)
        raise UsageError(f"there is no {what} {value[:50]!r}: give one of {known}") from None
