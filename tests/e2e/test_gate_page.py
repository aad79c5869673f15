"""The gate's page, in a real browser: a maintainer sees every column of it on a laptop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from pipeline.learning.gate.decide import Contender, compare_with_champion
from pipeline.learning.gate.report import Rows, write_gate
from pipeline.learning.gate.rules import Margins
from pipeline.learning.sets.examples import gather
from pipeline.ledger.test_set import FrozenTest
from pipeline.measure.arrays import Scores
from pipeline.models.artefact import TrainedModel
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.labelled import LabelledText
from tests.support.trained import model_of

_NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
_LABELS = load_taxonomy().keys
_ROWS = 240


class _Guess:
    """A classifier that is right of most texts, which end with their number."""

    backend = "linear"

    def __init__(self, seed: int) -> None:
        self.labels = _LABELS
        noise = np.random.default_rng(seed).normal(0, 1.2, (_ROWS, len(_LABELS)))
        truth = [[1.0 if i % len(_LABELS) == at else -1.0 for at in range(len(_LABELS))] for i in range(_ROWS)]
        self._decisions = np.array(truth) + noise

    def decisions(self, texts: Sequence[str]) -> Scores:
        return np.asarray(self._decisions[[int(text.split()[-1]) for text in texts]])

    def state(self) -> dict[str, Any]:
        return {}


def _model(version: str, seed: int) -> TrainedModel:
    return model_of(_Guess(seed), version)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The page of a comparison on all labels of the taxonomy, with texts that flipped."""
    rows = [
        LabelledText(
            f"https-alamat-yang-sangat-panjang-{'x' * 60} jadual bas petang ini berubah lagi nombor {i}",
            id=str(i),
            labels=frozenset({_LABELS[i % len(_LABELS)]}),
            not_labels=frozenset(_LABELS) - {_LABELS[i % len(_LABELS)]},
            language="manglish" if i % 3 else "ms",
        )
        for i in range(_ROWS)
    ]
    report = compare_with_champion(
        Contender(_model("sfw-transformers-20260201-0123456789", 1), tmp_path),
        Contender(_model("sfw-transformers-20260301-9876543210", 2), tmp_path),
        gather(rows, _LABELS),
        Rows("the frozen test set", FrozenTest(3, "0123456789abcdef" * 4, _ROWS), _ROWS),
        Margins(),
        seed=1,
    )
    return write_gate(report, tmp_path / "model", now=_NOW)


def test_every_column_is_seen_on_a_laptop(page: Path, chromium: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1280, "height": 900})
        shown.goto(page.as_uri())
        assert shown.evaluate("document.documentElement.scrollWidth") <= 1280
        tables = shown.evaluate(
            "[...document.querySelectorAll('.scroll')].map(box => [box.scrollWidth, box.clientWidth])"
        )
        assert len(tables) == 5
        # no column lies beyond the edge of its box either
        assert [wide for wide, seen in tables if wide > seen] == []
        # an interval is not broken in two: number and interval take two lines at most
        cells = "[...document.querySelectorAll('#labels ~ .scroll td:nth-child(n+4)')]"
        lines = "cell => cell.clientHeight / parseFloat(getComputedStyle(cell).lineHeight)"
        assert max(shown.evaluate(f"{cells}.map({lines})")) < 3.2
        browser.close()
