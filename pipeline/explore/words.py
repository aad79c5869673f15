"""Which words and pairs of words set a label apart: class-based TF-IDF (Grootendorst 2022, "BERTopic", section 3.3).

All texts of a label are taken as one document. A term t of label c weighs tf(t, c) log(1 + A / f(t)): its share of the
label's terms, times how rare it is among all labels', with A the average number of terms a label has.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise

from pipeline.texts.masking import bare, words

#: a term that is met less often may be one person's spelling
LEAST = 3
_SHORTEST = 2
_LONGEST = 30


@dataclass(frozen=True, slots=True)
class Term:
    """A word, or two with a blank."""

    term: str
    #: how often it is in the label's texts
    count: int
    weight: float


@cache
def stop_words() -> frozenset[str]:
    """Words that say nothing, in Malay, Indonesian and English."""
    lines = files("pipeline.explore").joinpath("stopwords.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def terms_of(masked: str) -> tuple[list[str], list[str]]:
    """The telling words of a text, and the pairs of them that stand side by side."""
    found = [word if _tells(word) else None for word in words(bare(masked))]
    return (
        [word for word in found if word is not None],
        [f"{one} {other}" for one, other in pairwise(found) if one is not None and other is not None],
    )


def _tells(word: str) -> bool:
    return _SHORTEST <= len(word) <= _LONGEST and word not in stop_words()


def telling(counts: Mapping[str, Counter[str]], top: int, *, least: int = LEAST) -> dict[str, Sequence[Term]]:
    """The terms of greatest weight of each label, heaviest first; equal ones by name.

    Args:
        counts: of each label, how often each term is in its texts.
        top: how many.
        least: how often a term has to be in a label's texts.
    """
    everywhere: Counter[str] = Counter()
    for counted in counts.values():
        everywhere.update(counted)
    # a label without a text is no document
    average = everywhere.total() / max(1, sum(bool(counted) for counted in counts.values()))
    return {
        label: _heaviest(
            (
                Term(term, count, count / counted.total() * math.log(1 + average / everywhere[term]))
                for term, count in counted.items()
                if count >= least
            ),
            top,
        )
        for label, counted in counts.items()
    }


def _heaviest(terms: Iterable[Term], top: int) -> Sequence[Term]:
    return sorted(terms, key=lambda one: (-one.weight, one.term))[:top]
