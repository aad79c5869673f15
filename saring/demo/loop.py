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
from pipeline.preannotation import fit_policy
from pipeline.progress import Progress
from pipeline.queue.config import QueueConfig
from pipeline.store.session import open_session
from pipeline.texts.labelled_files import read_labelled
from pipeline.texts.rejects import RejectSink
from saring.actions.serving import load_champion
from saring.actions.training_options import training_config
from saring.cli import common, stages
from saring.cli.queue import run_build
from saring.demo.plant import Planted, read_corpus
from saring.demo.show import SOURCE
from saring.demo.volunteers import PERSONAS, Persona, Worked, work_together
from saring.services import ensure_backend, ensure_label_studio, ensure_worker, owner_file
from sync.api.client import LabelStudio
from sync.project.projects import setup
from sync.pull.pull import pull
from sync.pull.reconcile import reconcile
from sync.push.predictions import predict_ahead
from sync.push.push import push
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


def run_loop(ctx: common.Context, planted: Planted, *, progress: Progress) -> LoopResult:
    """Go through the human loop once on a store that the machines' side has filled.

    Label Studio, the ML backend and a worker are started; the worker brings corrections home while volunteers annotate.
    """
    began = time.monotonic()
    done = LoopResult(tiers_before=_tiers(ctx))
    access = ensure_label_studio(ctx.settings, progress)
    backend_url = ensure_backend(ctx.settings, progress)
    ensure_worker(ctx.settings, progress)
    champion = load_champion(ctx.engine, ctx.settings)
    with LabelStudio(access.url, access.api_key) as client:
        project = setup(
            ctx.engine,
            client,
            taxonomy=ctx.taxonomy,
            backend_url=backend_url,
            credentials=backend_credentials(ctx.settings),
            harsh_cap=_HARSH_CAP,
            title="Saring demo",
            now=_now(),
        )
        done.url, done.project_url, done.email = access.url, project.url, access.email or ""
        done.password_file = str(owner_file(ctx.settings)) if access.embedded else ""
        _send_out(ctx, client, project.project_id, champion, done, progress)

        invite = str(client.get("/api/invite")["invite_url"])
        work = _Work(access.url, invite, project.label_studio_id, _truth(ctx), _password(ctx))
        earlier = _home(ctx)
        rounds = [work.go(ctx, EACH, PERSONAS, progress)]
        done.home_by_webhook = _wait_for_home(ctx, earlier, _said(rounds), progress)
        _pull(ctx, client, progress)
        done.excluded = _exclude_careless(ctx, project.project_id)
        request_reviews(ctx.engine, client, project_id=project.project_id)
        done.reviews = _asked_again(ctx, project.project_id)
        if done.reviews:
            out = {one.persona for one in rounds[0] if str(one.user_id) in done.excluded}
            rounds.append(work.go(ctx, EACH_REVIEW, [one for one in PERSONAS if one not in out], progress))
        _pull(ctx, client, progress)
        compared = _in_turn(lambda: reconcile(ctx.engine, client, taxonomy=ctx.taxonomy, now=_now(), progress=progress))
        done.repaired = compared.repaired
        done.annotated, done.home = _said(rounds), _home(ctx) - earlier
        done.volunteers = _summed(rounds)

        done.tiers_after = _tiers(ctx)
        done.quality = _measured(ctx, project.project_id)
        _learn(ctx, client, project.project_id, planted, champion, done, progress)
    done.seconds = round(time.monotonic() - began, 1)
    return done


def _send_out(
    ctx: common.Context,
    client: LabelStudio,
    project: int,
    champion: TrainedModel | None,
    done: LoopResult,
    progress: Progress,
) -> None:
    """Draw a queue and push it with its ticks."""
    queued = run_build(ctx, QueueConfig(size=EACH * len(PERSONAS), gold_share=_PLANTED), progress=progress)
    done.queued = {"drawn": queued.drawn, "eligible": queued.eligible, "by_strategy": dict(queued.by_strategy)}
    with open_session(ctx.engine) as session:
        policy = fit_policy(session, taxonomy=ctx.taxonomy, model=champion)
    sent = push(
        ctx.engine, client, project, taxonomy=ctx.taxonomy, model=champion, policy=policy, now=_now(), progress=progress
    )
    done.pushed = {"sent": sent.sent, "blind": sent.blind, "harsh": sent.harsh}


@dataclass(frozen=True, slots=True)
class _Work:
    """Where the volunteers work, and what is true of the texts."""

    url: str
    invite: str
    label_studio_id: int
    truth: Mapping[str, Sequence[str]]
    password: str = field(repr=False)

    def go(self, ctx: common.Context, each: int, personas: Sequence[Persona], progress: Progress) -> list[Worked]:
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
            ctx.taxonomy.keys,
            each=each,
            password=self.password,
            seed=ctx.settings.seed + each,
            personas=personas,
            tell=tell,
        )


def _password(ctx: common.Context) -> str:
    """Of the volunteers' accounts: the same each time in one home, and known to nobody else."""
    secret = backend_credentials(ctx.settings).webhook_secret.encode()
    return hashlib.blake2b(secret, digest_size=_PASSWORD_BYTES, person=b"saring demo").hexdigest()


def _measured(ctx: common.Context, project: int) -> QualityReport:
    rng = np.random.default_rng(ctx.settings.seed)
    with open_session(ctx.engine) as session:
        return quality_report(session, ctx.taxonomy, project=project, rng=rng)


def _exclude_careless(ctx: common.Context, project: int) -> list[str]:
    """Do what a maintainer may do after a look at the report; who was excluded."""
    flagged = _measured(ctx, project).careless
    for rater in flagged:
        exclude(ctx.engine, rater, why="flagged as careless in the demo", now=_now())
    return list(flagged)


def _learn(
    ctx: common.Context,
    client: LabelStudio,
    project: int,
    planted: Planted,
    champion: TrainedModel | None,
    done: LoopResult,
    progress: Progress,
) -> None:
    """Retrain, measure before and after on the frozen test, and tick the open tasks anew."""
    config = training_config(ctx)
    trained = stages.train_from_store(ctx, config, None, progress=progress)
    done.verdict = trained.verdict
    with RejectSink() as rejects:
        rows = [row for row in read_labelled([str(planted.human)], rejects) if row.split == "test"]
    frozen = gather(rows, ctx.taxonomy.keys)
    for name, model in (("before", champion), ("after", trained.report.model)):
        if model is not None:
            measured = evaluate_examples(model, frozen, rng=np.random.default_rng(ctx.settings.seed)).to_dict()
            setattr(done, name, {"model": model.manifest.version, **measured})
    if trained.promoted:
        model = load_champion(ctx.engine, ctx.settings)
        with open_session(ctx.engine) as session:
            policy = fit_policy(session, taxonomy=ctx.taxonomy, model=model)
        again = predict_ahead(
            ctx.engine,
            client,
            project,
            taxonomy=ctx.taxonomy,
            model=model,
            policy=policy,
            now=_now(),
            progress=progress,
        )
        done.predicted_anew = {"open_tasks": again.sent, "ticks_changed": again.changed}


def _pull(ctx: common.Context, client: LabelStudio, progress: Progress) -> None:
    """Fetch what is not home yet."""
    languages = ctx.settings.languages
    _in_turn(
        lambda: pull(ctx.engine, client, taxonomy=ctx.taxonomy, now=_now(), languages=languages, progress=progress)
    )


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


def _asked_again(ctx: common.Context, project: int) -> int:
    """Tasks that want more raters than they were meant for; the worker may have asked for some of them."""
    t = store.Task
    meant_for = case((t.paired, 2), else_=1)
    with open_session(ctx.engine) as session:
        return session.execute(
            select(func.count()).select_from(t).where(t.project_id == project, t.overlap > meant_for)
        ).scalar_one()


def _wait_for_home(ctx: common.Context, earlier: int, expected: int, progress: Progress) -> int:
    """Wait until the worker has brought home what was said, as webhooks told it to; how much that is.

    What is `earlier` came in a demo before this one, in the same home.
    """
    deadline = time.monotonic() + _HOME_SECONDS
    while (there := _home(ctx) - earlier) < expected and time.monotonic() < deadline:
        progress(there, expected, "corrections come home")
        time.sleep(_LOOK_SECONDS)
    return there


def _home(ctx: common.Context) -> int:
    """Judgements of volunteers that are in the ledger."""
    j, r = store.Judgement, store.Rater
    mine = select(func.count()).select_from(j).join(r, r.id == j.rater_id)
    with open_session(ctx.engine) as session:
        return session.execute(
            mine.where(r.kind == RaterKind.HUMAN, r.name == "label-studio", j.revision == 0)
        ).scalar_one()


def _truth(ctx: common.Context) -> dict[str, Sequence[str]]:
    """What the corpus says of each text, by the id that it has in the store."""
    seen, s = store.TextSource, store.Source
    labels = {line.id: line.labels for line in read_corpus()}
    with open_session(ctx.engine) as session:
        rows = session.execute(
            select(seen.text_id, seen.external_id).join(s, s.id == seen.source_id).where(s.name == SOURCE)
        )
        return {str(text_id): labels[external_id] for text_id, external_id in rows if external_id in labels}


def _tiers(ctx: common.Context) -> dict[str, int]:
    """Texts by how far what is believed of them can be trusted."""
    with open_session(ctx.engine) as session:
        return dict(Counter(str(text_tier(one.decisions)) for one in decided_texts(session, ctx.taxonomy)))


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
