"""The texts that a model was fitted on, as hashes, so that a measurement on them can be told.

Eight bytes of each text's id are kept, which say nothing of the text. They lie in a folder of the home, not in the
model's: they are no part of the model, and are not shared with it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline.atomic import make_folder, write_file


def write_learnt(folder: Path, version: str, ids: Iterable[uuid.UUID]) -> None:
    """Note, in a folder for all models, the ids of the texts that a model was fitted on."""
    make_folder(folder)
    write_file(folder / version, np.unique(_short(ids)).astype("<u8").tobytes())


def count_learnt(folder: Path, version: str, ids: Iterable[uuid.UUID]) -> int | None:
    """The number of texts that a model was fitted on; None: nobody noted them."""
    path = folder / version
    if not path.is_file():
        return None
    return int(np.isin(_short(ids), np.frombuffer(path.read_bytes(), dtype="<u8")).sum())


def _short(ids: Iterable[uuid.UUID]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
    return np.array([int.from_bytes(identity.bytes[:8], "little") for identity in ids], dtype=np.uint64)
