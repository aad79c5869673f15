"""A judgement, its rater, and the decision from several judgements: plain values that every room may import."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class RaterKind(enum.StrEnum):
    """The kind of a rater. `resolve()` knows which kinds are trusted before which."""

    HUMAN = "human"
    EXTERNAL = "external"
    LLM = "llm"
    CLASSIFIER = "classifier"
    PSEUDO = "pseudo"
    RULE = "rule"
    BOOTSTRAP = "bootstrap"


class Tier(enum.StrEnum):
    """The trust in a decision."""

    GOLD = "gold"
    SILVER = "silver"
    PSEUDO = "pseudo"
    CONTESTED = "contested"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, order=True)
class RaterRef:
    """A rater: a person, a data set, a model or a rule, by kind, name and version."""

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
    #: asserted labels that a filter rejected: these count as if the rater had not judged them
    demoted: frozenset[str] = frozenset()
    external_ref: str = ""
    revision: int = 0
    withdrawn: bool = False
    supersedes: int | None = None
    scores: Mapping[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on one label of one text, and the judgements that it rests on."""

    #: True: asserted; False: denied; None: not known or disputed
    value: bool | None
    tier: Tier
    #: ids of the judgements of the deciding rank, ascending
    judgements: tuple[int, ...]
