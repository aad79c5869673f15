"""The human part of the demo: the real loop, with simulated volunteers who use Label Studio's HTTP API."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import case, func, select

from pipeline import store
from pipeline.backend_credentials import backend_credentials
from pipeline.errors import RunConflict
from pipeline.judgement import RaterKind
from pipeline.learning.evaluate import evaluate_examples
from pipeline.learning.sets.examples import gather
from pipeline.ledger.decisions import decided_texts
from pipeline.ledger.resolve import text_tier
from pipeline.models.artefact import TrainedModel
from pipeline.plural import counted
from pipeline.progress import Progress
from pipeline.queue.config import QueueConfig
from pipeline.store.public_ids import PublicIds
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import TaskState
from pipeline.texts.labelled_files import read_labelled
from pipeline.texts.rejects import RejectSink
from saring.actions.models import load_champion, load_folder
from saring.demo.plant import Planted, read_corpus
from saring.demo.show import SOURCE
from saring.demo.volunteers import PERSONAS, Persona, Worked, work_together
from saring.home import Home
from saring.services import ensure_label_studio, ensure_worker, owner_file
from sync.api.client import LabelStudio
from sync.quality.exclusion import exclude
from sync.quality.report import QualityReport, quality_report
from sync.quality.review import request_reviews

#: largest number of tasks for each volunteer: in the first round, and in the round of reviews
EACH, EACH_REVIEW = 60, 40
#: share of tasks with known answers: large, because each volunteer does only a few tasks
_PLANTED = 0.2
#: daily limit of harsh tasks: high, because no real person is protected by it
_HARSH_CAP = 1_000
#: longest wait for pulls that webhooks start, after which the demo pulls by itself
_PULL_SECONDS = 60.0
_LOOK_SECONDS = 0.5
_PASSWORD_BYTES = 12
Result = TypeVar("Result")


@dataclass(slots=True)
class LoopResult:
    """The results of the human part, in the order of its steps."""

    queued: dict[str, Any] = field(default_factory=dict)
    pushed: dict[str, Any] = field(default_factory=dict)
    volunteers: list[dict[str, Any]] = field(default_factory=list)
    #: judgements in the ledger: those pulled because of webhooks alone, and all
    home_by_webhook: int = 0
    home: int = 0
    #: annotations that volunteers submitted, without skipped tasks
    annotated: int = 0
    #: tasks that a full comparison with Label Studio repaired: 0 if all annotations were pulled
    repaired: int = 0
    #: volunteers who were flagged as careless and excluded
    excluded: list[str] = field(default_factory=list)
    #: tasks that went to another volunteer, because of disagreement or an excluded rater
    reviews: int = 0
    #: the report on the quality of the raters (sync.quality.report)
    quality: Any = None
    tiers_before: dict[str, int] = field(default_factory=dict)
    tiers_after: dict[str, int] = field(default_factory=dict)
    #: average precision on the frozen test set, of the champion before and the model after
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    verdict: str = ""
    predicted_anew: dict[str, Any] = field(default_factory=dict)
    url: str = ""
    project_url: str = ""
    email: str = ""
    password_file: str = ""
    #: number of a task in Label Studio that shows what is ticked, and why; None: there is none
    example_task: int | None = None
    seconds: float = 0.0


def run_loop(
    home: Home, planted: Planted, *, each: int = EACH, each_review: int = EACH_REVIEW, progress: Progress
) -> LoopResult:
    """Run the human loop once, on a store that the stages of the machines have filled.

    Label Studio, the ML backend and a worker are started; the worker pulls annotations while volunteers annotate.

    Args:
        home: the demo's own.
        planted: the troubles that were planted in the store.
        each: tasks that each volunteer does at most in the first round.
        each_review: the same, of the reviews.
        progress: is told of every step.
    """
    began = time.monotonic()
    result = LoopResult(tiers_before=_tiers(home))
    access = ensure_label_studio(home.settings, progress)
    project = home.label_studio.setup(title="Saring demo", harsh_cap=_HARSH_CAP, progress=progress)
    ensure_worker(home.settings, progress)
    champion = load_champion(home.engine, home.settings)
    result.url, result.project_url, result.email = access.url, project.url, access.email or ""
    result.password_file = str(owner_file(home.settings)) if access.embedded else ""
    _send_out(home, project.label_studio_id, each, result, progress)

    with LabelStudio(access.url, access.api_key) as client:
        invite = str(client.get("/api/invite")["invite_url"])
        work = _Work(access.url, invite, project.label_studio_id, _truth(home), _password(home))
        earlier = _in_ledger(home)
        rounds = [work.go(home, each, PERSONAS, progress)]
        result.home_by_webhook = _wait_for_annotations(home, earlier, _annotated(rounds), progress)
        _pull(home, project.label_studio_id, progress)
        result.excluded = _exclude_careless(home, project.project_id)
        request_reviews(home.engine, client, project_id=project.project_id)
        result.reviews = _asked_again(home, project.project_id)
        if result.reviews:
            out = {worked.persona for worked in rounds[0] if str(worked.user_id) in result.excluded}
            others = [persona for persona in PERSONAS if persona not in out]
            rounds.append(work.go(home, each_review, others, progress))
    _pull(home, project.label_studio_id, progress)
    compared = _retry_on_conflict(lambda: home.label_studio.reconcile(project.label_studio_id, progress=progress))
    result.repaired = compared.repaired
    result.annotated, result.home = _annotated(rounds), _in_ledger(home) - earlier
    result.volunteers = _summed(rounds)

    result.tiers_after = _tiers(home)
    result.quality = _measured(home, project.project_id)
    _learn(home, project.label_studio_id, planted, champion, result, progress)
    result.example_task = _example_task(home, project.project_id)
    result.seconds = round(time.monotonic() - began, 1)
    return result


def _send_out(home: Home, project: int, each: int, result: LoopResult, progress: Progress) -> None:
    """Draw a queue and push it, with labels ticked."""
    config = QueueConfig(size=each * len(PERSONAS), gold_share=_PLANTED)
    queued = home.queue.build(config=config, progress=progress)
    result.queued = {"drawn": queued.drawn, "eligible": queued.eligible, "by_strategy": dict(queued.by_strategy)}
    (sent,) = home.label_studio.push(project, progress=progress).projects
    result.pushed = {"sent": sent.sent, "blind": sent.blind, "harsh": sent.harsh}


def _example_task(home: Home, project_id: int) -> int | None:
    """A task with a label ticked, one that a volunteer would still be shown if there is such; None: there is none."""
    t, p, made = store.Task, store.Project, store.Prediction
    shown = (made.project_id == t.project_id) & (made.text_id == t.text_id) & (made.version == p.model_version)
    query = (
        select(t.label_studio_id)
        .join(p, p.id == t.project_id)
        .join(made, shown)
        .where(p.id == project_id, t.label_studio_id.is_not(None), ~t.blind, func.cardinality(made.labels) > 0)
        .order_by(t.state != TaskState.OPEN, t.label_studio_id)
        .limit(1)
    )
    with open_session(home.engine) as session:
        return session.scalar(query)


@dataclass(frozen=True, slots=True)
class _Work:
    """The volunteers' work: the project, and the true labels of the texts."""

    url: str
    invite: str
    label_studio_id: int
    truth: Mapping[str, Sequence[str]]
    password: str = field(repr=False)

    def go(self, home: Home, each: int, personas: Sequence[Persona], progress: Progress) -> list[Worked]:
        """Have these volunteers annotate, up to `each` tasks for each of them."""
        total, count = each * len(personas), Counter[str]()

        def tell(new: int) -> None:
            count["annotated"] += new
            progress(count["annotated"], total, f"volunteers annotate (up to {counted(each, 'task')} each)")

        return work_together(
            self.url,
            self.invite,
            self.label_studio_id,
            self.truth,
            home.taxonomy.keys,
            each=each,
            password=self.password,
            seed=home.settings.seed + each,
            personas=personas,
            tell=tell,
        )


def _password(home: Home) -> str:
    """The password of the volunteers' accounts: always the same in one home, and different in every home."""
    secret = backend_credentials(home.settings).webhook_secret.encode()
    return hashlib.blake2b(secret, digest_size=_PASSWORD_BYTES, person=b"saring demo").hexdigest()


def _measured(home: Home, project: int) -> QualityReport:
    rng = np.random.default_rng(home.settings.seed)
    with open_session(home.engine) as session:
        return quality_report(session, home.taxonomy, project=project, rng=rng)


def _exclude_careless(home: Home, project: int) -> list[str]:
    """Exclude the volunteers whom the report flags, as a maintainer may do; their ids."""
    flagged = _measured(home, project).careless
    for rater in flagged:
        exclude(home.engine, rater, why="flagged as careless in the demo", now=_now())
    return list(flagged)


def _learn(
    home: Home,
    project: int,
    planted: Planted,
    champion: TrainedModel | None,
    result: LoopResult,
    progress: Progress,
) -> None:
    """Retrain, measure the models before and after on the frozen test set, and renew the ticks of open tasks."""
    trained = home.train(progress=progress)
    result.verdict = trained.reason or ""
    with RejectSink() as rejects:
        rows = [row for row in read_labelled([str(planted.human)], rejects) if row.split == "test"]
    frozen = gather(rows, home.taxonomy.keys)
    for name, model in (("before", champion), ("after", load_folder(trained.path, home.settings))):
        if model is not None:
            measured = evaluate_examples(model, frozen, rng=np.random.default_rng(home.settings.seed)).to_dict()
            setattr(result, name, {"model": model.manifest.version, **measured})
    if trained.promoted:
        (again,) = home.label_studio.predict(project, progress=progress).projects
        result.predicted_anew = {"open_tasks": again.sent, "ticks_changed": again.changed}


def _pull(home: Home, project: int, progress: Progress) -> None:
    """Pull annotations that are not in the ledger yet."""
    _retry_on_conflict(lambda: home.label_studio.pull(project, progress=progress))


def _retry_on_conflict(work: Callable[[], Result]) -> Result:
    """Call a function again until the worker does not do the same at this moment."""
    deadline = time.monotonic() + _PULL_SECONDS
    while True:
        try:
            return work()
        except RunConflict:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_SECONDS)


def _asked_again(home: Home, project: int) -> int:
    """The number of tasks with more raters than planned; the worker may have asked for some of these raters."""
    t = store.Task
    planned = case((t.paired, 2), else_=1)
    with open_session(home.engine) as session:
        return session.execute(
            select(func.count()).select_from(t).where(t.project_id == project, t.overlap > planned)
        ).scalar_one()


def _wait_for_annotations(home: Home, earlier: int, expected: int, progress: Progress) -> int:
    """Wait until the worker has pulled the annotations because of webhooks; the number of new judgements.

    Args:
        home: the home of the demo.
        earlier: judgements of an earlier demo in the same home, which are not counted.
        expected: number of annotations to wait for.
        progress: called while waiting.
    """
    deadline = time.monotonic() + _PULL_SECONDS
    while (pulled := _in_ledger(home) - earlier) < expected and time.monotonic() < deadline:
        progress(pulled, expected, "pulling annotations")
        time.sleep(_LOOK_SECONDS)
    return pulled


def _in_ledger(home: Home) -> int:
    """The number of volunteers' judgements in the ledger."""
    j, r = store.Judgement, store.Rater
    count = select(func.count()).select_from(j).join(r, r.id == j.rater_id)
    with open_session(home.engine) as session:
        return session.execute(
            count.where(r.kind == RaterKind.HUMAN, r.name == "label-studio", j.revision == 0)
        ).scalar_one()


def _truth(home: Home) -> dict[str, Sequence[str]]:
    """The true labels of each text of the corpus, by the public id of the text."""
    origin, s = store.TextSource, store.Source
    labels = {line.id: line.labels for line in read_corpus()}
    with open_session(home.engine) as session:
        rows = session.execute(
            select(origin.text_id, origin.external_id).join(s, s.id == origin.source_id).where(s.name == SOURCE)
        )
        ids = PublicIds.of_store(session)
        return {str(ids.of(text_id)): labels[external_id] for text_id, external_id in rows if external_id in labels}


def _tiers(home: Home) -> dict[str, int]:
    """The numbers of texts by tier."""
    with open_session(home.engine) as session:
        return dict(Counter(str(text_tier(text.decisions)) for text in decided_texts(session, home.taxonomy)))


def _annotated(rounds: Sequence[Sequence[Worked]]) -> int:
    return sum(worked.submitted + worked.undecided for volunteers in rounds for worked in volunteers)


def _summed(rounds: Sequence[Sequence[Worked]]) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for volunteers in rounds:
        for worked in volunteers:
            persona = worked.persona
            row = rows.setdefault(
                persona.name,
                {"name": persona.name, "user": worked.user_id, "careless": persona.careless}
                | dict.fromkeys(("submitted", "skipped", "undecided"), 0),
            )
            for name in ("submitted", "skipped", "undecided"):
                row[name] += getattr(worked, name)
    return list(rows.values())


def _now() -> datetime:
    return datetime.now(UTC)
