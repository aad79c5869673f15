"""The signs of carelessness in words that are translated."""

from __future__ import annotations

from collections.abc import Mapping

from saring.web.words import marked
from sync.quality.careless import Sign

SIGNS: Mapping[str, str] = {
    Sign.MISSES_KNOWN.value: marked("misses tasks whose answer is known"),
    Sign.FAR_OFF.value: marked("misses tasks whose answer is known far more than others"),
    Sign.AGAINST_CONSENSUS.value: marked("answers against the others"),
    Sign.ADOPTS_WRONG.value: marked("leaves wrong ticks"),
    Sign.FAST.value: marked("answers too fast"),
    Sign.UNREAD.value: marked("answers faster than anybody reads"),
    Sign.REPEATS.value: marked("repeats one answer"),
    Sign.ACCEPTS.value: marked("accepts every tick"),
}
