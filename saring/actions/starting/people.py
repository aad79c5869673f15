"""The stages that draw the queue for people, find disputes, and work in Label Studio."""

from __future__ import annotations

from pipeline.queue.config import FIRST_MIX, QueueConfig
from pipeline.queue.strategies.known import STRATEGIES
from saring.actions.label_studio_stages import ProjectParams, PushParams, ReconcileParams
from saring.actions.queue import QueueParams
from saring.actions.review import FindParams
from saring.actions.starting.common import SEED, Start, Startable, as_number, project_field, rare_number
from saring.actions.starting.forms import Field, Form, FormError, Problem, Values
from saring.context import Context

_DEFAULT, _FIND = QueueConfig(), FindParams()
#: what the name of the field of a strategy begins with
_MIX = "mix_"
_STRATEGY_HELP = {
    "uncertain": "texts of which the champion is not sure",
    "scarce": "texts that may have a label with few gold texts",
    "suspect": "texts whose label a filter rejected, or on which machines disagree",
    "random": "texts drawn uniformly at random, which represent the stream",
}
NO_SHARES = "give at least one strategy a share above 0"
NO_PROJECT = "There is no open project: set one up with `saring sync setup`."
MESSAGES = (NO_SHARES, NO_PROJECT)


def _share(name: str, title: str, help_: str, default: float, *, rare: bool = False) -> Field:
    return Field(name, "number", title, help_, default=default, least=0, most=1, needed=True, rare=rare)


def _queue_form(_home: Context) -> Form:
    mix = [
        _share(f"{_MIX}{name}", f"Share: {name}", _STRATEGY_HELP.get(name, ""), FIRST_MIX.get(name, 0.0))
        for name in STRATEGIES
    ]
    fields = (
        Field(
            "size",
            "whole",
            "Texts",
            "They replace the queued texts that have not been pushed.",
            default=_DEFAULT.size,
            least=1,
            most=100_000,
            needed=True,
        ),
        *mix,
        _share("blind_share", "Share without ticks", "To measure how much ticks sway people.", _DEFAULT.blind_share),
        _share("gold_share", "Share of planted texts", "Their answer is known.", _DEFAULT.gold_share),
        _share("benign_share", "Share that is not harsh", "At least.", _DEFAULT.benign_share),
        rare_number("harsh_run", "whole", "Harsh texts in a row", "At most.", _DEFAULT.harsh_run, least=1, most=1000),
        rare_number(
            "near",
            "number",
            "Largest similarity",
            "Of two queued texts, as a cosine; more similar ones are left out.",
            _DEFAULT.near,
            least=0.01,
            most=1,
        ),
        rare_number(
            "gold_target",
            "whole",
            "Gold texts of a label",
            "The number that each label should have.",
            _DEFAULT.gold_target,
            least=1,
            most=1_000_000,
        ),
        rare_number(
            "pool",
            "whole",
            "Candidates",
            "At most so many texts are drawn from.",
            _DEFAULT.pool,
            least=1,
            most=10_000_000,
        ),
        SEED,
    )
    return Form("queue", "Build the queue", "Draw the texts that people should judge next.", fields)


def _queue(_home: Context, values: Values) -> list[Start]:
    mix = {name: values.pop(f"{_MIX}{name}") for name in STRATEGIES}
    if sum(mix.values()) <= 0:
        raise FormError([Problem(f"{_MIX}{next(iter(STRATEGIES))}", NO_SHARES)])
    seed = values.pop("seed")
    return [("queue", QueueParams(QueueConfig(mix=mix, **values), tuple(mix.items()), seed))]


def _project_form(home: Context, stage: str, title: str, what: str, *more: Field) -> Form:
    field, count = project_field(home)
    return Form(stage, title, what, (field, *more), None if count else NO_PROJECT)


def _pull_form(home: Context) -> Form:
    return _project_form(home, "pull", "Pull", "Copy changed annotations from Label Studio into the ledger.")


def _pull(_home: Context, values: Values) -> list[Start]:
    return [("pull", ProjectParams(as_number(values["project"])))]


def _reconcile_form(home: Context) -> Form:
    withdraw = Field(
        "withdraw_deleted",
        "switch",
        "Withdraw the judgements of tasks that were removed from Label Studio",
        default=False,
        rare=True,
    )
    what = "Compare every annotation in Label Studio with the ledger, and repair differences."
    return _project_form(home, "reconcile", "Reconcile", what, withdraw)


def _reconcile(_home: Context, values: Values) -> list[Start]:
    return [("reconcile", ReconcileParams(as_number(values["project"]), values["withdraw_deleted"]))]


def _push_form(home: Context) -> Form:
    limit = Field(
        "limit",
        "whole",
        "At most so many texts for each project",
        "Leave it empty for all queued texts; a personal project gets a day's work.",
        least=1,
        most=1_000_000,
    )
    return _project_form(home, "push", "Push", "Send queued texts to Label Studio, with labels ticked.", limit)


def _push(_home: Context, values: Values) -> list[Start]:
    return [("push", PushParams(as_number(values["project"]), values["limit"]))]


def _predict_form(home: Context) -> Form:
    return _project_form(home, "predict-ahead", "Renew ticks", "Write new predictions for all open tasks.")


def _predict(_home: Context, values: Values) -> list[Start]:
    return [("predict-ahead", ProjectParams(as_number(values["project"])))]


def _review_form(_home: Context) -> Form:
    fields = (
        Field("suspects", "switch", "Look for suspected label errors too", default=True),
        rare_number(
            "learnt",
            "whole",
            "Texts to learn from",
            "The models that suspect errors learn from at most so many.",
            _FIND.learnt,
            least=100,
            most=10_000_000,
        ),
        rare_number(
            "most",
            "whole",
            "Texts of each kind",
            "At most so many are kept for reviewers.",
            _FIND.most,
            least=1,
            most=1_000_000,
        ),
        SEED,
    )
    what = "Find disagreements, undecided texts and suspected label errors."
    return Form("review", "Find disputes", what, fields)


def _review(_home: Context, values: Values) -> list[Start]:
    return [("review", FindParams(**values))]


QUEUE = Startable("queue", _queue_form, _queue)
REVIEW = Startable("review", _review_form, _review)
PULL = Startable("pull", _pull_form, _pull)
RECONCILE = Startable("reconcile", _reconcile_form, _reconcile)
PUSH = Startable("push", _push_form, _push)
PREDICT = Startable("predict-ahead", _predict_form, _predict)
