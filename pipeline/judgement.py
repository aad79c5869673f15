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
    #: an application that reports a wrong verdict; it never decides
    REPORT = "report"


#: name of the human raters that settle what others dispute; their version is the account of the reviewer
ADJUDICATION = "adjudication"


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

    @property
    def adjudicates(self) -> bool:
        """True for a reviewer who settles disputes: their judgements outrank those of other people."""
        return self.kind is RaterKind.HUMAN and self.name == ADJUDICATION


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
