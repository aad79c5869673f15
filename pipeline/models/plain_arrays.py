"""Read a skops file of plain values and arrays, without skops: it imports all of scikit-learn and SciPy.

Such a file is a ZIP archive: `schema.json` describes a tree of dictionaries, lists, tuples and JSON values, and each
array is a file of NumPy's own format. Anything else is left to skops, which knows what may be read.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class NotPlainError(ValueError):
    """The file holds something else than plain values and arrays, or is none of skops."""


def read_plain(path: Path) -> Any:
    """Read all that a skops file holds.

    Raises:
        NotPlainError: something in it is no plain value and no array, or the file is damaged.
        OSError: the file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _value(json.loads(archive.read("schema.json")), archive)
    except OSError:
        raise
    except Exception as error:
        raise NotPlainError(f"{path}: not plain values and arrays") from error


def _value(node: Mapping[str, Any], archive: zipfile.ZipFile) -> Any:
    kind = node["__module__"], node["__class__"], node["__loader__"]
    match kind:
        case ("builtins", "str", "JsonNode"):
            return json.loads(node["content"])
        case ("builtins", "dict", "DictNode"):
            types = {(key["__module__"], key["__class__"]) for key in node["key_types"]["content"]}
            if not types <= {("builtins", "str")}:
                raise ValueError("a key is no string")
            return {key: _value(value, archive) for key, value in node["content"].items()}
        case ("builtins", "list", "ListNode"):
            return [_value(value, archive) for value in node["content"]]
        case ("builtins", "tuple", "TupleNode"):
            return tuple(_value(value, archive) for value in node["content"])
        case ("numpy", "ndarray", "NdArrayNode") if node["type"] == "numpy":
            return np.load(io.BytesIO(archive.read(node["file"])), allow_pickle=False)
    raise ValueError("a node is no plain value and no array")


def finite(value: Any, kind: Any) -> NDArray[Any]:
    """An array of that kind.

    Raises:
        ValueError: it does not hold finite numbers.
    """
    numbers = np.asarray(value)
    if numbers.dtype.kind not in "fiu" or not np.isfinite(numbers).all():
        raise ValueError("an array does not hold finite numbers")
    return np.asarray(numbers, dtype=kind)
