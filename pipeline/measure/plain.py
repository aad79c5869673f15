"""Plain values from reports, as JSON has them."""

from __future__ import annotations

import enum
import uuid
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """Dictionaries, lists, strings and numbers only: times and ids as text, and no number that is not finite.

    Numbers keep their digits; `pipeline.measure.metrics.rounded` rounds them.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, (np.bool_, bool)):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, uuid.UUID):
        return str(value)
    return value
