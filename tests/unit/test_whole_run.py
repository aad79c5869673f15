"""What `saring run` says of the model that it trained."""

from __future__ import annotations

import pytest

from saring.actions.whole_run import say_measured


@pytest.mark.parametrize(
    ("macro", "words"),
    [
        ((0.71, 0.6, 0.8), "macro average precision 0.710 [0.600, 0.800]"),
        # of one text with each answer there is a figure, and no interval
        ((0.71, None, None), "macro average precision 0.710"),
        ((None, None, None), "a model that is not measured: too few texts have each answer in the test split"),
    ],
)
def test_a_model_of_few_texts_is_told_as_well(macro: tuple[float | None, ...], words: str) -> None:
    assert say_measured(dict(zip(("value", "low", "high"), macro, strict=True))) == words
