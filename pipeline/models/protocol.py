"""The interface of a classifier for training, evaluation and serving."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pipeline.measure.arrays import Scores

#: vectors of texts: [texts, dimension], each of Euclidean length 1
Encode = Callable[[Sequence[str]], NDArray[np.float32]]
#: gives that of the encoder of a name
Encoders = Callable[[str], Encode]


class Classifier(Protocol):
    """Gives each label of each text a probability of its own. Labels are keys; their order is the classifier's."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def backend(self) -> str: ...

    def decisions(self, texts: Sequence[str]) -> Scores:
        """Raw scores [texts, labels], in no unit; greater means likelier. Texts are repaired and masked."""
        ...

    def state(self) -> Mapping[str, Any]:
        """Arrays and plain values by name: all that was learnt. Two classifiers with the same state are the same."""
        ...

    def write(self, folder: Path) -> None:
        """Write the classifier into a folder, from where `backends.backend_of(backend).read` reads it back."""
        ...


@runtime_checkable
class WithVectors(Protocol):
    """A classifier that may need the vectors of texts."""

    def encoding(self, wrap: Callable[[Encode], Encode]) -> Classifier:
        """The same classifier, whose vectors come from what `wrap` makes of its own encoding function."""
        ...
