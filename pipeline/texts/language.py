"""What language a short post is written in, with Malay, Indonesian, English and their mixtures told apart with care.

Three steps, cheapest first. The script decides where it can (Han, Thai, Tamil, Hangul ...). Then marker words do:
words that one of the three languages uses all the time and the others hardly ever, as is usual for close languages
(Ranaivo-Malançon 2006, "Automatic identification of close languages", section 3). Only what is left goes to lingua.
Markers know social spelling (`x`, `tak`, `nak`, `gak`, `banget`), which general detectors were not trained on.
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

from pipeline.texts.masking import bare, words

#: scripts that name a language well enough to say that a text is out of scope
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
    # Jawi, Malay in Arabic script, has letters that Arabic lacks: nga, pa, ga, nya, va
    ("ms", re.compile(r"[\u06a0\u06a4\u0762\u06bd\u06cf]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
)
#: the languages that lingua is asked for, as ISO 639-1
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
#: what is told apart with care
_HOME = ("ms", "id", "en")
#: a Latin-script text is called foreign only from this confidence on, and only if fewer than this share of its
#: words are markers
_SURE_FOREIGN = 0.6
_MARKED_SHARE = 0.2
#: below this share of letters in the strongest foreign script, the Latin part decides
_SCRIPT_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Found:
    """A language as ISO 639-1 (two joined by `-` for a mixture), and how sure that is, 0 to 1."""

    language: str | None
    score: float

    def in_scope(self, languages: Sequence[str]) -> bool:
        """Whether any part of it is among `languages`; a text whose language can't be told is."""
        return self.language is None or any(part in languages for part in self.language.split("-"))


class Detector(Protocol):
    """Tells the language of a masked text."""

    def detect(self, masked: str, found: Sequence[str] | None = None) -> Found: ...


@dataclass(frozen=True)
class MarkerDetector:
    """Script, then marker words, then lingua.

    `accurate` asks lingua for all its models and not for trigrams alone. It is right more often on what the markers
    leave open, takes twice the time for it and 100 MB more (benchmarks/language.py measures both).
    """

    accurate: bool = False

    def detect(self, masked: str, found: Sequence[str] | None = None) -> Found:
        """See Detector. No language is given for a text without letters.

        Args:
            masked: a masked text.
            found: its `words`, if they are at hand.
        """
        text = bare(masked)
        if not text.isascii() and (by_script := _by_script(text)) is not None:
            return by_script
        tokens = words(text) if found is None else found
        if not tokens:
            return Found(None, 0.0)
        votes = self._votes(tokens)
        return _by_markers(votes, len(tokens)) or self._by_lingua(text, votes, len(tokens))

    def _votes(self, tokens: Sequence[str]) -> dict[str, int]:
        markers = self._markers
        cast = [markers[token] for token in tokens if token in markers]
        return {language: cast.count(language) for language in (*_HOME, "malayic")}

    def _by_lingua(self, text: str, votes: Mapping[str, int], length: int) -> Found:
        # slang and short forms look foreign to lingua: where our own words are many, only ours are asked for
        spoken_for = sum(votes.values()) >= _MARKED_SHARE * length
        lingua = self._lingua_home if spoken_for else self._lingua
        values = {LINGUA[v.language]: v.value for v in lingua.compute_language_confidence_values(text)}
        best = max(values, key=values.__getitem__)
        if values[best] <= 0:
            return Found(None, 0.0)
        if best not in _HOME and values[best] < _SURE_FOREIGN:
            best = max(_HOME, key=values.__getitem__)
        if best == "en" and votes["malayic"] > votes["en"]:
            best = max(("ms", "id"), key=values.__getitem__)
        return Found(best, round(values[best], 4))

    @cached_property
    def _markers(self) -> dict[str, str]:
        lines = files("pipeline.texts").joinpath("markers.txt").read_text(encoding="utf-8").splitlines()
        found: dict[str, str] = {}
        for line in lines:
            language, _, words = line.partition(":")
            if words and not language.startswith("#"):
                found.update(dict.fromkeys(words.split(), language))
        return found

    @cached_property
    def _lingua(self) -> LinguaDetector:
        return self._build(tuple(LINGUA))

    @cached_property
    def _lingua_home(self) -> LinguaDetector:
        return self._build(tuple(language for language, code in LINGUA.items() if code in _HOME))

    def _build(self, languages: Sequence[LinguaLanguage]) -> LinguaDetector:
        builder = LanguageDetectorBuilder.from_languages(*languages).with_preloaded_language_models()
        return (builder if self.accurate else builder.with_low_accuracy_mode()).build()


def _by_script(text: str) -> Found | None:
    letters = sum(c.isalpha() for c in text)
    if not letters:
        return None
    for language, pattern in _SCRIPTS:
        count = len(pattern.findall(text))
        if language in ("zh", "ja"):
            # one Han character says about as much as two letters
            count *= 2
        if language == "ms" and count:
            return Found("ms", 0.9)
        if count >= _SCRIPT_SHARE * letters:
            return Found(language, round(min(1.0, count / letters), 4))
    return None


def _by_markers(votes: Mapping[str, int], length: int) -> Found | None:
    ms, id_, en = votes["ms"], votes["id"], votes["en"]
    local = ms + id_ + votes["malayic"]
    if en and not local:
        return Found("en", _confidence(en, 0)) if en >= 2 or length <= 4 else None
    if ms == id_:
        return None
    close = "ms" if ms > id_ else "id"
    sure = _confidence(max(ms, id_), min(ms, id_))
    if en >= 3 and en >= local / 2:
        # both languages carry weight: rojak
        return Found(f"{close}-en" if local >= 2 else "en", sure)
    return Found(close, sure)


def _confidence(votes: int, against: int) -> float:
    """Share of the votes, drawn towards one half when they are few (Laplace's rule of succession)."""
    return round((votes + 1) / (votes + against + 2), 4)
