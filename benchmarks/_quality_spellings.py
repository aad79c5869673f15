"""Candidate readings of text as it is written here: words that are added beside the raw form, as more features.

Each takes a text in lower case and gives words to append. Facts of the language (particles, affixes, short forms) are
common knowledge; lists are short on purpose: they test an idea, and are no dictionary.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping

_WORD = re.compile(r"[^\W\d_]+")
_NEGATIONS = frozenset(
    (
        *("tak", "tidak", "tiada", "bukan", "jangan", "usah", "belum", "tdk", "gak", "ga", "nggak", "enggak"),
        *("no", "not", "never", "dont", "isnt", "aint"),
    )
)
_AFTER_NEGATION = 3
_QUOTED = re.compile(r"[\"“”«»]([^\"“”«»]{2,200})[\"“”«»]")
_PREFIXES = re.compile(r"^(?:meng|mem|men|me|peng|pem|pen|pe|ber|ter|di|se|ke)(?=[a-z]{4})")
_SUFFIXES = re.compile(r"(?<=[a-z]{4})(?:nya|kan|lah|kah|an|i|ku|mu)$")
_VOWELS = re.compile(r"(?<=.)[aeiou]")
_SHORT = {
    "x": "tak",
    "tk": "tak",
    "yg": "yang",
    "dgn": "dengan",
    "utk": "untuk",
    "org": "orang",
    "sy": "saya",
    "ko": "kau",
    "dorg": "mereka",
    "diorg": "mereka",
    "bdk": "budak",
    "kt": "kat",
    "jgn": "jangan",
    "mcm": "macam",
    "sbb": "sebab",
    "skrg": "sekarang",
    "bkn": "bukan",
    "pon": "pun",
    "klu": "kalau",
    "kalo": "kalau",
    "u": "you",
    "aq": "aku",
    "gue": "aku",
    "lu": "kau",
    "lo": "kau",
    "krn": "karena",
    "sm": "sama",
    "bgt": "banget",
    "jd": "jadi",
}
_JAWI = str.maketrans(
    {
        "ا": "a",
        "ب": "b",
        "ت": "t",
        "ث": "s",
        "ج": "j",
        "چ": "c",
        "ح": "h",
        "خ": "kh",
        "د": "d",
        "ذ": "z",
        "ر": "r",
        "ز": "z",
        "س": "s",
        "ش": "sy",
        "ص": "s",
        "ض": "d",
        "ط": "t",
        "ظ": "z",
        "ع": "a",
        "غ": "gh",
        "ڠ": "ng",
        "ف": "f",
        "ڤ": "p",
        "ق": "q",
        "ک": "k",
        "ك": "k",
        "ݢ": "g",
        "ل": "l",
        "م": "m",
        "ن": "n",
        "و": "u",
        "ۏ": "v",
        "ه": "h",
        "ي": "i",
        "ى": "i",
        "ڽ": "ny",
        "ة": "t",
        "ء": "",
    }
)


def negated(text: str) -> Iterator[str]:
    """The words that follow a negation, marked."""
    left = 0
    for word in _WORD.findall(text):
        if word in _NEGATIONS:
            left = _AFTER_NEGATION
        elif left:
            left -= 1
            yield f"neg{word}"


def quoted(text: str) -> Iterator[str]:
    """The words between quotation marks, marked."""
    for quotation in _QUOTED.findall(text):
        for word in _WORD.findall(quotation):
            yield f"quo{word}"


def stems(text: str) -> Iterator[str]:
    """Malay words without their affixes."""
    for word in _WORD.findall(text):
        stem = _SUFFIXES.sub("", _PREFIXES.sub("", word))
        if stem != word:
            yield stem


def skeletons(text: str) -> Iterator[str]:
    """Words without their vowels, as short forms are written: `budak` and `bdk`."""
    for word in _WORD.findall(text):
        if len(word) > 2:
            yield f"skl{_VOWELS.sub('', word)}"


def short_forms(text: str) -> Iterator[str]:
    """Common short forms in full."""
    for word in _WORD.findall(text):
        if word in _SHORT:
            yield _SHORT[word]


def emoji(text: str) -> Iterator[str]:
    """Names of emoji and other signs of pictures."""
    for character in text:
        if unicodedata.category(character) == "So":
            yield "emo" + unicodedata.name(character, "unknown").replace(" ", "").replace("-", "").lower()


def jawi(text: str) -> Iterator[str]:
    """Words in Arabic letters, letter by letter in Latin ones."""
    for word in _WORD.findall(text):
        if any("\u0600" <= letter <= "\u06ff" or "\u0750" <= letter <= "\u077f" for letter in word):
            yield word.translate(_JAWI)


def raw(text: str) -> Iterator[str]:
    """The words that folding changes, as they were written."""
    for word in text.split():
        if re.search(r"(.)\1\1|[0-9@$!*]", word):
            yield re.sub(r"[^\w]", "", "raw" + word.replace("@", "a").replace("$", "s").replace("*", "w"))


CANDIDATES: Mapping[str, Callable[[str], Iterator[str]]] = {
    "words after a negation, marked": negated,
    "quoted words, marked": quoted,
    "Malay affixes removed": stems,
    "words without vowels": skeletons,
    "short forms in full": short_forms,
    "emoji by name": emoji,
    "Jawi in Latin letters": jawi,
    "the raw form beside the folded one": raw,
}


def beside(candidate: Callable[[str], Iterator[str]], text: str) -> tuple[str, bool]:
    """A text with what a candidate reads appended, and whether that is anything."""
    words = " ".join(candidate(text.lower()))
    return (f"{text} {words}", True) if words else (text, False)
