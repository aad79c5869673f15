"""The filters by name, and what the store calls what they do. The values are stored, so they do not change."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from pipeline.errors import UsageError

#: names of the filters' runs and decisions
CENTROID, SENTIMENT = "filter-centroid", "filter-sentiment"
#: what people call the filters
FILTERS = MappingProxyType({"centroid": CENTROID, "sentiment": SENTIMENT})
#: reasons of the texts in the review sample of each
REVIEW_REASONS = MappingProxyType({CENTROID: "centroid_dropped", SENTIMENT: "sentiment_dropped"})
#: what the centroid filter scores a text by: similarity to the label's nearest centre, or its neighbours' labels
By = Literal["similarity", "neighbours"]
#: these scores in a decision's reason
SCORES: Mapping[By, str] = MappingProxyType({"similarity": "similarity", "neighbours": "share of neighbours"})
#: least and greatest score
RANGES = MappingProxyType({CENTROID: (-1.0, 1.0), SENTIMENT: (0.0, 1.0)})


def stage_of(name: str) -> str:
    """The stage of the filter that people call by this name.

    Raises:
        UsageError: there is no such filter.
    """
    if name not in FILTERS:
        raise UsageError(f"no filter is called {name!r}; the filters are {' and '.join(FILTERS)}")
    return FILTERS[name]


def scale_of(encoder: str, by: By) -> str:
    """The name of the scale of the centroid filter's scores: a cut that was chosen on another one means nothing."""
    return encoder if by == "similarity" else f"{encoder}, by {by}"


def name_of(stage: str) -> str:
    """The name by which people call the filter of a stage."""
    return next(name for name, own in FILTERS.items() if own == stage)
