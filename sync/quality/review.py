"""Texts on which raters disagree, that one could not decide, or that only excluded raters judged, go to another one; so
do those of which a coin said that two should judge them. A dispute that a reviewer settled asks for nobody else.

Raising a task's overlap has Label Studio serve it again, to somebody who has not annotated it.
"""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import LabelStudioMissing
from pipeline.ledger.settled import settled_texts
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import AnnotationState, TaskState
from sync.api.client import LabelStudio
from sync.push.task_rows import asks_for

log = logging.getLogger(__name__)

#: raters that a text is worth, whatever they say
AT_MOST = 3
#: what Label Studio counts as done for the task, verdict or not
_STANDING = (
    AnnotationState.SUBMITTED,
    AnnotationState.UNDECIDED,
    AnnotationState.EMPTY,
    AnnotationState.INVALID,
)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A text that another rater is to judge."""

    text_id: uuid.UUID
    label_studio_id: int
    raters: int
    #: Label Studio locks a task by their number, a rater's second one counted too
    annotations: int
    #: labels that some tick and others leave
    disputed: tuple[str, ...]
    #: somebody could not decide
    undecided: bool


@dataclass(frozen=True, slots=True)
class ReviewReport:
    """Counts of the tasks that another rater was asked for."""

    #: tasks that now want one more rater
    asked: int
    #: disagreements that have had their raters and stay contested
    settled_by_nobody: int
    #: tasks that are no longer in Label Studio
    gone: int


#: what a rater said of a text: the labels they ticked; None: they could not decide
Voice = frozenset[str] | None


def disputed_labels(voices: Iterable[Voice]) -> tuple[str, ...]:
    """Labels that some raters tick and others don't. Pure."""
    ticked = [voice for voice in voices if voice is not None]
    every = frozenset[str]().union(*ticked)
    return tuple(sorted(label for label in every if not all(label in voice for voice in ticked)))


def still_open(voices: Sequence[Voice]) -> bool:
    """True where these raters' answers leave the text open: they disagree without a majority, or nobody decided."""
    ticked = [voice for voice in voices if voice is not None]
    if not ticked:
        return bool(voices)
    most = max(ticked.count(voice) for voice in ticked)
    return (most * 2 <= len(voices) and len(voices) > 1) or (None in voices and most < 2)


def find_disagreements(session: Session, project_id: int, *, at_most: int = AT_MOST) -> list[Disagreement]:
    """Tasks of a project that are open by what was said, among those that may have another rater."""
    return [
        answers.disagreement(*key)
        for key, answers in _what_was_said(session, project_id).items()
        if answers.is_open and len(answers.raters) < at_most
    ]


def request_reviews(engine: Engine, client: LabelStudio, *, project_id: int, at_most: int = AT_MOST) -> ReviewReport:
    """Ask for one more rater where raters disagree or cannot decide, or a coin said so. Again, it asks for no more.

    Args:
        engine: the store.
        client: the project's server.
        project_id: our own id of the project.
        at_most: raters that a text is worth, all together.
    """
    with open_session(engine) as session:
        if session.get_one(store.Project, project_id).volunteer is not None:
            # nobody else works there
            return ReviewReport(0, 0, 0)
        texts = _what_was_said(session, project_id).items()
        every = [answers.disagreement(*key) for key, answers in texts if answers.is_open or answers.lacks_its_second]
    wanted = [disagreement for disagreement in every if disagreement.raters < at_most]
    asked = gone = 0
    for disagreement in wanted:
        overlap = disagreement.annotations + 1
        with open_session(engine) as session, session.begin():
            task = session.get_one(store.Task, (project_id, disagreement.text_id), with_for_update=True)
            if task.overlap >= overlap:
                continue
            try:
                client.tasks.update(str(disagreement.label_studio_id), **asks_for(overlap))
            except LabelStudioMissing:
                task.state = TaskState.GONE
                gone += 1
                continue
            task.overlap, task.state = overlap, TaskState.OPEN
            asked += 1
    return ReviewReport(asked, len(every) - len(wanted), gone)


def _what_was_said(session: Session, project_id: int) -> dict[tuple[uuid.UUID, int], _Said]:
    """Of each text that anybody judged and each task's id in Label Studio."""
    a, t, r = store.Annotation, store.Task, store.Rater
    rows = session.execute(
        select(a.text_id, t.label_studio_id, a.rater_id, a.state, a.chosen, t.paired, r.excluded_at.is_not(None))
        .join(r, r.id == a.rater_id)
        .join(t, (t.project_id == a.project_id) & (t.text_id == a.text_id))
        .where(a.project_id == project_id, a.state.in_(_STANDING), t.label_studio_id.is_not(None))
        .where(t.state != TaskState.GONE)
        .order_by(a.updated_at)
    )
    by_text: dict[tuple[uuid.UUID, int], _Said] = defaultdict(_Said)
    settled = settled_texts(session)
    for text_id, task, rater, state, chosen, paired, excluded in rows:
        answers = by_text[text_id, task or 0]
        answers.paired, answers.settled = paired, text_id in settled
        answers.add(rater, state, chosen, excluded=excluded)
    return by_text


@dataclass(slots=True)
class _Said:
    """The answers to one task."""

    raters: set[int] = field(default_factory=set)
    annotations: int = 0
    voices: dict[int, Voice] = field(default_factory=dict)
    #: somebody has done it whose word is left out
    excluded: bool = False
    #: a coin said that two should judge it
    paired: bool = False
    #: a reviewer settled it
    settled: bool = False

    @property
    def lacks_its_second(self) -> bool:
        """True where it is one of a pair of answers to be compared, and the other is not there yet."""
        return self.paired and len(self.raters) == 1

    @property
    def is_open(self) -> bool:
        """True where the answers leave it open, or all who answered are excluded, and no reviewer settled it."""
        if self.settled:
            return False
        return still_open(list(self.voices.values())) or (self.excluded and not self.raters)

    def add(self, rater: int, state: AnnotationState, chosen: Sequence[str], *, excluded: bool) -> None:
        """One more annotation; a rater's last word counts."""
        self.annotations += 1
        if excluded:
            self.excluded = True
            return
        self.raters.add(rater)
        if state is AnnotationState.UNDECIDED:
            self.voices[rater] = None
        elif state is AnnotationState.SUBMITTED:
            self.voices[rater] = frozenset(chosen)

    def disagreement(self, text_id: uuid.UUID, task: int) -> Disagreement:
        voices = list(self.voices.values())
        return Disagreement(text_id, task, len(self.raters), self.annotations, disputed_labels(voices), None in voices)
