"""Configuration of the moderation endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_backend.moderation.keeping import Keeper
from ml_backend.moderation.shadow import Shadow
from pipeline.models.policies import Policy
from pipeline.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Caller:
    """An application, by its API token."""

    #: of the token and of its account
    token_id: int
    account_id: int
    name: str
    #: most requests a minute
    per_minute: int
    #: name of its policy, unless a request names one; None: `balanced`
    policy: str | None = None


#: gives the caller of a token; None: the token is of nobody. It raises StoreError where the store is away.
FindCaller = Callable[[str], Caller | None]
#: gives all policies by name
ReadPolicies = Callable[[], Mapping[str, Policy]]


@dataclass(frozen=True, slots=True)
class ReportDesk:
    """The functions that keep reports, and tell of them; see `ml_backend.moderation.reports`."""

    #: stores a report of a caller; gives its state
    keep: Callable[[Caller, Any], Mapping[str, Any]]
    #: gives the state of a caller's report by its id; None: there is none
    read: Callable[[Caller, str], Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class ModerationLimits:
    """The limits on requests."""

    #: bytes of a request
    body: int = 4 << 20
    #: seconds that a request may take to arrive
    arrival: float = 30.0
    #: texts of a request
    texts: int = 1_000
    #: characters of texts that are scored together, and texts
    together_characters: int = 60_000
    together: int = 256
    #: characters of a request beyond which it is scored piece by piece, beside the small ones
    small_characters: int = 20_000
    #: seconds that a caller and the policies are believed before they are looked up again
    fresh: float = 3.0
    #: tokens that are remembered
    remembered: int = 10_000


@dataclass(frozen=True, slots=True)
class ModerationConfig:
    """Everything that the endpoint is made with."""

    taxonomy: Taxonomy
    find_caller: FindCaller
    read_policies: ReadPolicies
    #: takes reports of wrong verdicts; None: none are taken
    reports: ReportDesk | None = None
    #: scores live traffic with a challenger; None: nothing does
    shadow: Shadow | None = None
    #: keeps texts where a policy says so; None: none are kept
    keeper: Keeper | None = None
    limits: ModerationLimits = field(default_factory=ModerationLimits)
