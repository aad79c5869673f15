"""Label quality by cleanlab, for `audit.py`: run by the Python of an environment in which cleanlab is installed.

Cleanlab's licence is the AGPL, so it is no dependency of Saring. It reads an `.npz` with `probabilities`, [texts, 2],
and `given`, [texts], and writes an `.npz` with one array of doubts for each of its ways to score.
"""

import sys

import numpy as np
from cleanlab.rank import get_label_quality_scores

given, written = sys.argv[1:]
with np.load(given) as arrays:
    probabilities, labels = arrays["probabilities"], arrays["given"]
doubts = {}
for method in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
    for adjusted in (False, True):
        if adjusted and method == "confidence_weighted_entropy":
            continue
        quality = get_label_quality_scores(labels, probabilities, method=method, adjust_pred_probs=adjusted)
        doubts[f"{method}{', adjusted' if adjusted else ''}"] = -quality
np.savez(written, **doubts)
