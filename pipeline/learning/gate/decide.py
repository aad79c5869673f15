"""Hold a challenger against the champion: compare them, weigh them, judge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from pipeline.learning.gate.cost import measure_cost
from pipeline.learning.gate.paired_comparison import Duel, compare_models
from pipeline.learning.gate.report import REPORT_FILES, GateReport, Rows
from pipeline.learning.gate.rules import Margins, judge_challenger
from pipeline.learning.sets.examples import Examples
from pipeline.models.artefact import TrainedModel


@dataclass(frozen=True, slots=True)
class Contender:
    """A model and where it lies."""

    model: TrainedModel
    folder: Path

    @property
    def version(self) -> str:
        """Of the model."""
        return self.model.manifest.version


def hold_against(
    champion: Contender | None,
    challenger: Contender,
    examples: Examples,
    rows: Rows,
    margins: Margins,
    *,
    seed: int,
) -> GateReport:
    """Everything that the gate says of a challenger.

    Args:
        champion: the model that serves; None if there is none.
        challenger: the model that would.
        examples: texts that neither learnt from.
        rows: what these texts are.
        margins: how much worse it may be, and what it may cost.
        seed: of the resamples.
    """
    duel = None
    if champion is not None and champion.version != challenger.version:
        duel = _duel(champion.model, challenger.model, examples, seed)
    contenders = [challenger] if champion is None else [challenger, champion]
    costs = [measure_cost(one.model, examples.texts, one.folder, beside=REPORT_FILES) for one in contenders]
    return GateReport(
        purpose=challenger.model.manifest.purpose,
        challenger=challenger.version,
        champion=champion.version if champion is not None else None,
        verdict=judge_challenger(
            duel.comparison if duel is not None else None,
            costs[0],
            margins,
            challenger=challenger.version,
            champion=champion.version if champion is not None else None,
        ),
        margins=margins,
        rows=rows,
        costs=costs,
        duel=duel,
    )


def _duel(champion: TrainedModel, challenger: TrainedModel, examples: Examples, seed: int) -> Duel | None:
    try:
        return compare_models(champion, challenger, examples, rng=np.random.default_rng(seed))
    except InputError:
        # nothing to compare them on: the verdict says so
        return None
