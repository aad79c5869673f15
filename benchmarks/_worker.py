"""The worker of `saring worker`, with a stage and a Celery task that do nothing.

Started by the benchmarks as a process of its own, with the home in `SARING_HOME`. Broker settings, environment and
logging are those of `saring worker`.

    python benchmarks/_worker.py --concurrency 1
"""

# ruff: noqa: ARG002 - a stage takes what the protocol gives, whether it needs it or not
from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from sqlalchemy.orm import Session

from pipeline.runs.stage import Part, Plan, RunView, Stage, Step, Values, WorkContext
from pipeline.settings import Settings
from saring.context import Context
from saring.services import ensure_broker
from saring.workers.app import QUEUES, make_app
from saring.workers.environment import WorkEnvironment
from saring.workers.logs import log_to_stderr

#: a plain Celery task that does nothing
NOTHING = "benchmark.nothing"


@dataclass(frozen=True, slots=True)
class Idle:
    """A stage whose shards do nothing. Parameters: `shards`, `nonce` (so that no run is taken for another)."""

    name: str = "benchmark-idle"
    report: type[Values] = dict
    queue: str = "cpu"
    what: str = "doing nothing"
    in_shards: bool = True
    together: bool = False
    limit_seconds: int = 3600

    def plan(self, ctx: WorkContext, params: Mapping[str, Any]) -> Plan:
        """So many shards."""
        return Plan("", [Part() for _ in range(params["shards"])], params=dict(params))

    def work(self, ctx: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Nothing."""
        return {"done": 1}

    def reduce(self, ctx: WorkContext, session: Session, run: RunView, counts: Values) -> Values:
        """Return the counts."""
        return counts


class Environment(WorkEnvironment):
    """That of `saring worker`, and a stage that does nothing."""

    @property
    def stages(self) -> Mapping[str, Stage]:
        """The stages, by name."""
        idle = Idle()
        return {**super().stages, idle.name: idle}


def app_of(settings: Settings, environment: WorkEnvironment) -> Celery:
    """The application of `saring worker`, and a task that does nothing."""
    app = make_app(ensure_broker(settings), environment, settings)

    @app.task(name=NOTHING, shared=False)
    def nothing(*_: object) -> int:
        return 1

    return app


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concurrency", type=int, default=1)
    options = parser.parse_args()
    settings = Context().settings
    setup_logging.connect(lambda **_: log_to_stderr(settings.log_format), weak=False)
    app = app_of(settings, Environment())
    queues = ",".join(QUEUES)
    app.worker_main(["worker", "--queues", queues, "--concurrency", str(options.concurrency), "--loglevel", "INFO"])


if __name__ == "__main__":
    main()
