"""What may be spent, and when to stop so that no more is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pipeline.errors import UsageError
from pipeline.llm.cache import Spent
from pipeline.llm.config import LlmConfig

N = TypeVar("N", int, float)
#: seconds after which it is looked up what others spent meanwhile
_LOOK = 5.0
#: characters that make a token, carefully, and the share of a reply's longest length that is expected
_PER_TOKEN, _OF_LONGEST = 3, 0.5


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a rater may have spent in all when it stops; None: as much as it takes."""

    tokens: int | None = None
    cost: float | None = None

    @classmethod
    def of(cls, config: LlmConfig, spent: Spent, tokens: int | None = None, cost: float | None = None) -> Allowance:
        """What the configuration allows over all runs, and no more than `tokens` and `cost` from now on.

        Raises:
            UsageError: a cost is not to be passed, and nobody said what anything costs.
        """
        limits = config.limits
        if (cost is not None or limits.budget_cost is not None) and not config.price.known:
            raise UsageError(
                f"nobody said what rater {config.name!r} costs, so no cost can be kept to: give its `price` in "
                "raters.yaml, or a limit in tokens"
            )
        return cls(
            _least(limits.budget_tokens, None if tokens is None else spent.tokens + tokens),
            _least(limits.budget_cost, None if cost is None else spent.cost + cost),
        )


class Budget:
    """An allowance, and what was spent of it: by us, and by other processes for the same rater.

    What is under way counts as much as a reply took on average so far, so that no more is sent than can be paid.
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
        self._replies, self._took = 0, Spent()

    def paid(self, tokens: int, cost: float) -> None:
        """A reply was paid for."""
        self._replies += 1
        self._took = Spent(self._took.tokens + tokens, self._took.cost + cost)
        self._since = Spent(self._since.tokens + tokens, self._since.cost + cost)

    def refusal(self, under_way: int, characters: int) -> str | None:
        """Why another request must not be sent now; None if it may.

        Args:
            under_way: requests that are not answered yet.
            characters: length of what would be sent.
        """
        if not self._limited:
            return None
        tokens, cost = self._each(characters)
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
                left = f"{max(allowed.cost - paid, 0):,.4g} of {allowed.cost:,.4g} are left to spend"
                return f"{left}, and one more request may cost {cost:,.2g}"
        return None

    def look_again(self) -> None:
        """Look up what others spent too, once in a while; everything that was paid for here must be in the store."""
        if self._limited and self._clock() - self._looked_at > _LOOK:
            self._spent, self._since, self._looked_at = self._look(), Spent(), self._clock()

    def _each(self, characters: int) -> tuple[float, float]:
        if self._replies:
            return self._took.tokens / self._replies, self._took.cost / self._replies
        prompt = characters // _PER_TOKEN
        completion = int(self._config.sampling.max_tokens * _OF_LONGEST)
        return prompt + completion, self._config.price.of(prompt, completion)


def _least(one: N | None, other: N | None) -> N | None:
    return other if one is None else one if other is None else min(one, other)
