"""The filters of a home, as a program uses them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from saring.context import Context

if TYPE_CHECKING:
    from pipeline.filters.review_sample import Precision
    from pipeline.filters.saved_cuts import SavedCut
    from pipeline.judgement import RaterRef
    from saring.actions.filter_cuts import AtCut, FilteredLabel
    from saring.actions.filter_review import Answered, SamplePage

FilterName = Literal["centroid", "sentiment"]


class Filters:
    """The cuts of the filters, and the review sample of what they rejected."""

    def __init__(self, home: Context) -> None:
        self._home = home

    def labels(self, name: FilterName | None = None) -> list[FilteredLabel]:
        """The result of the filters for each label; see `saring.actions.filter_cuts.filtered_labels`."""
        from saring.actions.filter_cuts import filtered_labels

        return filtered_labels(self._home, name)

    def at_cut(self, label: str, cut: float, name: FilterName = "centroid", *, limit: int = 10) -> AtCut:
        """Count the texts that a cut would keep and reject; see `saring.actions.filter_cuts.at_cut`."""
        from saring.actions.filter_cuts import at_cut

        return at_cut(self._home, label, cut, name, limit=limit)

    def set_cut(
        self, label: str, cut: float | None, *, reason: str, who: str, name: FilterName = "centroid"
    ) -> SavedCut:
        """Set a label's cut for later runs, or take it back (None); see `saring.actions.filter_cuts.set_cut`."""
        from saring.actions.filter_cuts import set_cut

        return set_cut(self._home, label, cut, reason=reason, who=who, name=name)

    def cut_history(
        self, label: str | None = None, name: FilterName | None = None, *, limit: int = 50
    ) -> Sequence[SavedCut]:
        """The cuts that people set and took back, newest first."""
        from saring.actions.filter_cuts import cut_history

        return cut_history(self._home, label, name, limit=limit)

    def sample(self, label: str, rater: RaterRef, name: FilterName = "centroid") -> SamplePage:
        """The next text of a label's review sample; see `saring.actions.filter_review.sample_page`."""
        from saring.actions.filter_review import sample_page

        return sample_page(self._home, label, rater, name)

    def answer(
        self,
        label: str,
        text_id: uuid.UUID,
        answer: Literal["rightly", "wrongly", "unsure"],
        rater: RaterRef,
        name: FilterName = "centroid",
    ) -> Answered:
        """Record an answer on the review sample; see `saring.actions.filter_review.answer_sample`."""
        from pipeline.filters.review_sample import Answer
        from saring.actions.filter_review import answer_sample

        return answer_sample(self._home, label, text_id, Answer(answer), rater, name)

    def undo(self, label: str, rater: RaterRef, name: FilterName = "centroid") -> uuid.UUID:
        """Withdraw a rater's last answer on the review sample of a label; the id of its text."""
        from saring.actions.filter_review import undo_sample

        return undo_sample(self._home, label, rater, name)

    def precision(self, name: FilterName | None = None) -> dict[tuple[str, str], Precision]:
        """The share that each filter rightly rejected, by filter and label."""
        from saring.actions.filter_review import filter_precision

        return filter_precision(self._home, name)
