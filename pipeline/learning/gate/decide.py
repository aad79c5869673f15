"""Compare a challenger with the champion: figures, costs, verdict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from pipeline.learning.gate.cost import measure_cost
from pipeline.learning.gate.paired_comparison import PairedComparison, compare_models
from pipeline.learning.gate.report import REPORT_FILES, GateReport, Rows
from pipeline.learning.gate.rules import Margins, judge_challenger
from pipeline.learning.probes.comparison import compare_on_probes
from pipeline.learning.probes.sentences import ProbeSentences
from pipeline.learning.sets.examples import Examples
from pipeline.models.artefact import TrainedModel
from pipeline.vectors.stored import computed_once


@dataclass(frozen=True, slots=True)
class Contender:
    """A model and its folder."""

    model: TrainedModel
    folder: Path
    #: the model that is timed, where `model` reads what a server has to compute; None: `model`
    served: TrainedModel | None = None

    @property
    def version(self) -> str:
        """Version of the model."""
        return self.model.manifest.version


def compare_with_champion(
    champion: Contender | None,
    challenger: Contender,
    examples: Examples,
    rows: Rows,
    margins: Margins,
    *,
    seed: int,
    probes: ProbeSentences | None = None,
) -> GateReport:
    """Compare a challenger with the champion and decide by the rules of the gate.

    Args:
        champion: the current champion; None if there is none.
        challenger: the model that may replace it.
        examples: texts that neither was trained on.
        rows: description of these texts.
        margins: how much worse it may be, and what it may cost.
        seed: of the resamples.
        probes: pairs of sentences that neither may get worse on; None: there are none.
    """
    paired = on_probes = None
    if champion is not None and champion.version != challenger.version:
        old, new = computed_once(champion.model, challenger.model)
        paired = _paired(old, new, examples, seed)
        on_probes = compare_on_probes(old, new, probes or ProbeSentences())
    contenders = [challenger] if champion is None else [challenger, champion]
    costs = [
        measure_cost(contender.served or contender.model, examples.texts, contender.folder, beside=REPORT_FILES)
        for contender in contenders
    ]
    return GateReport(
        purpose=challenger.model.manifest.purpose,
        harmful=bool(challenger.model.manifest.data.get("harmful_labels", True)),
        challenger=challenger.version,
        champion=champion.version if champion is not None else None,
        verdict=judge_challenger(
            paired.comparison if paired is not None else None,
            costs[0],
            margins,
            challenger=challenger.version,
            champion=champion.version if champion is not None else None,
            kinds=on_probes.kinds if on_probes is not None else (),
        ),
        margins=margins,
        rows=rows,
        costs=costs,
        paired=paired,
        probes=on_probes,
    )


def _paired(champion: TrainedModel, challenger: TrainedModel, examples: Examples, seed: int) -> PairedComparison | None:
    try:
        return compare_models(champion, challenger, examples, rng=np.random.default_rng(seed))
    except InputError:
        # There is no text to compare them on, which the verdict says.
        return None
