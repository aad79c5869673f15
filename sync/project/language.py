"""The language that comes first for volunteers: the other one is smaller beside it, or folded below it."""

from __future__ import annotations

import enum

from pipeline.taxonomy import Bilingual


class Language(enum.StrEnum):
    """A language of volunteers, by its code."""

    EN = "en"
    MS = "ms"

    def ordered(self, words: Bilingual) -> tuple[str, str]:
        """The same words in this language and in the other one."""
        return (words.en, words.ms) if self is Language.EN else (words.ms, words.en)

    def both(self, en: str, ms: str) -> str:
        """The same words in both languages on one line, this language first."""
        return " / ".join(self.ordered(Bilingual(en=en, ms=ms)))

    def of(self, words: Bilingual) -> str:
        """The words in this language."""
        return self.ordered(words)[0]

    @property
    def other(self) -> Language:
        """The language that comes second."""
        return Language.MS if self is Language.EN else Language.EN
