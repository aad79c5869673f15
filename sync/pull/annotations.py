"""An annotation as a verdict, read from one object of Label Studio's API. Pure, and total: any input gives a result.

Label Studio checks little of what it stores. A skipped annotation still holds the prediction it began from, labels need
not be among those that the project shows, and regions may lack their value; each of these is told apart here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline.preannotation.label_studio_format import COMMENT, NONE_OF_THESE, UNDECIDED, Path, Reading
from pipeline.store.tables.human_loop import AnnotationState, Change
from pipeline.taxonomy import Taxonomy
from pipeline.texts.limits import MAX_COMMENT, MAX_NAME, MAX_TEXT, cut
from pipeline.texts.masking import mask
from sync.api.client import parse_time

#: states in which an annotation counts as a judgement
COUNTED = frozenset({AnnotationState.SUBMITTED, AnnotationState.UNDECIDED})

#: the largest id that the store can hold
_MAX_ID = 2**31 - 1
#: levels of a path of choices that are read
_MAX_LEVELS = 50


class Malformed(Exception):
    """Something that cannot be read at all; the message is a short fixed phrase, so that it can be counted."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The labels that a rater saw."""

    #: keys of the labels that could be ticked; None: all of the taxonomy
    labels: frozenset[str] | None
    taxonomy_version: str
    #: which controls' choices are labels, and what they mean
    reading: Reading = field(default_factory=Reading)
    #: True: an answer that holds nothing says that no label fits
    empty_is_none: bool = False


@dataclass(frozen=True, slots=True)
class Ticked:
    """The labels that were ticked for a rater beforehand."""

    labels: frozenset[str]
    #: of the predictions
    version: str | None


@dataclass(frozen=True, slots=True)
class Name:
    """The identity of an annotation, and of one state of it. Times are Label Studio's."""

    id: int
    created_at: datetime
    updated_at: datetime
    #: Label Studio user id of the one whose annotation it is said to be; empty if nobody is named
    rater: str
    #: Label Studio user id of the one who wrote it last; empty if the server does not tell
    writer: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """The content of an annotation."""

    state: AnnotationState
    #: why it counts for nothing, as a short fixed phrase, so that it can be counted; None: it counts, or was skipped
    problem: str | None
    #: labels that it holds, canonical; empty if it was skipped
    chosen: frozenset[str]
    #: labels in it that the taxonomy does not know
    unknown: frozenset[str]
    #: labels that were shown and not ticked; only for submitted ones
    denied: frozenset[str]
    taxonomy_version: str
    ticked: Ticked | None
    change: Change
    comment: str | None
    lead_time: float | None

    @property
    def counts(self) -> bool:
        """True where it is a judgement."""
        return self.state in COUNTED

    @property
    def explanation(self) -> str | None:
        """The notes that go into the ledger beside the labels."""
        if self.state is not AnnotationState.UNDECIDED:
            return self.comment
        return f"can't decide: {self.comment}" if self.comment else "can't decide"


def name_of(raw: object) -> Name:
    """The identity of an annotation.

    Raises:
        Malformed: it cannot be told.
    """
    if not isinstance(raw, dict):
        raise Malformed("annotation is not an object")
    return Name(
        id=_id(raw.get("id"), "annotation has no id"),
        created_at=moment(raw.get("created_at")),
        updated_at=moment(raw.get("updated_at")),
        rater=user_of(raw.get("completed_by")),
        writer=user_of(raw.get("updated_by")),
    )


def moment(value: object) -> datetime:
    """A moment as Label Studio writes it.

    Raises:
        Malformed: it is none.
    """
    try:
        time = parse_time(value) if isinstance(value, str) else None
        if time is not None and time.tzinfo is not None:
            return time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Malformed("annotation has no time") from error
    raise Malformed("annotation has no time")


def read_annotation(
    raw: Mapping[str, Any],
    *,
    taxonomy: Taxonomy,
    shown: Shown,
    known: Ticked | None = None,
    recalled: Ticked | None = None,
) -> Said:
    """Read an annotation.

    Args:
        raw: the annotation as `LabelStudio.whole_tasks` gives it.
        taxonomy: the labels in force.
        shown: what the rater had before them.
        known: what it is already known to have begun from: Label Studio forgets that when predictions are removed.
        recalled: what our own records say was ticked, for regions that name a prediction no longer there.
    """
    regions = _Regions.read(raw.get("result"), shown.reading.controls)
    chosen, unknown = _canonical(regions.labels, taxonomy, shown.reading)
    ticked = _snapshot(raw.get("prediction"), taxonomy, shown.reading) or known
    if ticked is None and (regions.origins or raw.get("parent_prediction") is not None):
        ticked = recalled
    state, problem = _state(raw, regions, chosen, unknown, empty_is_none=shown.empty_is_none)
    if state is AnnotationState.SKIPPED:
        chosen = unknown = frozenset()
    denied = frozenset[str]()
    if state is AnnotationState.SUBMITTED:
        denied = (frozenset(taxonomy.keys) if shown.labels is None else shown.labels) - chosen
        if shown.reading.names:
            # what somebody took from the page by hand could not be ticked
            denied -= frozenset(taxonomy.keys) - shown.reading.labels
    return Said(
        state=state,
        problem=problem,
        chosen=chosen,
        unknown=unknown,
        denied=denied,
        taxonomy_version=shown.taxonomy_version,
        ticked=ticked,
        change=_change(state, chosen, unknown, ticked, regions.origins),
        comment=_comment(regions.comments),
        lead_time=_seconds(raw.get("lead_time")),
    )


def labels_in(result: object, taxonomy: Taxonomy, reading: Reading) -> tuple[frozenset[str], frozenset[str]]:
    """Keys of the labels that a result ticks, and the names in it that mean none."""
    return _canonical(_Regions.read(result, reading.controls).labels, taxonomy, reading)


@dataclass(slots=True)
class _Regions:
    """The parts of a result, by what they are for."""

    #: the name of the control, and the choices from the top of its tree down to the one that is ticked
    labels: list[tuple[str, Path]]
    comments: list[str]
    #: where the regions with labels say they come from, as far as that is a prediction
    origins: frozenset[str]
    undecided: bool
    #: whether it says that no label fits
    none: bool
    #: whether all of it could be read
    whole: bool

    @classmethod
    def read(cls, result: object, controls: frozenset[str]) -> _Regions:
        regions = cls([], [], frozenset(), undecided=False, none=False, whole=isinstance(result, list))
        for region in result if isinstance(result, list) else ():
            if isinstance(region, dict):
                regions._add(region, controls)
            else:
                regions.whole = False
        return regions

    def _add(self, region: Mapping[str, Any], controls: frozenset[str]) -> None:
        name, value = region.get("from_name"), region.get("value")
        if not isinstance(name, str):
            return
        if name in controls or name == UNDECIDED:
            choices = _paths(value.get("choices", value.get("taxonomy"))) if isinstance(value, dict) else None
            if choices is None:
                self.whole = False
            elif name == UNDECIDED:
                self.none = self.none or any(path[-1] == NONE_OF_THESE for path in choices)
                self.undecided = self.undecided or any(path[-1] != NONE_OF_THESE for path in choices)
            else:
                self.labels += [(name, path) for path in choices]
            if name != UNDECIDED and region.get("origin") in ("prediction", "prediction-changed"):
                self.origins |= {region["origin"]}
        elif name == COMMENT:
            self.comments += (_strings(value.get("text")) if isinstance(value, dict) else None) or []


def _state(
    raw: Mapping[str, Any],
    regions: _Regions,
    chosen: frozenset[str],
    unknown: frozenset[str],
    *,
    empty_is_none: bool,
) -> tuple[AnnotationState, str | None]:
    """The state of an annotation, and why it counts for nothing."""
    if raw.get("was_cancelled") is True:
        return AnnotationState.SKIPPED, None
    if not regions.whole:
        return AnnotationState.INVALID, "answers that cannot be read"
    if not user_of(raw.get("completed_by")):
        return AnnotationState.INVALID, "answers of nobody"
    if regions.undecided:
        return AnnotationState.UNDECIDED, None
    if regions.none and (chosen or unknown):
        return AnnotationState.INVALID, "answers with labels and none of these"
    if chosen or regions.none:
        return AnnotationState.SUBMITTED, None
    if unknown:
        # what was said is not known, so that nothing may be denied either
        return AnnotationState.INVALID, "answers with unknown labels only"
    if raw.get("result"):
        return AnnotationState.EMPTY, "answers with a comment and no label"
    # one that was made from a prediction without ticks is nobody's word
    if empty_is_none and raw.get("parent_prediction") is None:
        return AnnotationState.SUBMITTED, None
    return AnnotationState.EMPTY, "answers without a label, which count for nothing here"


def _change(
    state: AnnotationState,
    chosen: frozenset[str],
    unknown: frozenset[str],
    ticked: Ticked | None,
    origins: frozenset[str],
) -> Change:
    if ticked is None and origins:
        return Change.KEPT if origins == {"prediction"} and state is AnnotationState.SUBMITTED else Change.CHANGED
    if ticked is None or not ticked.labels:
        return Change.SCRATCH
    kept = state is AnnotationState.SUBMITTED and chosen == ticked.labels and not unknown
    return Change.KEPT if kept else Change.CHANGED


def _snapshot(prediction: object, taxonomy: Taxonomy, reading: Reading) -> Ticked | None:
    """The labels that a prediction ticked; None if there is none that can be read."""
    if not isinstance(prediction, dict) or not isinstance(prediction.get("result"), list):
        return None
    version = prediction.get("model_version")
    labels, _ = labels_in(prediction["result"], taxonomy, reading)
    return Ticked(labels, _clean(version[:MAX_NAME]) if isinstance(version, str) and version else None)


def _canonical(
    ticked: list[tuple[str, Path]], taxonomy: Taxonomy, reading: Reading
) -> tuple[frozenset[str], frozenset[str]]:
    """Keys of the taxonomy, and the names that mean none.

    A choice of a tree stands for the labels above it as well: whoever ticks "hate / of a faith" says "hate".
    """
    known: set[str] = set()
    unknown: set[str] = set()
    for control, path in ticked:
        names = reading.names.get(control, {})
        steps = [step[:MAX_COMMENT] for step in path[:_MAX_LEVELS]]
        meant = {taxonomy.canonical(step) or names.get(tuple(steps[: i + 1])) for i, step in enumerate(steps)}
        if meant == {None}:
            unknown.add(_clean(steps[-1][:MAX_NAME]))
        known.update(key for key in meant if key is not None)
    return frozenset(known), frozenset(unknown)


def _comment(lines: list[str]) -> str | None:
    joined = cut("\n".join(cut(line).strip() for line in lines[:MAX_TEXT] if line.strip()))
    return mask(_clean(joined))[:MAX_COMMENT] or None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    # the store keeps single precision
    return seconds if math.isfinite(seconds) and 0 <= seconds < 1e30 else None


def _strings(value: object) -> list[str] | None:
    """A string, or a list of strings, as a list; None: it is neither."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return list(value)
    return None


def _paths(value: object) -> list[Path] | None:
    """Choices as paths; None: they are neither strings nor lists of strings."""
    if isinstance(value, str):
        return [(value,)]
    if not isinstance(value, list):
        return None
    paths: list[Path] = []
    for item in value:
        steps = _strings(item)
        if not steps:
            return None
        paths.append(tuple(steps))
    return paths


def _clean(text: str) -> str:
    """Without what PostgreSQL cannot hold."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _id(value: object, problem: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _MAX_ID:
        raise Malformed(problem)
    return value


def user_of(value: object) -> str:
    """A user's id, from any form in which Label Studio gives it: the id, an object with it, or a list of one such.

    Empty if nobody is named, as once the account is gone.
    """
    if isinstance(value, list):
        value = value[-1] if value else None
    if isinstance(value, dict):
        value = value.get("id", value.get("user_id"))
    known = isinstance(value, int) and not isinstance(value, bool) and -_MAX_ID <= value <= _MAX_ID
    return str(value) if known else ""
