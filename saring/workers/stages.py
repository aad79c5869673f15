"""Every stage that workers carry out: those of `pipeline`, and those that need what only the front door knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy.orm import Session

from pipeline.filters.centroid_stage import CentroidStage
from pipeline.filters.sentiment_stage import SentimentStage
from pipeline.learning.pseudolabel_stage import PseudolabelStage
from pipeline.progress import silent
from pipeline.queue.build import STAGE as QUEUE_STAGE
from pipeline.queue.config import QueueConfig
from pipeline.raters.judge_stage import JudgeStage
from pipeline.runs.stage import Part, Plan, RunView, Stage, Step, Values, WorkContext
from pipeline.settings import Settings
from pipeline.vectors.embed_stage import EmbedStage
from saring.cli import common
from saring.cli.label_studio import connect, current_projects
from sync.api.client import LabelStudio

_HOUR = 3600


@dataclass(frozen=True, slots=True)
class WholeStage:
    """A stage that is one piece of work: a draw over all texts, a training."""

    name: str
    what: str
    slice: str
    #: plain values from the parameters
    call: Callable[[common.Context, Mapping[str, Any]], Values]
    queue: str = "cpu"
    in_shards: bool = True
    limit_seconds: int = 12 * _HOUR

    def plan(self, ctx: WorkContext, params: Mapping[str, Any]) -> Plan:
        """One shard."""
        return Plan(self.slice, [Part()], params=dict(params))

    def work(self, ctx: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """All of it."""
        return {"report": [self.call(_ours(ctx), run.params)]}

    def reduce(self, ctx: WorkContext, session: Session, run: RunView, counts: Values) -> Values:
        """What the work reported."""
        report: Values = counts.get("report", [{}])[0]
        return report


@dataclass(frozen=True, slots=True)
class ProjectStage:
    """A stage that talks to Label Studio, a project a shard. Parameters: `project` (its id there; None: all)."""

    name: str
    what: str
    #: plain values from a project of ours and the parameters, which are added up over the projects
    call: Callable[[common.Context, LabelStudio, int, Mapping[str, Any]], Values]
    queue: str = "io"
    in_shards: bool = True
    limit_seconds: int = 2 * _HOUR

    def plan(self, ctx: WorkContext, params: Mapping[str, Any]) -> Plan:
        """The open projects."""
        with connect(_ours(ctx)) as client:
            found = current_projects(_ours(ctx), client, params.get("project"))
        return Plan("", [Part(args={"project": one.id}) for one in found], params=dict(params))

    def work(self, ctx: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """One project."""
        with connect(_ours(ctx)) as client:
            return self.call(_ours(ctx), client, part.args["project"], run.params)

    def reduce(self, ctx: WorkContext, session: Session, run: RunView, counts: Values) -> Values:
        """What was done, in all projects together."""
        return counts


def _ours(ctx: WorkContext) -> common.Context:
    """The context, as this package makes it."""
    assert isinstance(ctx, common.Context), "workers are given contexts by saring.workers.environment"
    return ctx


def _train(ctx: common.Context, params: Mapping[str, Any]) -> Values:
    from saring.actions.training_options import training_config
    from saring.cli.stages import train_from_store
    from saring.workers.reports import retrained

    config = training_config(
        ctx,
        backend=params.get("backend"),
        objective=params.get("objective", "f1"),
        vectors=params.get("vectors", False),
        transformer=params.get("transformer"),
    )
    done = train_from_store(ctx, config, None, without=frozenset(params.get("without", ())), progress=silent)
    return retrained(done)


def _build_queue(ctx: common.Context, params: Mapping[str, Any]) -> Values:
    from saring.cli.queue import run_build

    # a record keeps no order of names, and that of the mix says who draws first
    config = QueueConfig(**params["config"] | {"mix": dict(params["mix"])})
    return asdict(run_build(ctx, config, seed=params.get("seed"), progress=silent))


def _pull(ctx: common.Context, client: LabelStudio, project: int, _params: Mapping[str, Any]) -> Values:
    from saring.workers.reports import plain
    from sync.pull.pull import pull
    from sync.quality.review import request_reviews

    report = pull(
        ctx.engine,
        client,
        taxonomy=ctx.taxonomy,
        projects=[project],
        now=datetime.now(UTC),
        languages=ctx.settings.languages,
    )
    asked = request_reviews(ctx.engine, client, project_id=project).asked if not report.gone else 0
    return plain(report) | {"reviews_asked": asked}


def _reconcile(ctx: common.Context, client: LabelStudio, project: int, params: Mapping[str, Any]) -> Values:
    from saring.workers.reports import plain
    from sync.pull.reconcile import reconcile

    report = reconcile(
        ctx.engine,
        client,
        taxonomy=ctx.taxonomy,
        projects=[project],
        now=datetime.now(UTC),
        languages=ctx.settings.languages,
        withdraw_deleted=params.get("withdraw_deleted", False),
    )
    return plain(report)


def _push(ctx: common.Context, client: LabelStudio, project: int, params: Mapping[str, Any]) -> Values:
    from saring.cli.sync_push import push_projects

    chosen = [one for one in current_projects(ctx, client) if one.id == project]
    done = push_projects(ctx, client, chosen, params.get("limit"), silent)
    return {"projects": [asdict(one) for one in done]}


def _predict(ctx: common.Context, client: LabelStudio, project: int, _params: Mapping[str, Any]) -> Values:
    from saring.cli.sync_push import predict_projects

    chosen = [one for one in current_projects(ctx, client) if one.id == project]
    done = predict_projects(ctx, client, chosen, silent)
    return {"projects": [asdict(one) for one in done]}


_TRAIN = WholeStage("train", "training", "sfw", _train)
STAGES: Mapping[str, Stage] = MappingProxyType(
    {
        stage.name: stage
        for stage in (
            EmbedStage(),
            JudgeStage(),
            CentroidStage(),
            SentimentStage(),
            PseudolabelStage(),
            _TRAIN,
            WholeStage(QUEUE_STAGE, "drawing the queue", "", _build_queue),
            ProjectStage("pull", "pulling", _pull),
            ProjectStage("reconcile", "comparing", _reconcile),
            ProjectStage("push", "pushing", _push),
            ProjectStage("predict-ahead", "writing predictions", _predict),
        )
    }
)


def stages_for(settings: Settings) -> Mapping[str, Stage]:
    """The stages, by name, with the training on the queue that the settings name."""
    return {**STAGES, _TRAIN.name: replace(_TRAIN, queue=settings.train_queue)}
