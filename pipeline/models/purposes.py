"""Purposes of models, as they are stored, and as people read and write them."""

from __future__ import annotations

#: the purpose of the models that give the taxonomy's labels; stored with every model, whatever the labels are
LABELS = "sfw"
_SHOWN = "labels"


def shown_purpose(purpose: str) -> str:
    """The purpose in words: `labels`, `sentiment`, or `pseudo:LABEL`."""
    return _SHOWN if purpose == LABELS else purpose


def stored_purpose(written: str) -> str:
    """The purpose that somebody means, who may write `labels` or, as it is stored, `sfw`."""
    return LABELS if written == _SHOWN else written
