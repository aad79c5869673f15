"""What one run may spend."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.raters.llm.config import Limits, Price

_MILLION = 1_000_000


@dataclass(slots=True)
class Budget:
    """Tokens and money spent so far, against what may be.

    Requests under way are counted at the mean of those answered, so it is kept to about one reply's worth.
    """

    limits: Limits
    price: Price
    prompt_tokens: int = 0
    completion_tokens: int = 0
    replies: int = 0

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def money(self) -> float:
        """In the price's currency."""
        return cost(self.price, self.prompt_tokens, self.completion_tokens)

    def spend(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Add what one reply took."""
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        self.replies += 1

    @property
    def spent(self) -> bool:
        """Whether one more reply of the usual size would go beyond it."""
        return self._beyond(1)

    def must_wait(self, under_way: int) -> bool:
        """Whether those under way must be answered before it is known if one more may be sent."""
        if not self.replies:
            # nobody knows yet what one takes
            return self.is_set and under_way > 0
        return self._beyond(under_way + 1)

    def _beyond(self, more: int) -> bool:
        whole = 1 + (more / self.replies if self.replies else 0.0)
        too_many = self.limits.tokens is not None and self.tokens * whole > self.limits.tokens
        return too_many or (self.limits.money is not None and self.money * whole > self.limits.money)

    @property
    def is_set(self) -> bool:
        """Whether there is a limit at all."""
        return self.limits.tokens is not None or self.limits.money is not None

    def words(self) -> str:
        """Why no more is asked."""
        if self.limits.tokens is not None and self.limits.money is None:
            return f"the budget of {self.limits.tokens:,} tokens is spent ({self.tokens:,})"
        return f"the budget of {self.limits.money:g} is spent ({self.money:.4g}, {self.tokens:,} tokens)"


def cost(price: Price, prompt_tokens: int, completion_tokens: int) -> float:
    """What so many tokens cost."""
    return (price.input * prompt_tokens + price.output * completion_tokens) / _MILLION
