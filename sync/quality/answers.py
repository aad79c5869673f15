"""The table that the statistics work on: one row for each answer."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from pipeline.measure.arrays import UNKNOWN, Booleans, Floats, Ints, LabelMatrix


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers that count: one a rater and text, the last one that stands. Columns of labels follow `labels`."""

    labels: tuple[str, ...]
    raters: tuple[str, ...]
    #: how many texts there are; `text` counts them from nought
    texts: int
    #: index into `raters`
    rater: Ints
    text: Ints
    #: what the rater said; unknown where the label was not shown to them
    said: LabelMatrix
    #: what is known of the text without this rater's own word
    truth: LabelMatrix
    #: rows where that rests on data sets alone
    of_data_sets: Booleans
    #: what was ticked for them, or in a blind task what would have been; unknown where nothing was predicted
    predicted: LabelMatrix
    #: something was ticked for them
    shown: Booleans
    #: and they left it as it was
    kept: Booleans
    blind: Booleans
    #: planted: its answer was known beforehand
    planted: Booleans
    #: asked of two raters by a coin, and one of the first two answers
    paired: Booleans
    #: nan where the browser did not measure it
    seconds: Floats
    #: seconds since 1970, on Label Studio's clock
    at: Floats

    def __len__(self) -> int:
        return len(self.rater)

    def where(self, rows: Booleans) -> Answers:
        """Only these rows; raters and texts keep their numbers."""
        columns = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name not in _NOT_COLUMNS}
        return replace(self, **columns)

    def of(self, rater: int) -> Answers:
        """Only this rater's rows."""
        return self.where(self.rater == rater)


_NOT_COLUMNS = frozenset({"labels", "raters", "texts"})


def right(answers: Answers, reference: LabelMatrix) -> tuple[Booleans, Booleans]:
    """For each row whether anything is known of it, and whether the answer fits all that is known."""
    comparable = (reference != UNKNOWN) & (answers.said != UNKNOWN)
    fits: Booleans = ~(comparable & (answers.said != reference)).any(axis=1)
    return comparable.any(axis=1), fits
