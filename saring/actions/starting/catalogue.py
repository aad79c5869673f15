"""The stages that can be started from a form, and the two halves of a start.

Whoever asks has the form checked and the request stored (`ask`). A worker then cuts the work and opens the runs
(`begin`): at a million texts that takes longer than a person waits for a page.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from sqlalchemy.orm import Session

from pipeline.errors import RunConflict, SaringError, StoreUnavailable, UsageError
from pipeline.plural import counted
from pipeline.runs import requests
from pipeline.runs.book import open_run
from pipeline.runs.record import one_line
from pipeline.runs.shard import is_worth_retrying
from pipeline.runs.stage import Stage
from pipeline.store.locks import lock_key, tried
from pipeline.store.session import open_session
from pipeline.store.tables.core import Run
from saring.actions.starting import machines, people, training
from saring.actions.starting.common import Startable
from saring.actions.starting.forms import Form, Values, read_form, shown
from saring.context import Context

log = logging.getLogger(__name__)

STARTABLE: Mapping[str, Startable] = MappingProxyType(
    {
        each.name: each
        for each in (
            machines.INGEST,
            machines.EMBED,
            machines.JUDGE,
            machines.TRANSLATE,
            machines.CENTROID,
            machines.SENTIMENT,
            machines.PSEUDOLABEL,
            machines.SEARCH,
            training.TRAIN,
            people.QUEUE,
            people.REVIEW,
            people.PUSH,
            people.PULL,
            people.RECONCILE,
            people.PREDICT,
        )
    }
)
#: parameters of a run in which the values of a form may be
_NESTED = ("cut", "config", "transformer")


def startable(stage: str) -> Startable:
    """The stage of that name.

    Raises:
        UsageError: it cannot be started from a form.
    """
    if stage not in STARTABLE:
        raise UsageError(f"the stage {stage!r} cannot be started here: choose one of {', '.join(STARTABLE)}")
    return STARTABLE[stage]


def form_of(home: Context, stage: str) -> Form:
    """The form of a stage, with the choices of this home.

    Raises:
        UsageError: there is no such stage.
    """
    return startable(stage).form(home)


def ask(home: Context, stage: str, given: Mapping[str, Any], *, by: str = "") -> int:
    """Check what was typed, and store the request; its id. Nothing is sent yet.

    Args:
        home: the home with the store.
        stage: name of the stage.
        given: what was typed, by field (see `read_form`).
        by: name of the account that asks.

    Raises:
        FormError: a value cannot be used.
        UsageError: the stage cannot be started now.
    """
    each = startable(stage)
    form = each.form(home)
    if form.why_closed is not None:
        raise UsageError(form.why_closed)
    values = read_form(form, given)
    if stage != machines.PSEUDOLABEL.name or values["labels"]:
        # The worker looks for scarce labels, which takes long.
        each.starts(home, dict(values))
    return requests.keep_request(home.engine, stage, values, asked_by=by)


def begin(home: Context, stages: Mapping[str, Stage[Any, Any]], number: int) -> Iterator[tuple[int, list[int]]]:
    """Open the runs of a request, unless they were opened before; each with the numbers of the shards to send.

    What stands against it is recorded with the request. An error that may pass is raised, and the request waits on.

    Raises:
        RunMissing: there is no such request.
        StoreUnavailable: the database cannot be reached.
        Exception: any other error for which `is_worth_retrying` is true, except that the stage is running already.
    """
    with tried(home.engine, lock_key("request", str(number))) as alone:
        if not alone:
            return
        with open_session(home.engine) as session:
            request = requests.read_request(session, number)
        if not request.is_waiting:
            return
        refused: list[str] = []
        try:
            each = startable(request.stage)
            # The values were checked when they were asked for; a later version may have more fields.
            starts = each.starts(home, shown(each.form(home), request.form))
            for place, (name, params) in enumerate(starts, start=1):
                plan = stages[name].plan(home, params)
                try:
                    also = partial(_note, number, place == len(starts))
                    yield open_run(home.engine, name, plan, also=also)
                except RunConflict as conflict:
                    if _is_begun(home, number, name, plan.slice):
                        continue
                    refused.append(str(conflict))
        except Exception as error:
            if is_worth_retrying(error):
                if not isinstance(error, StoreUnavailable):
                    requests.note_trouble(home.engine, number, one_line(error))
                raise
            refused.append(str(error) if isinstance(error, SaringError) else one_line(error))
            log.warning("request %s, %s, cannot begin: %s", number, request.stage, one_line(error))
            log.debug("the error of request %s", number, exc_info=error)
        with home.begin() as session:
            runs = requests.read_request(session, number).runs
            requests.settle(session, number, runs, _joined(refused))


def values_of_run(form: Form, request: Values | None, params: Mapping[str, Any]) -> Values:
    """The values of a form with which a run was begun, as well as its record tells: to begin another like it. Pure.

    Args:
        form: the form of its stage.
        request: the values that were asked for; None: a command or the schedule began it.
        params: the run's parameters.
    """
    if request is not None:
        return {name: value for name, value in request.items() if name in {each.name for each in form.fields}}
    flat = dict(params)
    for name in _NESTED:
        if isinstance(params.get(name), Mapping):
            flat |= params[name]
    flat |= {f"mix_{name}": share for name, share in params.get("mix") or () if isinstance(name, str)}
    if isinstance(params.get("label"), str):
        flat["labels"] = [params["label"]]
    return {each.name: flat[each.name] for each in form.fields if flat.get(each.name) is not None}


def _note(number: int, last: bool, session: Session, run_id: int) -> None:
    requests.add_run(session, number, run_id, last=last)


def _is_begun(home: Context, number: int, stage: str, part: str) -> bool:
    """True where the running run is this request's own: its worker died before it had said so."""
    with open_session(home.engine) as session:
        runs = [session.get(Run, run) for run in requests.read_request(session, number).runs]
    return any(run is not None and (run.stage, run.slice) == (stage, part) for run in runs)


def _joined(refused: Sequence[str]) -> str | None:
    if not refused:
        return None
    more = len(refused) - 1
    return refused[0] if not more else f"{refused[0]} ({counted(more, 'more')})"
