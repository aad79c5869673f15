"""The kinds of classifiers there are, and how each is read back.

A kind's libraries are loaded only when it is asked for: who serves a linear model never loads torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pipeline.errors import ModelError
from pipeline.models.protocol import Classifier, Encode

#: of a model's folder, what tells of the model and is no part of it: manifest, card, plots, the gate's report
BESIDE = frozenset({"model.json", "README.md", "precision-recall.png", "reliability.png", "gate.json", "gate.html"})


@dataclass(frozen=True, slots=True)
class Backend:
    """How a kind of classifier lies in a folder."""

    name: str
    #: read the classifier that its `write` put into a folder, given the encoder for vectors. The caller has checked the
    #: hash; raises ModelError
    read: Callable[[Path, Encode | None], Classifier]
    #: the one file that its hash covers; None: every file of the folder that is not BESIDE
    file: str | None = None

    def hash_of(self, folder: Path) -> str:
        """SHA-256, in hexadecimal, of all that makes up the model in a folder.

        Of several files, it is that of a list of their names and hashes, so that a file more changes it as well: what
        transformers finds in a folder, it may read.

        Raises:
            ModelError: the file is missing, or there is none.
        """
        if self.file is not None:
            path = folder / self.file
            if not path.is_file():
                raise ModelError(f"{folder}: {self.file} is missing: fetch or train the model again")
            return file_hash(path)
        found = sorted(path for path in folder.rglob("*") if path.is_file() and _counts(path.relative_to(folder)))
        if not found:
            raise ModelError(f"{folder}: the model's files are missing: fetch or train it again")
        listed = "".join(f"{file_hash(path)}  {path.relative_to(folder).as_posix()}\n" for path in found)
        return hashlib.sha256(listed.encode()).hexdigest()


def backend_of(name: str) -> Backend:
    """The backend of a name.

    Raises:
        ModelError: this version has none of that name.
    """
    if name not in _BACKENDS:
        raise ModelError(f"backend {name!r} is not known to this version")
    return _BACKENDS[name]


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _counts(path: Path) -> bool:
    """Whether a file of a folder is part of the model; what has a name that begins with a dot is never read."""
    return path.as_posix() not in BESIDE and not any(part.startswith(".") for part in path.parts)


def _linear(folder: Path, encode: Encode | None) -> Classifier:
    from pipeline.models.linear import read_linear

    return read_linear(folder, encode)


def _transformers(folder: Path, _encode: Encode | None) -> Classifier:
    _need_torch(folder)
    from pipeline.models.transformer.files import read_transformer

    return read_transformer(folder)


def _transformers_int8(folder: Path, _encode: Encode | None) -> Classifier:
    _need_torch(folder)
    from pipeline.models.transformer.int8 import read_int8

    return read_int8(folder)


def _need_torch(folder: Path) -> None:
    from importlib.util import find_spec

    if find_spec("torch") is None or find_spec("transformers") is None:
        raise ModelError(f"{folder}: a transformers model needs torch: pip install 'saring[transformers]'")


_BACKENDS: Mapping[str, Backend] = MappingProxyType(
    {
        one.name: one
        for one in (
            Backend("linear", _linear, file="model.skops"),
            Backend("transformers", _transformers),
            Backend("transformers-int8", _transformers_int8),
        )
    }
)
