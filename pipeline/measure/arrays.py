"""Types of the arrays that classifiers return and metrics take."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Booleans = NDArray[np.bool_]

Scores = Floats
#: [texts, labels]: 1 asserted, 0 denied, -1 unknown
LabelMatrix = NDArray[np.int8]
UNKNOWN = -1
