"""What came of the checks of a home whose processes were killed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Verdict:
    """Numbers of things that were checked, and the violations."""

    checked: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def check(self, what: str, count: int, wrong: Sequence[str], *, needed: bool = True) -> None:
        """Add the number of things checked, and the violations.

        Args:
            what: is checked, in words.
            count: number of things that were checked.
            wrong: the violations.
            needed: to have had nothing to check is a violation, because it shows nothing.
        """
        self.checked[what] = count
        self.violations += [f"{what}: {violation}" for violation in wrong]
        if needed and not count:
            self.violations.append(f"{what}: there was nothing to check")
