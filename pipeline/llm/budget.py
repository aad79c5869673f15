"""Budgets of language models: limits on tokens and costs, and a check before each request."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pipeline.errors import UsageError
from pipeline.llm.cache import Spent
from pipeline.llm.config import LlmConfig

N = TypeVar("N", int, float)
#: seconds after which the spending of other processes is read again
_LOOK = 5.0
#: bytes of a token, a low estimate
_PER_TOKEN = 3
#: the longest reply in tokens where the configuration names none
_LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """Limits on what a rater may spend over all runs; None: no limit."""

    tokens: int | None = None
    cost: float | None = None

    @classmethod
    def of(cls, config: LlmConfig, spent: Spent, tokens: int | None = None, cost: float | None = None) -> Allowance:
        """The limits of the configuration over all runs, and of `tokens` and `cost` from now on.

        Raises:
            UsageError: there is a limit on costs, but the rater's price is not configured.
        """
        limits = config.limits
        if (cost is not None or limits.budget_cost is not None) and not config.price.known:
            raise UsageError(
                f"the price of rater {config.name!r} is not known, so its costs cannot be limited: give its `price` in "
                "raters.yaml, or limit its tokens"
            )
        return cls(
            _least(limits.budget_tokens, None if tokens is None else spent.tokens + tokens),
            _least(limits.budget_cost, None if cost is None else spent.cost + cost),
        )


class Budget:
    """An allowance, and its use so far: by this process, and by others for the same rater.

    A request without an answer yet counts as much as the largest reply so far, so that the allowance is not exceeded.
    """

    def __init__(
        self,
        config: LlmConfig,
        allowance: Allowance,
        look: Callable[[], Spent],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._allowance, self._look, self._clock = config, allowance, look, clock
        self._limited = allowance.tokens is not None or allowance.cost is not None
        self._spent = look() if self._limited else Spent()
        self._looked_at = clock()
        self._since = Spent()
        self._largest: Spent | None = None

    def paid(self, tokens: int, cost: float) -> None:
        """Count a paid reply."""
        before = self._largest or Spent()
        self._largest = Spent(max(before.tokens, tokens), max(before.cost, cost))
        self._since = Spent(self._since.tokens + tokens, self._since.cost + cost)

    def refusal(self, under_way: int, size: int) -> str | None:
        """The reason why another request must not be sent now; None if it may.

        Args:
            under_way: number of requests without an answer yet.
            size: length of the request in bytes of UTF-8.
        """
        if not self._limited:
            return None
        tokens, cost = self._each(size)
        ahead = under_way + 1
        allowed = self._allowance
        if allowed.tokens is not None:
            spent = self._spent.tokens + self._since.tokens
            if spent + ahead * tokens > allowed.tokens:
                left = f"{max(allowed.tokens - spent, 0):,} of {allowed.tokens:,} tokens are left"
                return f"{left}, and one more request may take {tokens:,.0f}"
        if allowed.cost is not None:
            paid = self._spent.cost + self._since.cost
            if paid + ahead * cost > allowed.cost:
                left = f"{max(allowed.cost - paid, 0):,.4g} of the budget of {allowed.cost:,.4g} is left"
                return f"{left}, and one more request may cost {cost:,.2g}"
        return None

    def look_again(self) -> None:
        """Read the spending of all processes again, if it is old; all replies paid for here must be in the store."""
        if self._limited and self._clock() - self._looked_at > _LOOK:
            self._spent, self._since, self._looked_at = self._look(), Spent(), self._clock()

    def _each(self, size: int) -> tuple[float, float]:
        if self._largest is not None:
            return self._largest.tokens, self._largest.cost
        prompt = -(-size // _PER_TOKEN)
        completion = self._config.sampling.max_tokens or _LONGEST
        return prompt + completion, self._config.price.of(prompt, completion)


def _least(first: N | None, second: N | None) -> N | None:
    return second if first is None else first if second is None else min(first, second)
