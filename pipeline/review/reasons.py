"""Reasons: why a text is before a reviewer, and why the reviewer settled it so. Pure.

Each has a code, which is stored, and a sentence, which is shown and may be translated.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import UsageError

#: sentences by code: why a text needs a reviewer, or why a label has its decision
SENTENCES: Mapping[str, str] = {
    "people-differ": "people disagree on %(label)s: %(yes)s yes, %(no)s no",
    "data-differ": "data sets disagree on %(label)s: %(yes)s yes, %(no)s no",
    "machines-differ": "machines disagree on %(label)s, and no rule decides: %(yes)s yes, %(no)s no",
    "cannot-decide": "people who could not decide: %(people)s",
    "doubted-people": "people say %(given)s to %(label)s; a model that never saw this text gives it %(percent)s%%",
    "doubted-data": "a data set says %(given)s to %(label)s; a model that never saw this text gives it %(percent)s%%",
    "doubted-machines": "machines say %(given)s to %(label)s; a model that never saw this text gives it %(percent)s%%",
    "doubted-near": "of the most similar labelled texts, %(yes)s of %(neighbours)s say yes to %(label)s",
    "reported-yes": "the application %(application)s says that the text is %(label)s",
    "reported-no": "the application %(application)s says that the text is not %(label)s",
    "reported": "the application %(application)s says that the verdict was wrong",
    "settled": "a reviewer settled it (%(reviewers)s)",
    "settled-anew": "reviewers settled it differently, and the newest counts",
    "people-agree": "people agree (%(votes)s)",
    "people-mostly-agree": "two thirds or more of the people agree: %(yes)s yes, %(no)s no",
    "data-agree": "data sets agree (%(votes)s), and no person judged it",
    "machines-agree": "language models agree (%(votes)s), and no person or data set judged it",
    "machines-combined": "language models differ, and the consensus (%(method)s) decides: %(yes)s yes, %(no)s no",
    "stand-ins-agree": "the bootstrap rater decides, as nobody else judged it (%(votes)s)",
    "pseudo-label": "a classifier was very sure, and nobody else judged it",
    "rules-differ": "rules and pseudo-labels disagree: %(yes)s yes, %(no)s no",
    "filtered": "filters rejected what machines said, so nothing is known",
    "nothing": "no judgement that counts speaks of it",
}


@dataclass(frozen=True, slots=True)
class Why:
    """One reason: its code, and the values of its sentence."""

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def template(self) -> str:
        """The sentence with the names of its values, to be filled in with `%`."""
        return SENTENCES[self.code]

    @property
    def sentence(self) -> str:
        """The sentence in English."""
        return self.template % self.values

    def stored(self) -> dict[str, Any]:
        """The reason as it is stored."""
        return {"code": self.code, "values": dict(self.values)}

    @classmethod
    def of_stored(cls, stored: Mapping[str, Any]) -> Why:
        """The reason that was stored."""
        return cls(str(stored["code"]), dict(stored["values"]))


class Ground(enum.StrEnum):
    """Grounds on which a reviewer settles a text. The codes are stored and never change."""

    #: the definition of the label decides
    DEFINITION = "definition"
    #: irony, a quotation, a report: the words mean something else here
    MEANING = "meaning"
    #: a word, a spelling or a dialect was misunderstood
    LANGUAGE = "language"
    #: somebody overlooked a part of the text
    OVERLOOKED = "overlooked"
    #: a tick or an import was a slip
    SLIP = "slip"
    #: the text alone does not tell: the label is left out
    NOT_SHOWN = "not-shown"
    #: in the reviewer's own words
    OTHER = "other"


GROUNDS: Mapping[Ground, str] = {
    Ground.DEFINITION: "the definition of the label decides",
    Ground.MEANING: "the words mean something else here: irony, a quotation, a report",
    Ground.LANGUAGE: "a word, a spelling or a dialect was misunderstood",
    Ground.OVERLOOKED: "a part of the text was overlooked",
    Ground.SLIP: "a slip: the wrong tick, or a wrong import",
    Ground.NOT_SHOWN: "the text alone does not show it",
    Ground.OTHER: "another reason, in own words",
}
#: characters of a reviewer's own words
LONGEST_WORDS = 1_000


@dataclass(frozen=True, slots=True)
class Reason:
    """The reason of a settlement: a ground, and the reviewer's own words."""

    ground: Ground
    words: str = ""

    @classmethod
    def given(cls, ground: str | None, words: str | None) -> Reason:
        """The reason that a reviewer gave; own words without a ground are the ground `other`.

        Raises:
            UsageError: there is no reason, no such ground, or too many words.
        """
        own = " ".join((words or "").replace("\0", "").split())
        if len(own) > LONGEST_WORDS:
            raise UsageError(f"the reason has {len(own):,} characters: use at most {LONGEST_WORDS:,}")
        if not ground and not own:
            raise UsageError("nothing is settled without a reason: choose one, or write it in your own words")
        try:
            chosen = Ground(ground or Ground.OTHER)
        except ValueError:
            raise UsageError(f"there is no reason {ground!r}: choose one of {', '.join(Ground)}") from None
        if chosen is Ground.OTHER and not own:
            raise UsageError("the reason 'other' needs your own words")
        return cls(chosen, own)

    @classmethod
    def of_explanation(cls, explanation: str | None) -> Reason | None:
        """The reason that is in the explanation of a settlement; None: it holds none."""
        code, _, words = (explanation or "").partition(":")
        return cls(Ground(code), words.strip()) if code in set(Ground) else None

    @property
    def explanation(self) -> str:
        """The reason as the ledger keeps it: `ground`, or `ground: own words`."""
        return f"{self.ground}: {self.words}" if self.words else str(self.ground)

    @property
    def sentence(self) -> str:
        """The reason in English."""
        if self.ground is Ground.OTHER:
            return self.words
        return f"{GROUNDS[self.ground]} ({self.words})" if self.words else GROUNDS[self.ground]
