"""The kinds of raters."""

from __future__ import annotations

import enum


class RaterKind(enum.StrEnum):
    """What sort of someone or something judged; the order of trust is resolve()'s business."""

    HUMAN = "human"
    EXTERNAL = "external"
    LLM = "llm"
    CLASSIFIER = "classifier"
    PSEUDO = "pseudo"
    RULE = "rule"
    BOOTSTRAP = "bootstrap"
