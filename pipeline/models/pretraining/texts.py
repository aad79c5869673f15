"""Texts to learn a language from: repaired and masked, each once, without the texts that a classifier is tested on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from pipeline.errors import TrainingError

#: held-out texts: at most so many, and as a share of all
MOST_HELD_OUT, HELD_OUT = 2_000, 0.05
#: least number of texts to learn from
LEAST = 40


def divide(texts: Iterable[str]) -> tuple[list[str], list[str]]:
    """Texts to learn from, and texts held out; each text once, in an order that depends on the texts alone.

    Texts are held out by their hash, so that texts added later do not move held-out texts into training at random.

    Raises:
        TrainingError: there are too few.
    """
    by_hash = {hashlib.blake2b(text.encode(), digest_size=16).digest(): text for text in texts}
    if len(by_hash) < LEAST:
        raise TrainingError(f"{len(by_hash)} distinct texts are too few to learn from: give {LEAST} or more")
    ordered = [by_hash[key] for key in sorted(by_hash)]
    held_out = min(MOST_HELD_OUT, max(LEAST // 4, round(HELD_OUT * len(ordered))))
    return ordered[held_out:], ordered[:held_out]


def texts_hash(*parts: Sequence[str]) -> str:
    """A hash of texts in their order, to recognise them later."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        for text in part:
            digest.update(hashlib.blake2b(text.encode(), digest_size=16).digest())
        digest.update(b"|")
    return digest.hexdigest()
