"""Labels that each way of choosing texts needs, on real labelled sets, by replays with several seeds.

The same model (TF-IDF and a logistic regression that weighs both answers alike), the same first 100 texts, the same
texts to be judged on, batches of 100. `enough` is the number of labels that bring macro-F1 to 95% of that of a model
with all labels, for good; `enough_precision` is the same for average precision.

Peers are rules by the own code of small-text (`small_text_...`) and scikit-activeml (`skactiveml_...`), and the usual
ones, written here again after their papers: `random`, `margin`, `uncertainty` (entropy), `disagreement` (query by
bagging). Ours are `spread`, `seek`, and `mix`: that of `saring queue build`, the only one that draws with known
probabilities.

- `sexist`: English posts (`edos_en`); `hate`: Indonesian posts (`id_multi`);
- `rare`: pornographic posts in Indonesian (`netifier_id`), of which so many are left out that 1% have the label.

    python benchmarks/label_efficiency.py [--only hate] [--seeds 5] [--plot folder]

Prints JSON lines.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from _active_peers import PEERS
from _measure import answers_to, emit
from sklearn.feature_extraction.text import TfidfVectorizer

from pipeline.queue.config import FIRST_MIX
from pipeline.queue.queries import QUERIES, Query, of_mix
from pipeline.queue.replay import LabelledSet, ReplayConfig, replay
from pipeline.queue.replay_plot import plot
from pipeline.texts.near_duplicates import near_duplicate_groups

#: name: set, label, share of yes (None: as it is), labels to buy
TASKS = {
    "sexist": ("edos_en", "sexist", None, 2_600),
    "hate": ("id_multi", "hate", None, 2_400),
    "rare": ("netifier_id", "porn", 0.01, 1_000),
}
RULES = ("random", "margin", "uncertainty", "disagreement", "spread", "seek", *PEERS)


def main() -> None:
    """Measure, and print JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=TASKS)
    parser.add_argument("--rules", default=",".join((*RULES, "mix")))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--plot", type=Path, help="folder for pictures of the curves")
    options = parser.parse_args()
    for task, (name, label, share, budget) in TASKS.items():
        if options.only not in (None, task):
            continue
        labelled = _read(name, label, share)
        for rule in options.rules.split(","):
            queries = {rule: _mix() if rule == "mix" else {**QUERIES, **PEERS}[rule]}
            began = time.perf_counter()
            replayed = replay(labelled, queries, ReplayConfig(budget=budget, seeds=options.seeds))
            curve = replayed.curves[rule]
            emit(
                "label_efficiency",
                {
                    "task": task,
                    "rule": rule,
                    "texts": replayed.texts,
                    "seeds": options.seeds,
                    "full_macro_f1": replayed.full_macro_f1,
                    "full_average_precision": replayed.full_average_precision,
                    "enough": curve.enough,
                    "enough_precision": curve.enough_precision,
                    "stop": curve.stop,
                    "stop_share": curve.stop_share,
                    "at_end": {"macro_f1": asdict(curve.macro_f1[-1]), "ap": asdict(curve.average_precision[-1])},
                    "seconds": time.perf_counter() - began,
                },
            )
            if options.plot is not None:
                plot(replayed, options.plot / f"{task}-{rule}.png")


def _mix() -> Query:
    shares = {name: share for name, share in FIRST_MIX.items() if name != "suspect"}
    return of_mix({name: share / sum(shares.values()) for name, share in shares.items()}, None)


def _read(name: str, label: str, share: float | None) -> LabelledSet:
    seen = answers_to(name, label)
    texts, yes = list(seen), np.array(list(seen.values()))
    if share is not None:
        number = round(share / (1 - share) * int((~yes).sum()))
        kept = np.concatenate(
            [np.flatnonzero(~yes), np.random.default_rng(0).permutation(np.flatnonzero(yes))[:number]]
        )
        texts, yes = [texts[i] for i in kept], yes[kept]
    groups = np.array(near_duplicate_groups(texts), dtype=np.int64)
    features = TfidfVectorizer().fit_transform(texts).tocsr()
    return LabelledSet((label,), features, yes.astype(np.int8)[:, None], groups)


if __name__ == "__main__":
    main()
