"""The demo's human side: the true loop, with simulated volunteers at the other end of Label Studio's HTTP API."""

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
from pipeline.progress import Progress
from pipeline.queue.config import QueueConfig
from pipeline.store.session import open_session
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

#: tasks that each volunteer does at most: in the first round, and of the reviews
EACH, EACH_REVIEW = 60, 30
#: share of tasks with known answers: many, since so few tasks are little to know a volunteer by
_PLANTED = 0.2
#: the demo's day is short: nobody real is spared by a cap
_HARSH_CAP = 1_000
#: how long webhooks may take to bring corrections home before they are fetched anyway
_HOME_SECONDS = 60.0
_LOOK_SECONDS = 0.5
_PASSWORD_BYTES = 12
Result = TypeVar("Result")


@dataclass(slots=True)
class LoopResult:
    """What the human side did, in the order of its doing."""

    queued: dict[str, Any] = field(default_factory=dict)
    pushed: dict[str, Any] = field(default_factory=dict)
    volunteers: list[dict[str, Any]] = field(default_factory=list)
    #: judgements that were home because of webhooks alone, and all of them
    home_by_webhook: int = 0
    home: int = 0
    #: annotations that volunteers submitted, skipped ones left out
    annotated: int = 0
    #: what a full comparison with Label Studio found to repair: nothing, if all came home
    repaired: int = 0
    #: volunteers who were flagged, and therefore excluded
    excluded: list[str] = field(default_factory=list)
    #: tasks that went to another volunteer: for disagreement, or because nobody else had done them
    reviews: int = 0
    #: of the raters' work (sync.quality.report)
    quality: Any = None
    tiers_before: dict[str, int] = field(default_factory=dict)
    tiers_after: dict[str, int] = field(default_factory=dict)
    #: average precision on the frozen test, of the champion before and the model after
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    verdict: str = ""
    predicted_anew: dict[str, Any] = field(default_factory=dict)
    url: str = ""
    project_url: str = ""
    email: str = ""
    password_file: str = ""
    seconds: float = 0.0


def run_loop(
    home: Home, planted: Planted, *, each: int = EACH, each_review: int = EACH_REVIEW, progress: Progress
) -> LoopResult:
    """Go through the human loop once on a store that the machines' side has filled.

    Label Studio, the ML backend and a worker are started; the worker brings corrections home while volunteers annotate.

    Args:
        home: the demo's own.
        planted: what was planted in the store.
        each: tasks that each volunteer does at most in the first round.
        each_review: the same, of the reviews.
        progress: is told of every step.
    """
    began = time.monotonic()
    done = LoopResult(tiers_before=_tiers(home))
    access = ensure_label_studio(home.settings, progress)
    project = home.label_studio.setup(title="Saring demo", harsh_cap=_HARSH_CAP, progress=progress)
    ensure_worker(home.settings, progress)
    champion = load_champion(home.engine, home.settings)
    done.url, done.project_url, done.email = access.url, project.url, access.email or ""
    done.password_file = str(owner_file(home.settings)) if access.embedded else ""
    _send_out(home, project.label_studio_id, each, done, progress)

    with LabelStudio(access.url, access.api_key) as client:
        invite = str(client.get("/api/invite")["invite_url"])
        work = _Work(access.url, invite, project.label_studio_id, _truth(home), _password(home))
        earlier = _in_ledger(home)
        rounds = [work.go(home, each, PERSONAS, progress)]
        done.home_by_webhook = _wait_for_annotations(home, earlier, _said(rounds), progress)
        _pull(home, project.label_studio_id, progress)
        done.excluded = _exclude_careless(home, project.project_id)
        request_reviews(home.engine, client, project_id=project.project_id)
        done.reviews = _asked_again(home, project.project_id)
        if done.reviews:
            out = {one.persona for one in rounds[0] if str(one.user_id) in done.excluded}
            rounds.append(work.go(home, each_review, [one for one in PERSONAS if one not in out], progress))
    _pull(home, project.label_studio_id, progress)
    compared = _in_turn(lambda: home.label_studio.reconcile(project.label_studio_id, progress=progress))
    done.repaired = compared.repaired
    done.annotated, done.home = _said(rounds), _in_ledger(home) - earlier
    done.volunteers = _summed(rounds)

    done.tiers_after = _tiers(home)
    done.quality = _measured(home, project.project_id)
    _learn(home, project.label_studio_id, planted, champion, done, progress)
    done.seconds = round(time.monotonic() - began, 1)
    return done


def _send_out(home: Home, project: int, each: int, done: LoopResult, progress: Progress) -> None:
    """Draw a queue and push it with its ticks."""
    config = QueueConfig(size=each * len(PERSONAS), gold_share=_PLANTED)
    queued = home.queue.build(config=config, progress=progress)
    done.queued = {"drawn": queued.drawn, "eligible": queued.eligible, "by_strategy": dict(queued.by_strategy)}
    (sent,) = home.label_studio.push(project, progress=progress).projects
    done.pushed = {"sent": sent.sent, "blind": sent.blind, "harsh": sent.harsh}


@dataclass(frozen=True, slots=True)
class _Work:
    """Where the volunteers work, and what is true of the texts."""

    url: str
    invite: str
    label_studio_id: int
    truth: Mapping[str, Sequence[str]]
    password: str = field(repr=False)

    def go(self, home: Home, each: int, personas: Sequence[Persona], progress: Progress) -> list[Worked]:
        """Have these volunteers annotate, up to `each` tasks a head."""
        total, count = each * len(personas), Counter[str]()

        def tell(by: int) -> None:
            count["done"] += by
            progress(count["done"], total, f"volunteers annotate (up to {each} tasks each)")

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
    """Of the volunteers' accounts: the same each time in one home, and known to nobody else."""
    secret = backend_credentials(home.settings).webhook_secret.encode()
    return hashlib.blake2b(secret, digest_size=_PASSWORD_BYTES, person=b"saring demo").hexdigest()


def _measured(home: Home, project: int) -> QualityReport:
    rng = np.random.default_rng(home.settings.seed)
    with open_session(home.engine) as session:
        return quality_report(session, home.taxonomy, project=project, rng=rng)


def _exclude_careless(home: Home, project: int) -> list[str]:
    """Do what a maintainer may do after a look at the report; who was excluded."""
    flagged = _measured(home, project).careless
    for rater in flagged:
        exclude(home.engine, rater, why="flagged as careless in the demo", now=_now())
    return list(flagged)


def _learn(
    home: Home,
    project: int,
    planted: Planted,
    champion: TrainedModel | None,
    done: LoopResult,
    progress: Progress,
) -> None:
    """Retrain, measure before and after on the frozen test, and tick the open tasks anew."""
    trained = home.train(progress=progress)
    done.verdict = trained.reason or ""
    with RejectSink() as rejects:
        rows = [row for row in read_labelled([str(planted.human)], rejects) if row.split == "test"]
    frozen = gather(rows, home.taxonomy.keys)
    for name, model in (("before", champion), ("after", load_folder(trained.path, home.settings))):
        if model is not None:
            measured = evaluate_examples(model, frozen, rng=np.random.default_rng(home.settings.seed)).to_dict()
            setattr(done, name, {"model": model.manifest.version, **measured})
    if trained.promoted:
        (again,) = home.label_studio.predict(project, progress=progress).projects
        done.predicted_anew = {"open_tasks": again.sent, "ticks_changed": again.changed}


def _pull(home: Home, project: int, progress: Progress) -> None:
    """Pull what is not in the ledger yet."""
    _in_turn(lambda: home.label_studio.pull(project, progress=progress))


def _in_turn(work: Callable[[], Result]) -> Result:
    """Do something that the worker may be at as well, when it isn't."""
    deadline = time.monotonic() + _HOME_SECONDS
    while True:
        try:
            return work()
        except RunConflict:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_SECONDS)


def _asked_again(home: Home, project: int) -> int:
    """Tasks that want more raters than they were meant for; the worker may have asked for some of them."""
    t = store.Task
    meant_for = case((t.paired, 2), else_=1)
    with open_session(home.engine) as session:
        return session.execute(
            select(func.count()).select_from(t).where(t.project_id == project, t.overlap > meant_for)
        ).scalar_one()


def _wait_for_annotations(home: Home, earlier: int, expected: int, progress: Progress) -> int:
    """Wait until the worker has brought home what was said, as webhooks told it to; how much that is.

    What is `earlier` came in a demo before this one, in the same home.
    """
    deadline = time.monotonic() + _HOME_SECONDS
    while (there := _in_ledger(home) - earlier) < expected and time.monotonic() < deadline:
        progress(there, expected, "corrections come home")
        time.sleep(_LOOK_SECONDS)
    return there


def _in_ledger(home: Home) -> int:
    """Judgements of volunteers that are in the ledger."""
    j, r = store.Judgement, store.Rater
    mine = select(func.count()).select_from(j).join(r, r.id == j.rater_id)
    with open_session(home.engine) as session:
        return session.execute(
            mine.where(r.kind == RaterKind.HUMAN, r.name == "label-studio", j.revision == 0)
        ).scalar_one()


def _truth(home: Home) -> dict[str, Sequence[str]]:
    """What the corpus says of each text, by the id that it has in the store."""
    seen, s = store.TextSource, store.Source
    labels = {line.id: line.labels for line in read_corpus()}
    with open_session(home.engine) as session:
        rows = session.execute(
            select(seen.text_id, seen.external_id).join(s, s.id == seen.source_id).where(s.name == SOURCE)
        )
        return {str(text_id): labels[external_id] for text_id, external_id in rows if external_id in labels}


def _tiers(home: Home) -> dict[str, int]:
    """Texts by how far what is believed of them can be trusted."""
    with open_session(home.engine) as session:
        return dict(Counter(str(text_tier(one.decisions)) for one in decided_texts(session, home.taxonomy)))


def _said(rounds: Sequence[Sequence[Worked]]) -> int:
    return sum(one.submitted + one.undecided for some in rounds for one in some)


def _summed(rounds: Sequence[Sequence[Worked]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for some in rounds:
        for one in some:
            row = found.setdefault(
                one.persona.name,
                {"name": one.persona.name, "user": one.user_id, "careless": one.persona.careless}
                | dict.fromkeys(("submitted", "skipped", "undecided"), 0),
            )
            for name in ("submitted", "skipped", "undecided"):
                row[name] += getattr(one, name)
    return list(found.values())


def _now() -> datetime:
    return datetime.now(UTC)
