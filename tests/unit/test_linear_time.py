"""Everything that looks at a text from outside takes time linear in its length, whatever is in it.

Four times the length may take nine times as long (a clock is not exact), never the sixteen of quadratic work.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

from pipeline.explore.words import terms_of
from pipeline.models import few_texts
from pipeline.models.features import _WORDS
from pipeline.models.folding import fold
from pipeline.texts.labelled_files import clean
from pipeline.texts.language import MarkerDetector
from pipeline.texts.masking import bare, mask, words
from pipeline.texts.near_duplicates import level, packed_buckets, shingles
from pipeline.texts.normalise import readable, repair, text_key

_SIZE = 5_000
_WIDEST_RATIO = 9.0
#: seconds: what takes less is not measured well
_FLOOR = 0.02
#: each is repeated up to the length; found by trying every pair and triple of signs that a pattern knows
_UNITS = (
    *("@", "a", "0", "-", ".", "/", ":", "<", ">", "&", "#", "(", "[", "+", "_", " ", "\n", "%", ";", "小", "ب"),
    *("\u0301", "\u0301\u0323", "\u200b", "\u20e3", "a.", "@a", "a@", "a-", "-a", "a%", "0 ", "0-", "0.", "01", "1,a"),
    *("a dot ", "a at ", "[at]", "www.", "http://", "x.y/", "a_a.", "@小A1", "ig: a", "ic lama ", "kereta A", "A1 "),
    *(
        "900101-14-",
        "4111 ",
        "(0)",
        "+60",
        "&amp;",
        "&#1;",
        "amp;",
        "&lt",
        "<a",
        "<a ",
        "<!--",
        "a b ",
        "a' b ",
        "a.b.",
        "a1",
        "Ã¢",
        "â€™",
        "à",
        "\r\n",
        " \n",
        "\x1b[",
    ),
)
_DETECTOR = MarkerDetector()


def _ngrams(text: str) -> None:
    sum(1 for _ in few_texts.character_ngrams(text, 3, 5))
    sum(1 for _ in few_texts.word_ngrams(text, re.compile(_WORDS), 1, 2))


_WORK: dict[str, Callable[[str], object]] = {
    "mask": mask,
    "repair": repair,
    "clean": clean,
    "key": text_key,
    "words": lambda text: words(bare(text)),
    "terms": terms_of,
    "level": level,
    "fold": fold,
    "readable": lambda text: readable("<" + text),
    "buckets": lambda text: packed_buckets([text]),
    "shingles": shingles,
    "language": _DETECTOR.detect,
    "n-grams": _ngrams,
}


def _seconds(work: Callable[[str], object], text: str) -> float:
    start = time.process_time()
    work(text)
    return time.process_time() - start


@pytest.mark.parametrize("name", _WORK)
def test_four_times_the_text_takes_about_four_times_as_long(name: str) -> None:
    work = _WORK[name]
    work("mula saya")
    work("lorem ipsum")
    for unit in _UNITS:
        # an ampersand before all of it begins the longest of nested entities
        short, long = (("&" + unit * size)[:size] for size in (_SIZE, 4 * _SIZE))
        least, most = float("inf"), float("inf")
        # The least of several runs is the one that the machine disturbed least.
        for _ in range(6):
            least, most = min(least, _seconds(work, short)), min(most, _seconds(work, long))
            if most <= _WIDEST_RATIO * least + _FLOOR:
                break
        else:
            pytest.fail(f"{name} of {unit!r}: {_SIZE} characters {least:.4f} s, {4 * _SIZE} characters {most:.4f} s")


@pytest.mark.parametrize("unit", ["@", "-", "a-", "@a", "\u0301\u0323", "a" * 100, "0"])
def test_a_field_of_a_megabyte_costs_no_more_than_the_longest_text(unit: str) -> None:
    longest, huge = (unit * 1_000_000)[:20_000], (unit * 1_000_000)[:1_000_000]
    least, most = float("inf"), float("inf")
    for _ in range(6):
        least, most = min(least, _seconds(clean, longest)), min(most, _seconds(clean, huge))
        if most <= 3 * least + _FLOOR:
            return
    pytest.fail(f"{unit[:5]!r}: {least:.4f} s and {most:.4f} s")
