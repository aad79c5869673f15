"""Any sentence-transformers model (Reimers and Gurevych 2019, arXiv:1908.10084), by hub name or folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.errors import EncoderError, ModelError, first_line
from pipeline.models.hub import model_place
from pipeline.vectors.encoders.protocol import Vectors, unit

#: largest number of characters of a text: a post has a few hundred, and time grows with the square of the length
_LONGEST = 8_000
#: texts in a batch, by device
_BATCH = {"cpu": 32, "cuda": 256}


class SentenceTransformersEncoder:
    """A model by hub name, `NAME@REVISION`, or the path of a folder. It runs on a GPU where torch has one.

    The space has the model's name: another revision is another space, and so is a folder that was moved.

    Raises:
        EncoderError: the libraries are not installed, or the model cannot be found or downloaded.
    """

    def __init__(self, model: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer
            from transformers.utils.logging import disable_progress_bar
        except ImportError as error:
            raise EncoderError("sentence-transformers is not installed: pip install 'saring[transformers]'") from error
        self.name = f"sentence-transformers:{model}"
        # Commands have a progress bar of their own.
        disable_progress_bar()
        try:
            place, revision = _place_and_revision(model)
            self._model = SentenceTransformer(place, revision=revision)
        except ModelError as error:
            raise EncoderError(f"cannot load the encoder {model!r}: {error}") from error
        except (OSError, ValueError, RuntimeError) as error:
            reason = first_line(error).rstrip(".")
            raise EncoderError(
                f"cannot load the encoder {model!r}: {reason}; is it a sentence-transformers model?"
            ) from error
        self.dimension = int(self._model.get_embedding_dimension() or 0)
        self._batch = _BATCH.get(self._model.device.type, 32)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder`. Batches have texts of similar length; the model's default prompt precedes each text."""
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        vectors = self._model.encode(
            [text[:_LONGEST] for text in texts],
            batch_size=self._batch,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return unit(np.asarray(vectors, dtype=np.float32))


def _place_and_revision(model: str) -> tuple[str, str | None]:
    if Path(model).expanduser().is_dir():
        return model_place(model), None
    name, _, revision = model.partition("@")
    return model_place(name, revision=revision or None), revision or None
