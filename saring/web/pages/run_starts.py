"""The pages below /runs that start something: forms of stages, what was asked for, a training now; and the schedule."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from fastapi.responses import Response

from pipeline.errors import InputError, UsageError
from pipeline.learning.due import news_since_training
from pipeline.runs.requests import Request, read_request, request_of_run, withdraw
from pipeline.runs.watch import status
from pipeline.settings import load_settings
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from saring.actions.outlook import next_training
from saring.web.routing import Pages
from saring.web.run_figures import SCHEDULE, WORKERS, last_sent_times, served
from saring.web.run_words import JOBS
from saring.web.visit import Visit

pages = Pages("runs")

#: address that files are uploaded to
UPLOAD_PATH = "/runs/incoming"
#: time after which a request that waits makes us look whether any worker is there
_LOOK_AFTER = timedelta(seconds=10)


@pages.get("/start", role=Role.MAINTAINER)
def stages(visit: Visit) -> Response:
    """The stages that can be started."""
    from saring.actions.starting.catalogue import STARTABLE

    forms = [each.form(visit.home) for each in STARTABLE.values()]
    return visit.page("runs/stages.html", forms=forms)


@pages.get("/start/{stage}", role=Role.MAINTAINER)
def form(visit: Visit, stage: str, like: int | None = None, file: str | None = None) -> Response:
    """The form of a stage; with the values of an earlier run, or with a file, if one is named."""
    from saring.actions.starting.catalogue import form_of, values_of_run
    from saring.actions.starting.forms import shown

    made = form_of(visit.home, stage)
    values: dict[str, Any] = {} if file is None else {"file": file}
    if like is not None:
        with open_session(visit.home.engine) as session:
            run = status(session, like)
            if run.stage != stage:
                raise UsageError(visit.say("Run %(run)s is not one of this stage.", run=like))
            request = request_of_run(session, like)
        values = values_of_run(made, request.form if request is not None else None, run.params)
    return visit.page("runs/form.html", form=made, values=shown(made, values), problems={}, like=like)


@pages.post("/start/{stage}", role=Role.MAINTAINER, act="run.start")
def start(visit: Visit, stage: str) -> Response:
    """Ask the workers to start a stage."""
    from saring.actions.starting.catalogue import form_of
    from saring.actions.starting.forms import FormError, as_posted, shown
    from saring.workers.asking import start as ask_workers

    made = form_of(visit.home, stage)
    posted = {name: value if isinstance(value, list) else [value] for name, value in visit.fields.items()}
    given = as_posted(made, posted)
    if made.closed is not None:
        return visit.wrong(
            visit.say(made.closed, **made.closed_values),
            "runs/form.html",
            form=made,
            values=shown(made, given),
            problems={},
            like=None,
        )
    try:
        number = ask_workers(visit.home, stage, given, by=visit.account.name)
    except FormError as error:
        return visit.wrong(
            visit.say("Some values cannot be used. Nothing was started."),
            "runs/form.html",
            form=made,
            values=shown(made, given),
            problems={problem.field: visit.say(problem.message, **problem.values) for problem in error.problems},
            like=None,
        )
    visit.note(request=number)
    return visit.done(f"/runs/asked/{number}", visit.say("It was asked for. A worker begins it in a moment."))


@pages.post("/incoming", role=Role.MAINTAINER, act="run.upload")
def upload(visit: Visit) -> Response:
    """Keep a file in the folder of incoming files, and show the form that ingests it."""
    from saring.actions.incoming import UploadRefused, keep_upload
    from saring.actions.starting.catalogue import form_of
    from saring.actions.starting.forms import shown

    file = visit.files.get("file")
    problem = visit.say("Choose a file first.")
    if file is not None and file.filename:
        try:
            with closing(file.file):
                name = keep_upload(visit.home.settings, file.filename, file.file, now=datetime.now(UTC))
        except UploadRefused as error:
            problem = visit.say(error.message, **error.values)
        except InputError as error:
            problem = str(error)
        else:
            visit.note(name=name, bytes=file.size)
            message = visit.say("%(name)s was uploaded. Fill in the form, and start.", name=name)
            return visit.done(f"/runs/start/ingest?file={quote(name)}", message)
    made = form_of(visit.home, "ingest")
    return visit.wrong(problem, "runs/form.html", form=made, values=shown(made, {}), problems={}, like=None)


@pages.get("/asked/{number:int}", role=Role.VIEWER)
def asked(visit: Visit, number: int) -> Response:
    """A request: whether a worker has begun it; if it has, its run."""
    with open_session(visit.home.engine) as session:
        request = read_request(session, number)
    if not request.is_waiting and len(request.runs) == 1 and request.error is None:
        return visit.done(f"/runs/{request.runs[0]}", visit.say("A worker has begun the run."))
    return visit.page("runs/asked.html", request=request, missing=_missing(visit, request))


@pages.post("/asked/{number:int}/withdraw", role=Role.MAINTAINER, act="run.withdraw")
def take_back(visit: Visit, number: int) -> Response:
    """Take a request back that no worker has begun."""
    reason = visit.say("%(who)s took it back.", who=visit.account.name)
    if withdraw(visit.home.engine, number, reason):
        return visit.done("/runs", visit.say("It was taken back. Nothing is started."))
    return visit.done(f"/runs/asked/{number}", visit.say("A worker has begun it already."))


@pages.post("/retrain", role=Role.MAINTAINER, act="run.retrain")
def retrain(visit: Visit) -> Response:
    """Ask for a training, as the training button of Label Studio does."""
    from saring.workers.asking import retrain_now

    retrain_now(visit.home)
    message = visit.say("A training was asked for. It begins when a worker is free, and is then in this list.")
    return visit.done("/runs?stage=train", message)


@pages.get("/schedule", role=Role.VIEWER)
def schedule(visit: Visit) -> Response:
    """The regular jobs: when each was sent, when it is sent next, and the settings that steer it."""
    from saring.workers.schedule import planned

    now = datetime.now(UTC)
    # Workers take a change of the settings file up while this process still has the old values.
    settings = load_settings(visit.home.settings.home)
    sent = visit.figure(SCHEDULE, last_sent_times, timedelta(seconds=10), wait=0.2)
    known = sent.value or {"sending": False, "jobs": None}
    times = {name: datetime.fromisoformat(at) if at else None for name, at in (known["jobs"] or {}).items()}
    with open_session(visit.home.engine) as session:
        news = news_since_training(session)
    return visit.page(
        "runs/schedule.html",
        jobs=planned(settings, times, now=now, running=known["sending"]),
        words=JOBS,
        silent=sent.value is not None and not known["sending"],
        next_training=next_training(news, labels=settings.retrain_labels, hours=settings.retrain_hours, now=now),
        answers=news.judgements,
        trained_at=news.trained_at,
        env_file=settings.env_file,
    )


def _missing(visit: Visit, request: Request) -> str | None:
    """A sentence about the worker that is missing, for a request that waits for some time; None: none is."""
    from saring.actions.starting.catalogue import STARTABLE

    if not request.is_waiting or datetime.now(UTC) - request.asked_at < _LOOK_AFTER:
        return None
    queues = visit.figure(WORKERS, served, timedelta(seconds=20), wait=0.25)
    if queues.value is None:
        return None
    if queues.value["queues"] is None:
        return visit.say("The broker does not answer: start everything with `saring up`.")
    needed = STARTABLE[request.stage].queue if request.stage in STARTABLE else "io"
    if needed in queues.value["queues"]:
        return visit.say("The workers are busy. It begins when one of them is free.")
    return visit.say(
        "No running worker takes jobs of the kind %(queue)s: start one with `saring up` or `saring worker`.",
        queue=needed,
    )
