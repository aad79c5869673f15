"""Words and word pairs typical of a label: class-based TF-IDF (Grootendorst 2022, "BERTopic", section 3.3).

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

#: least count of a term: a rarer one may be the spelling of one person
LEAST = 3
_SHORTEST = 2
_LONGEST = 30


@dataclass(frozen=True, slots=True)
class Term:
    """A word, or two with a blank."""

    term: str
    #: number of times that it is in the label's texts
    count: int
    weight: float


@cache
def stop_words() -> frozenset[str]:
    """Stop words of Malay, Indonesian and English."""
    lines = files("pipeline.explore").joinpath("stopwords.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def terms_of(masked: str) -> tuple[list[str], list[str]]:
    """The words of a text without stop words, and the pairs of neighbours among them."""
    terms = [word if _is_term(word) else None for word in words(bare(masked))]
    return (
        [word for word in terms if word is not None],
        [f"{first} {second}" for first, second in pairwise(terms) if first is not None and second is not None],
    )


def _is_term(word: str) -> bool:
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
    # A label without a text is no document.
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
    return sorted(terms, key=lambda term: (-term.weight, term.term))[:top]
