"""Checks of a labelling page, and of predictions for it, by the SDK's reading of label configs.

That reading takes 0.4 s to import, so it is imported where it is needed: at setup, and after predictions were refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipeline.errors import TaxonomyError
from pipeline.preannotation.label_studio_format import read_config
from sync.api.client import Json


def check_page(config: str, example: Json) -> None:
    """See to it that Label Studio takes a page and the predictions that will be written for it.

    Args:
        config: label config that we made.
        example: a prediction that ticks every label.

    Raises:
        TaxonomyError: it does not.
    """
    from label_studio_sdk.label_interface.interface import LabelInterface

    page = LabelInterface(config)
    if not page.is_valid:
        raise TaxonomyError("Label Studio cannot show a page with the labels of this taxonomy")
    problems = page.validate_prediction(example, return_errors=True)
    if problems:
        raise TaxonomyError(f"Label Studio cannot tick the labels of the taxonomy: {_brief(problems[0])}")


def refusals(config: str, predictions: Sequence[Json]) -> Counter[str]:
    """Reasons why a page has no room for predictions, each with its number; none where the page cannot be read."""
    from label_studio_sdk.label_interface.interface import LabelInterface

    # whoever wrote the page, so it is read with care first
    if read_config(config) is None:
        return Counter()
    page = LabelInterface(config)
    return Counter(
        _brief(problem)
        for prediction in predictions
        for problem in page.validate_prediction(prediction, return_errors=True)[:1]
    )


def _brief(problem: str) -> str:
    """A line without the list of everything that would be right."""
    return " ".join(problem.split(". Valid options", 1)[0].split())[:200]
