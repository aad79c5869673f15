"""A judgement, who made it, and what is decided from several: the plain values that everyone may read."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class RaterKind(enum.StrEnum):
    """What sort of someone or something judged; the order of trust is resolve()'s business."""

    HUMAN = "human"
    EXTERNAL = "external"
    LLM = "llm"
    CLASSIFIER = "classifier"
    PSEUDO = "pseudo"
    RULE = "rule"
    BOOTSTRAP = "bootstrap"


class Tier(enum.StrEnum):
    """How far a decision can be trusted."""

    GOLD = "gold"
    SILVER = "silver"
    PSEUDO = "pseudo"
    CONTESTED = "contested"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, order=True)
class RaterRef:
    """Who judged."""

    kind: RaterKind
    name: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One row of the ledger, as resolve() sees it."""

    id: int
    rater: RaterRef
    asserted: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    #: asserted labels that a filter has demoted: the rater is then taken to have said nothing of them
    demoted: frozenset[str] = frozenset()
    external_ref: str = ""
    revision: int = 0
    withdrawn: bool = False
    supersedes: int | None = None
    scores: Mapping[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is believed of one label of one text, and the judgements that made it so."""

    #: True asserted, False denied, None not known or disputed
    value: bool | None
    tier: Tier
    #: ids of the judgements of the deciding rank, ascending
    judgements: tuple[int, ...]
