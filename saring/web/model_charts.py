"""Charts of a model's figures: precision over recall, reliability."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from saring.web import charts
from saring.web.charts import Axis, Line

if TYPE_CHECKING:
    from saring.web.visit import Visitor

#: points of a curve that its table shows
_SHOWN = 5


def precision_recall(visit: Visitor, label: str, figures: Mapping[str, Any]) -> dict[str, Any] | None:
    """The chart of precision over recall of one label, and the rows of its table; None: no text has the label."""
    points = figures["curves"][label]["precision_recall"]
    if not points:
        return None
    metrics = figures["overall"]["labels"][label]
    drawn = [
        Line(
            visit.say("Precision, with its 95% interval"),
            [(point["recall"], point["precision"]) for point in points],
            [(point["recall"], point["low"], point["high"]) for point in points],
        )
    ]
    at = (metrics["recall"]["value"], metrics["precision"]["value"])
    if None not in at:
        drawn.append(Line(visit.say("At the label's threshold"), [at], colour=2))
    words = visit.say(
        "Average precision %(value)s. Precision falls from %(first)s to %(last)s as recall rises to 1.",
        value=_short(metrics["average_precision"]["value"]),
        first=_short(points[0]["precision"]),
        last=_short(points[-1]["precision"]),
    )
    title = visit.say("Precision and recall")
    chart = charts.lines(title, words, Axis(visit.say("recall")), Axis(visit.say("precision")), drawn)
    return {"chart": chart, "rows": points[_SHOWN - 1 :: _SHOWN], "words": words}


def reliability(visit: Visitor, label: str, figures: Mapping[str, Any]) -> dict[str, Any] | None:
    """The chart of frequency over probability of one label, and the rows of its table; None: there are no texts."""
    bins = figures["curves"][label]["reliability"]
    if not bins:
        return None
    drawn = [
        Line(
            visit.say("Share that has the label, with its 95% interval"),
            [(part["probability"], part["frequency"]) for part in bins],
            [(part["probability"], part["low"], part["high"]) for part in bins],
        ),
        Line(visit.say("As it should be"), [(0.0, 0.0), (1.0, 1.0)], colour=6, dashed=True),
    ]
    error = figures["overall"]["labels"][label]["calibration_error"]
    words = visit.say("The mean distance from the straight line (ECE) is %(error)s.", error=_short(error, 3))
    chart: Markup = charts.lines(
        visit.say("Reliability"), words, Axis(visit.say("probability")), Axis(visit.say("frequency")), drawn
    )
    return {"chart": chart, "rows": bins, "words": words}


def _short(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
