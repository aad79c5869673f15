"""The kinds of classifiers, and the reader of each.

The libraries of a kind are loaded only when it is used: serving a linear model never loads torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pipeline.errors import ModelError
from pipeline.models.protocol import Classifier, Encode

#: files of a model's folder that are no part of the model: manifest, card, plots, scores, the gate's report
BESIDE = frozenset(
    {"model.json", "README.md", "precision-recall.png", "reliability.png", "scores.npz", "gate.json", "gate.html"}
)


@dataclass(frozen=True, slots=True)
class Backend:
    """Files and reader of a kind of classifier."""

    name: str
    #: reads the classifier that its `write` put into a folder, given the encoder for vectors; raises ModelError. The
    #: caller checks the hash first.
    read: Callable[[Path, Encode | None], Classifier]
    #: the one file that its hash covers; None: every file of the folder that is not BESIDE
    file: str | None = None

    def hash_of(self, folder: Path) -> str:
        """SHA-256, in hexadecimal, of all that makes up the model in a folder.

        Of several files, it is that of a list of their names and hashes, so that an added file changes it as well:
        transformers may read any file in a folder.

        Raises:
            ModelError: the file is missing, or there is none.
        """
        if self.file is not None:
            path = folder / self.file
            if not path.is_file():
                raise ModelError(f"{folder}: {self.file} is missing: fetch or train the model again")
            return file_hash(path)
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and _counts(path.relative_to(folder)))
        if not paths:
            raise ModelError(f"{folder}: the model's files are missing: fetch or train it again")
        listed = "".join(f"{file_hash(path)}  {path.relative_to(folder).as_posix()}\n" for path in paths)
        return hashlib.sha256(listed.encode()).hexdigest()


def backend_of(name: str) -> Backend:
    """The backend of a name.

    Raises:
        ModelError: this version has none of that name.
    """
    if name not in _BACKENDS:
        raise ModelError(f"backend {name!r} is not known to this version of Saring")
    return _BACKENDS[name]


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _counts(path: Path) -> bool:
    """True where a file of a folder is part of the model; a file whose name begins with a dot is not."""
    return path.as_posix() not in BESIDE and not any(part.startswith(".") for part in path.parts)


def _linear(folder: Path, encode: Encode | None) -> Classifier:
    from pipeline.models.linear import read_linear

    return read_linear(folder, encode)


def _transformers(folder: Path, encode: Encode | None) -> Classifier:
    _need_torch(folder)
    from pipeline.models.transformer.combined import read_combined
    from pipeline.models.transformer.files import read_transformer

    return read_combined(folder, read_transformer(folder), encode)


def _transformers_int8(folder: Path, encode: Encode | None) -> Classifier:
    _need_torch(folder)
    from pipeline.models.transformer.combined import read_combined
    from pipeline.models.transformer.int8 import read_int8

    return read_combined(folder, read_int8(folder), encode)


def _need_torch(folder: Path) -> None:
    from importlib.util import find_spec

    if find_spec("torch") is None or find_spec("transformers") is None:
        raise ModelError(f"{folder}: a transformers model needs torch: pip install 'saring[transformers]'")


_BACKENDS: Mapping[str, Backend] = MappingProxyType(
    {
        backend.name: backend
        for backend in (
            Backend("linear", _linear, file="model.skops"),
            Backend("transformers", _transformers),
            Backend("transformers-int8", _transformers_int8),
        )
    }
)
