"""What people do: the queue, tasks in Label Studio, their answers as a pull leaves them, and what was ticked ahead."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from pipeline.store.tables.human_loop import AnnotationState, Change, QueueState, TaskState
from sync.pull.apply import reference
from tests.support.big.copying import Copier
from tests.support.big.ledger import JUDGED, Part
from tests.support.big.world import World

#: share of texts that are tasks, that wait in the queue, and the most of each
_TASKS, _MOST_TASKS, _QUEUED, _MOST_QUEUED = 0.02, 20_000, 0.01, 2_000
#: shares of tasks: answered, given to a second person, blind, planted
_ANSWERED, _TWICE, _BLIND, _PLANTED = 0.85, 0.45, 0.2, 0.06
_STRATEGIES = ("uncertain", "scarce", "suspect", "random")
#: what breaks pages, said as a comment
_COMMENTS = (
    "<b>tebal</b> & \"petik\" <script>document.title = 'broken'</script>",
    "tak pasti, ayat ini mungkin gurauan sahaja",
    "needs the whole conversation to tell",
    "konteks" + "nya" * 200,
)


@dataclass(frozen=True, slots=True)
class Volunteer:
    """Somebody who answers."""

    rater: int
    #: account in Label Studio
    user: str
    errors: float
    seconds: float
    #: always says this, whatever the text; -1: reads
    always: int = -1


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who answers, in which projects, under which run, and what the tasks were sent with."""

    volunteers: Sequence[Volunteer]
    projects: Sequence[int]
    pulling: int
    queueing: int
    version: str


@dataclass(slots=True)
class People:
    """Plants what people do with each part of the texts."""

    world: World
    crowd: Crowd
    copier: Copier
    total: int
    tasks: int = 0
    queued: int = 0
    annotations: int = 0
    #: (texts, what is ticked) of every task, as bits
    sent: list[tuple[int, uuid.UUID, int]] = field(default_factory=list)

    def fill(self, part: Part) -> None:
        """Tasks, answers and queued texts of a part."""
        rng = np.random.default_rng([self.world.seed, part.first, 1])
        share = min(_TASKS, _MOST_TASKS / self.total)
        free = part.asked & (part.machine >= 0)
        harsh = free & (part.truths & self.world.harsh != 0)
        wanted = max(8, round(share * len(part.ids)))
        rows = list(range(min(3, len(part.ids)))) if part.first == 0 else []
        rows += part.checked[::2]
        rows += rng.permutation(np.flatnonzero(harsh))[: wanted // 2].tolist()
        rows += rng.permutation(np.flatnonzero(free & ~harsh))[: wanted // 2].tolist()
        chosen = [row for row in dict.fromkeys(rows) if part.asked[row]]
        self._tasks(rng, part, chosen)
        taken = set(chosen)
        most = round(min(_QUEUED, _MOST_QUEUED / self.total) * len(part.ids))
        front = list(range(3, 8)) if part.first == 0 else []
        waiting = [*front, *rng.permutation(np.flatnonzero(free)).tolist()]
        self._queue(rng, part, [row for row in dict.fromkeys(waiting) if row not in taken][: max(4, most)])

    def _queue(self, rng: np.random.Generator, part: Part, rows: Sequence[int]) -> None:
        out = []
        for place, row in enumerate(rows):
            bits = int(part.machine[row]) if part.machine[row] >= 0 else int(part.truths[row])
            names = self.world.names(bits)
            strategy = _STRATEGIES[int(rng.integers(0, 4))]
            likely = float(rng.uniform(0.3, 0.9))
            reason = {
                "uncertain": f"the model is less sure of it: {names[0]} {likely:.2f}",
                "scarce": f"{names[0]} needs more gold texts and is likely here ({likely:.2f})",
                "suspect": f"{names[0]} is denied, but the champion gives it a probability of {likely:.2f}",
                "random": "drawn at random",
            }[strategy]
            state = (
                QueueState.DROPPED
                if place % 17 == 13
                else QueueState.REFUSED
                if place % 29 == 11
                else QueueState.QUEUED
            )
            self.queued += state is QueueState.QUEUED
            priority = 1.0 if part.first == 0 and place < 5 else float(rng.uniform(0, 0.99))
            probability = float(rng.uniform(0.001, 0.4))
            label = names[0] if strategy in ("scarce", "suspect") else None
            out.append(
                (
                    part.ids[row],
                    strategy,
                    label,
                    reason,
                    round(probability, 4),
                    round(priority, 4),
                    bool(rng.random() < _BLIND),
                    bits & self.world.harsh != 0,
                    names,
                    bool(rng.random() < _PLANTED),
                    state,
                    self.crowd.queueing,
                    part.times[row],
                )
            )
        columns = (
            "text_id",
            "strategy",
            "label",
            "reason",
            "inclusion_probability",
            "priority",
            "blind",
            "harsh",
            "expected",
            "gold",
            "state",
            "run_id",
            "created_at",
        )
        self.copier.rows("queue_item", columns, out)

    def _tasks(self, rng: np.random.Generator, part: Part, rows: Sequence[int]) -> None:
        tasks, answers, said = [], [], []
        for place, row in enumerate(rows):
            self.tasks += 1
            ticked = int(part.machine[row]) if part.machine[row] >= 0 else int(part.truths[row])
            project = self.crowd.projects[self.tasks % 5 == 0 and len(self.crowd.projects) > 1]
            people = 3 if place % 23 == 0 else 2 if rng.random() < _TWICE else 1
            answered = rng.random() < _ANSWERED
            made = datetime.fromisoformat(part.times[row]) + timedelta(hours=float(rng.uniform(1, 30)))
            made = min(made, self.world.now - timedelta(minutes=5))
            blind = bool(rng.random() < _BLIND)
            tasks.append(
                (
                    project,
                    part.ids[row],
                    self.tasks,
                    _STRATEGIES[self.tasks % 4],
                    "drawn at random",
                    0.02,
                    round(float(rng.uniform(0, 1)), 4),
                    blind,
                    ticked & self.world.harsh != 0,
                    bool(rng.random() < _PLANTED),
                    people > 1,
                    people,
                    TaskState.DONE if answered else TaskState.OPEN,
                    f"kelompok-{self.tasks // 200}",
                    made,
                    made,
                )
            )
            self.sent.append((project, part.ids[row], ticked))
            if answered:
                who = rng.permutation(len(self.crowd.volunteers))[:people].tolist()
                for number in who:
                    volunteer = self.crowd.volunteers[number]
                    self._answer(rng, part, row, project, volunteer, ticked, made, blind, answers, said)
        task_columns = (
            "project_id",
            "text_id",
            "label_studio_id",
            "strategy",
            "reason",
            "inclusion_probability",
            "priority",
            "blind",
            "harsh",
            "gold",
            "paired",
            "overlap",
            "state",
            "batch",
            "pushed_at",
            "created_at",
        )
        answer_columns = (
            "project_id",
            "label_studio_id",
            "created_at",
            "updated_at",
            "task_id",
            "text_id",
            "rater_id",
            "state",
            "chosen",
            "predicted",
            "prediction_version",
            "change",
            "lead_time",
            "blind",
            "comment",
            "first_seen_at",
        )
        self.copier.rows("task", task_columns, tasks)
        self.copier.rows("annotation", answer_columns, answers)
        self.copier.rows("judgement", JUDGED, said)

    def _answer(
        self,
        rng: np.random.Generator,
        part: Part,
        row: int,
        project: int,
        volunteer: Volunteer,
        ticked: int,
        made: datetime,
        blind: bool,
        answers: list[Sequence[object]],
        said: list[Sequence[object]],
    ) -> None:
        self.annotations += 1
        number = self.annotations
        truth: NDArray[np.int64] = part.truths[row : row + 1]
        bits = volunteer.always if volunteer.always >= 0 else int(self.world.said(rng, truth, volunteer.errors)[0])
        took = float(rng.lognormal(np.log(volunteer.seconds), 0.6))
        at = min(made + timedelta(hours=float(rng.uniform(0.1, 40))), self.world.now - timedelta(minutes=1))
        state = AnnotationState.SUBMITTED
        if number % 41 == 0:
            state, bits = AnnotationState.UNDECIDED, 0
        elif number % 67 == 0:
            state, bits = AnnotationState.SKIPPED, 0
        comment = _COMMENTS[number // 37 % len(_COMMENTS)] if number % 37 == 1 else None
        change = Change.SCRATCH if blind else Change.KEPT if bits == ticked else Change.CHANGED
        names = self.world.names(bits)
        answers.append(
            (
                project,
                number,
                at,
                at,
                self.tasks,
                part.ids[row],
                volunteer.rater,
                state,
                names,
                None if blind else self.world.names(ticked),
                None if blind else self.crowd.version,
                change,
                round(took, 2),
                blind,
                comment,
                at,
            )
        )
        if state is AnnotationState.SKIPPED:
            return
        ref = reference(project, number, at)
        everything = (1 << len(self.world.keys)) - 1
        denied = () if state is AnnotationState.UNDECIDED else self.world.names(everything & ~bits)
        version, pulling = self.world.taxonomy.version, self.crowd.pulling
        common = (volunteer.rater, part.ids[row], ref)
        if number % 31 == 0:
            first = self.world.names(ticked)
            rest = self.world.names(everything & ~ticked)
            said.append((*common, 0, first, rest, {}, None, False, version, pulling, at - timedelta(minutes=3)))
        revision = int(number % 31 == 0)
        said.append((*common, revision, names, denied, {}, comment, False, version, pulling, at))


def plant_predictions(world: World, people: People) -> None:
    """The ticks of every task, as a push leaves them."""
    rows = []
    for project, text, bits in people.sent:
        names = world.names(bits)
        why = {name: f"{name}: a language model says so / {name}: model bahasa menyatakannya" for name in names}
        rows.append((project, people.crowd.version, text, names, dict.fromkeys(names, 0.83), why))
    people.copier.rows("prediction", ("project_id", "version", "text_id", "labels", "scores", "why"), rows)
