"""Repair of damaged JSON in replies of models."""

from __future__ import annotations

from typing import Any

import json_repair


def repaired_json(text: str) -> Any:
    """The value in damaged JSON as json_repair reads it; None where it finds none, or fails."""
    try:
        return json_repair.loads(text, skip_json_loads=True)
    except Exception:  # noqa: BLE001 - a reply may be anything, and what that makes a library raise is no list
        return None
