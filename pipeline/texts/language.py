"""Language of a short post, with special care for Malay, Indonesian, English and their mixtures.

Three steps, cheapest first. The script decides where it can (Han, Thai, Tamil, Hangul ...). Then marker words decide:
words that one of the three languages uses often and the others almost never, a usual method for close languages
(Ranaivo-Malançon 2006, "Automatic identification of close languages", section 3). Only the remaining texts go to
lingua. Markers include spellings of social media (`x`, `tak`, `nak`, `gak`, `banget`), which general detectors were not
trained on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Protocol

from lingua import Language as LinguaLanguage
from lingua import LanguageDetector as LinguaDetector
from lingua import LanguageDetectorBuilder

from pipeline.texts.jawi import has_jawi_letters, is_jawi
from pipeline.texts.masking import bare, words

#: scripts that identify a language well enough to call a text out of scope
_SCRIPTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("zh", re.compile(r"[\u3400-\u9fff]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("ta", re.compile(r"[\u0b80-\u0bff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("bn", re.compile(r"[\u0980-\u09ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af\u1100-\u11ff]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("my", re.compile(r"[\u1000-\u109f]")),
    ("km", re.compile(r"[\u1780-\u17ff]")),
    # Jawi, which is Malay in this script, is told from Arabic by `is_jawi`.
    ("ar", re.compile(r"[\u0600-\u06ff\u0750-\u077f]")),
)
#: languages that lingua chooses from, as ISO 639-1
LINGUA = {
    LinguaLanguage.MALAY: "ms",
    LinguaLanguage.INDONESIAN: "id",
    LinguaLanguage.ENGLISH: "en",
    LinguaLanguage.TAGALOG: "tl",
    LinguaLanguage.VIETNAMESE: "vi",
    LinguaLanguage.FRENCH: "fr",
    LinguaLanguage.SPANISH: "es",
    LinguaLanguage.GERMAN: "de",
}
#: languages that marker words distinguish
_HOME = ("ms", "id", "en")
#: least confidence at which a Latin-script text is called foreign
_SURE_FOREIGN = 0.6
#: share of markers among the words from which a text is not called foreign
_MARKED_SHARE = 0.2
#: below this share of letters in the strongest foreign script, the Latin part decides
_SCRIPT_SHARE = 0.4


#: a word of more letters is cut before lingua, whose time grows with the square of a word's length
_LONG_WORD = re.compile(r"(\w{64})\w+")


@dataclass(frozen=True, slots=True)
class DetectedLanguage:
    """A language as ISO 639-1 (two joined by `-` for a mixture), with a confidence from 0 to 1."""

    language: str | None
    score: float

    def in_scope(self, languages: Sequence[str]) -> bool:
        """True where any part of it is among `languages`, or the language is unknown."""
        return self.language is None or any(part in languages for part in self.language.split("-"))


class Detector(Protocol):
    """A detector of the language of a masked text."""

    def detect(self, masked: str, known_words: Sequence[str] | None = None) -> DetectedLanguage: ...


@dataclass(frozen=True)
class MarkerDetector:
    """A detector that uses the script, then marker words, then lingua.

    With `accurate` lingua uses all its models and not only trigrams. It is right more often on texts that markers do
    not decide, and needs twice the time for them and 100 MB more memory (benchmarks/language.py measures both).
    """

    accurate: bool = False

    def detect(self, masked: str, known_words: Sequence[str] | None = None) -> DetectedLanguage:
        """Detect the language; see `Detector`. A text without letters has none.

        Args:
            masked: a masked text.
            known_words: its `words`, if the caller has them already.
        """
        text = bare(masked)
        if not text.isascii() and (by_script := _by_script(text)) is not None:
            return by_script
        tokens = words(text) if known_words is None else known_words
        if not tokens:
            return DetectedLanguage(None, 0.0)
        votes = self._votes(tokens)
        return _by_markers(votes, len(tokens)) or self._by_lingua(text, votes, len(tokens))

    def _votes(self, tokens: Sequence[str]) -> dict[str, int]:
        markers = self._markers
        cast = [markers[token] for token in tokens if token in markers]
        return {language: cast.count(language) for language in (*_HOME, "malayic")}

    def _by_lingua(self, text: str, votes: Mapping[str, int], length: int) -> DetectedLanguage:
        # Slang and short forms look foreign to lingua: a text with many markers is one of the home languages.
        has_many_markers = sum(votes.values()) >= _MARKED_SHARE * length
        lingua = self._lingua_home if has_many_markers else self._lingua
        confidences = lingua.compute_language_confidence_values(_LONG_WORD.sub(r"\1", text))
        values = {LINGUA[confidence.language]: confidence.value for confidence in confidences}
        best = max(values, key=values.__getitem__)
        if values[best] <= 0:
            return DetectedLanguage(None, 0.0)
        if best not in _HOME and values[best] < _SURE_FOREIGN:
            best = max(_HOME, key=values.__getitem__)
        if best == "en" and votes["malayic"] > votes["en"]:
            best = max(("ms", "id"), key=values.__getitem__)
        return DetectedLanguage(best, round(values[best], 4))

    @cached_property
    def _markers(self) -> dict[str, str]:
        lines = files("pipeline.texts").joinpath("markers.txt").read_text(encoding="utf-8").splitlines()
        markers: dict[str, str] = {}
        for line in lines:
            language, _, words = line.partition(":")
            if words and not language.startswith("#"):
                markers.update(dict.fromkeys(words.split(), language))
        return markers

    @cached_property
    def _lingua(self) -> LinguaDetector:
        return self._build(tuple(LINGUA))

    @cached_property
    def _lingua_home(self) -> LinguaDetector:
        return self._build(tuple(language for language, code in LINGUA.items() if code in _HOME))

    def _build(self, languages: Sequence[LinguaLanguage]) -> LinguaDetector:
        builder = LanguageDetectorBuilder.from_languages(*languages).with_preloaded_language_models()
        return (builder if self.accurate else builder.with_low_accuracy_mode()).build()


def _by_script(text: str) -> DetectedLanguage | None:
    letters = sum(c.isalpha() for c in text)
    if not letters:
        return None
    for language, pattern in _SCRIPTS:
        count = len(pattern.findall(text))
        if language in ("zh", "ja"):
            # One Han character counts as two letters.
            count *= 2
        if language == "ar" and count and has_jawi_letters(text):
            return DetectedLanguage("ms", 0.9)
        if count >= _SCRIPT_SHARE * letters:
            if language == "ar" and is_jawi(text):
                return DetectedLanguage("ms", 0.9)
            return DetectedLanguage(language, round(min(1.0, count / letters), 4))
    return None


def _by_markers(votes: Mapping[str, int], length: int) -> DetectedLanguage | None:
    ms, id_, en = votes["ms"], votes["id"], votes["en"]
    local = ms + id_ + votes["malayic"]
    if en and not local:
        return DetectedLanguage("en", _confidence(en, 0)) if en >= 2 or length <= 4 else None
    if ms == id_:
        return None
    close = "ms" if ms > id_ else "id"
    sure = _confidence(max(ms, id_), min(ms, id_))
    if en >= 3 and en >= local / 2:
        # The text is a mixture (rojak).
        return DetectedLanguage(f"{close}-en" if local >= 2 else "en", sure)
    return DetectedLanguage(close, sure)


def _confidence(votes: int, against: int) -> float:
    """Share of the votes, closer to one half when there are few (Laplace's rule of succession)."""
    return round((votes + 1) / (votes + against + 2), 4)
