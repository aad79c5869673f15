"""Propose a better prompt for a language model from people's corrections, and measure it beside the present one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine

from pipeline.ledger.consensus.compare import Contest
from pipeline.llm.budget import Allowance
from pipeline.llm.config import Additions, LlmConfig, WorkedExample, with_additions
from pipeline.measure.metrics import rounded
from pipeline.progress import Progress, silent
from pipeline.raters.improve.asking import Spending, Verdicts, ask
from pipeline.raters.improve.gold import GoldText, read_gold
from pipeline.raters.improve.lessons import LabelErrors, choose_examples, errors_by_label
from pipeline.raters.improve.measuring import compare_prompts
from pipeline.raters.improve.notes import MOST_NOTES, NoteWriter
from pipeline.raters.improve.proposal import FOLDER, how_to_adopt, write_proposal
from pipeline.raters.llm.prompt import Prompt
from pipeline.raters.llm.rater import LlmRater
from pipeline.raters.make import llm_rater
from pipeline.settings import Settings
from pipeline.store.session import open_session
from pipeline.taxonomy import Taxonomy

#: bytes of a token, a low estimate
_PER_TOKEN = 3
#: the longest reply in tokens where the configuration names none
_LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class ImproveOptions:
    """Limits on a proposal and on its cost."""

    #: largest number of texts to learn from, and of texts to measure on
    limit: int = 200
    #: largest number of worked examples in the prompt
    examples: int = 12
    #: have the model write notes that sharpen definitions
    notes: bool = True
    most_tokens: int | None = None
    most_cost: float | None = None
    #: only say what it would take
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Forecast:
    """An estimate of the cost of a call, before anything is sent: an upper limit."""

    #: texts to learn from, and to measure on
    lessons: int
    exam: int
    #: requests, without those whose replies are stored
    requests: int
    #: tokens and their cost, estimated from lengths and the longest reply
    tokens: int
    cost: float


@dataclass
class Improvement:
    """A proposal and its figures; without a file, `why` says what is missing."""

    rater: str
    forecast: Forecast
    gold_by: str
    spending: Spending = field(default_factory=Spending)
    #: number of errors of the present prompt on the texts to learn from: [wrongly given, missed] by label
    errors: dict[str, tuple[int, int]] = field(default_factory=dict)
    #: number of examples, and the notes by label
    examples: int = 0
    notes: dict[str, str] = field(default_factory=dict)
    #: texts to measure on without a verdict, by either prompt
    unanswered: dict[str, dict[str, int]] = field(default_factory=dict)
    #: F1 of the present prompt (first) and of the proposed one (second)
    comparison: Contest | None = None
    file: Path | None = None
    adopt: Sequence[str] = ()
    why: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, numbers rounded to four places."""
        plain: dict[str, Any] = rounded(asdict(self))
        if plain["comparison"] is not None:
            # A rater's list of labels has no order, so there is nothing to rank.
            del plain["comparison"]["macro_average_precision"]
        return {**plain, "file": str(self.file) if self.file is not None else None}


def improve(
    config: LlmConfig,
    settings: Settings,
    taxonomy: Taxonomy,
    engine: Engine,
    options: ImproveOptions,
    *,
    now: datetime,
    tell: Callable[[Forecast], None] = lambda _: None,
    progress: Progress = silent,
) -> Improvement:
    """Propose a prompt, measure it on gold that it was not made from, and write it to a file. Nothing else changes.

    Replies are stored as they arrive: after a kill, or with a larger budget, the same call goes on.

    Args:
        config: the rater (its model must be named: see `find_model`).
        settings: of the home.
        taxonomy: the labels.
        engine: the store.
        options: see `ImproveOptions`.
        now: the time, for the file.
        tell: called with the forecast before anything is sent.
        progress: called as replies arrive.

    Raises:
        InputError: people judged too few texts.
        UsageError: a limit on cost is given, and the price is not known.
        LlmError: the server refuses the key.
        LlmUnavailable: the server does not answer any more.
    """
    progress(0, None, "reading what people judged")
    with open_session(engine) as session:
        halves = read_gold(session, taxonomy, limit=options.limit, seed=settings.seed)
        rater = llm_rater(config, settings, taxonomy, engine)
        allowance = rater.allowance(session, options.most_tokens, options.most_cost)
    labels = Prompt(taxonomy, config.prompt).labels
    forecast = _forecast(config, taxonomy, rater, halves.lessons, halves.exam, options)
    result = Improvement(config.name, forecast, halves.gold_by)
    tell(forecast)
    if options.dry_run:
        result.why = "nothing was sent"
        return result

    def asked(who: LlmRater, texts: Sequence[GoldText], what: str) -> Verdicts:
        def step(answered: int) -> None:
            progress(answered, len(texts), what)

        return ask(who, texts, allowance, result.spending, step)

    before = asked(rater, halves.lessons, "the present prompt, on texts to learn from")
    if _stopped(result):
        return result
    errors = errors_by_label(halves.lessons, before.given, labels)
    result.errors = {label: (len(own.wrongly_given), len(own.missed)) for label, own in errors.items()}
    added = _additions(config, taxonomy, engine, errors, labels, options, allowance, result)
    if _stopped(result):
        return result
    if not added.examples and not added.notes:
        result.why = (
            "the present prompt makes no error on the texts to learn from"
            if not errors
            else "no error can be shown: its texts are too long, or people did not decide all labels of them"
        )
        return result
    present = asked(rater, halves.exam, "the present prompt, on texts to measure on")
    if _stopped(result):
        return result
    proposed_rater = llm_rater(with_additions(config, added), settings, taxonomy, engine)
    proposed = asked(proposed_rater, halves.exam, "the proposed prompt, on texts to measure on")
    if _stopped(result):
        return result
    result.unanswered = {"present": dict(present.no_verdict), "proposed": dict(proposed.no_verdict)}
    rng = np.random.default_rng(settings.seed)
    result.comparison = compare_prompts(present, proposed, halves.exam, labels, rng=rng)
    result.file = write_proposal(settings.home / FOLDER, config, added, _measured(result, halves.exam), now=now)
    result.adopt = tuple(how_to_adopt(result.file, config, settings))
    return result


def _additions(
    config: LlmConfig,
    taxonomy: Taxonomy,
    engine: Engine,
    errors: Mapping[str, LabelErrors],
    labels: Sequence[str],
    options: ImproveOptions,
    allowance: Allowance,
    result: Improvement,
) -> Additions:
    """Examples and notes, beside those that the prompt has already."""
    chosen = choose_examples(errors, labels, options.examples)
    result.examples = len(chosen)
    if options.notes and errors:
        result.notes = NoteWriter(config, taxonomy, engine).write(errors, allowance, result.spending)
    examples = [
        WorkedExample(text=text.masked, labels=tuple(label for label in labels if label in text.asserted))
        for text in chosen
    ]
    earlier = config.prompt.added
    texts = {example.text for example in examples}
    kept = [example for example in earlier.examples if example.text not in texts]
    return Additions(examples=(*kept, *examples), notes={**earlier.notes, **result.notes})


def _stopped(result: Improvement) -> bool:
    if result.spending.stopped is not None:
        result.why = f"stopped: {result.spending.stopped}; the same command with a larger budget goes on"
        return True
    return False


def _forecast(
    config: LlmConfig,
    taxonomy: Taxonomy,
    rater: LlmRater,
    lessons: Sequence[GoldText],
    exam: Sequence[GoldText],
    options: ImproveOptions,
) -> Forecast:
    present = rater.unpaid([text.masked for text in (*lessons, *exam)])
    notes = MOST_NOTES if options.notes else 0
    system = len(Prompt(taxonomy, config.prompt).system.encode())
    average = sum(len(text.masked.encode()) for text in (*lessons, *exam)) // (len(lessons) + len(exam))
    added = options.examples * (average + 60) + notes * 300
    reply = config.sampling.max_tokens or _LONGEST
    requests = present + len(exam) + notes
    prompt_bytes = present * (system + average) + len(exam) * (system + added + average) + notes * 12 * (average + 200)
    tokens = prompt_bytes // _PER_TOKEN
    return Forecast(
        len(lessons),
        len(exam),
        requests,
        tokens + requests * reply,
        config.price.of(tokens, requests * reply),
    )


def _measured(result: Improvement, exam: Sequence[GoldText]) -> dict[str, Any]:
    assert result.comparison is not None
    macro = rounded(asdict(result.comparison.macro_f1))
    return {
        "texts": len(exam),
        "gold_by": result.gold_by,
        "macro_f1_present": _interval(macro["first"]),
        "macro_f1_proposed": _interval(macro["second"]),
        "difference": _interval(macro["difference"]),
    }


def _interval(estimate: Mapping[str, Any]) -> list[Any]:
    return [estimate["value"], estimate["low"], estimate["high"]]
