"""A reviewer: an account that settles disputes."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.judgement import ADJUDICATION, RaterKind, RaterRef

#: name of the raters that answer in Label Studio
VOLUNTEERS = "label-studio"


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Somebody who settles disputes."""

    #: id of the account
    account: str
    #: how other reviewers know them
    name: str = ""
    #: Label Studio user id of the same person; None: they do not label
    volunteer: str | None = None
    #: True: nobody else can settle, so they may settle disputes about their own votes
    alone: bool = False

    @property
    def rater(self) -> RaterRef:
        """The rater of their settlements."""
        return RaterRef(RaterKind.HUMAN, ADJUDICATION, self.account)

    @property
    def passed_over(self) -> RaterRef | None:
        """The rater whose disputes they may not settle; None: they may settle any."""
        if self.volunteer is None or self.alone:
            return None
        return RaterRef(RaterKind.HUMAN, VOLUNTEERS, self.volunteer)
