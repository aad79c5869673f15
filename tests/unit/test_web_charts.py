"""Marks of the charts: round numbers, whole where things are counted, and no words over others."""

from __future__ import annotations

import itertools
import re

import pytest

from saring.web import charts
from saring.web.charts import Axis


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0, 1, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (0, 0.85, ["0", "0.2", "0.4", "0.6", "0.8"]),
        (-1, 1, ["-1", "-0.5", "0", "0.5", "1"]),
        (0, 9_400, ["0", "2,000", "4,000", "6,000", "8,000"]),
        (0, 1_234_567, ["0", "200k", "400k", "600k", "800k", "1M", "1.2M"]),
        (3, 3, ["3"]),
    ],
)
def test_marks_are_round(low: float, high: float, marks: list[str]) -> None:
    assert [words for _, words in Axis("", low, high).marks()] == marks


@pytest.mark.parametrize("counts", [[0, 1], [1, 2, 3], [9, 4], [13], [123, 45], [0, 0]])
def test_counts_have_whole_marks(counts: list[int]) -> None:
    drawn = charts.bars("t", "d", [(str(i), float(count)) for i, count in enumerate(counts)])
    marks = re.findall(r'<text x="54"[^>]*>([^<]*)', drawn)
    assert marks[0] == "0"
    assert all(mark.isdecimal() for mark in marks)
    assert len(set(marks)) == len(marks)
    assert len(marks) <= 9


def test_long_names_of_bars_leave_each_other_room() -> None:
    days = [(f"2026-{1 + day // 28:02}-{1 + day % 28:02}", 1.0) for day in range(180)]
    drawn = charts.bars("t", "d", days)
    places = [float(x) for x in re.findall(r'<text x="([\d.]+)" y="\d+" text-anchor="middle"', drawn)]
    assert len(places) >= 3
    # ten letters, each of half the size that the style gives them on a phone
    assert min(b - a for a, b in itertools.pairwise(places)) >= 10 * 20 / 2


def test_a_mark_at_the_right_edge_stays_within_the_chart() -> None:
    weeks = Axis("", 0, 1, [(0.0, "12.10."), (1.0, "23.11.")])
    drawn = charts.lines("t", "d", weeks, Axis(""), [charts.Line("a", [(0, 0), (1, 1)])])
    assert re.search(rf'<text x="{charts.WIDTH}\.0" y="\d+" text-anchor="end">23\.11\.', drawn)
