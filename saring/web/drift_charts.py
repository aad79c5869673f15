"""Charts of drift, and its alarms in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from saring.web import charts
from saring.web.charts import Axis, Line
from saring.web.words import marked

if TYPE_CHECKING:
    from saring.web.visit import Visitor

#: languages with a line of their own; the rest is one line
_LANGUAGES = 5
#: marks on the axis of weeks
_MARKS = 6
_ALARMS: Mapping[str, str] = {
    "training": marked("Recent texts differ from those that the champion was trained on."),
    "earlier": marked("Recent texts differ from earlier ones."),
    "label": marked("The share of texts with the label %(name)s changed from %(before)s to %(now)s."),
    "score": marked("The mean score of %(name)s changed from %(before)s to %(now)s."),
    "language": marked("The share of the language %(name)s changed from %(before)s to %(now)s."),
}


def alarm_words(visit: Visitor, alarm: Mapping[str, Any]) -> str:
    """An alarm as a sentence in the person's language."""
    taxonomy, name = visit.home.taxonomy, alarm["name"]
    if alarm["kind"] in ("label", "score") and name in taxonomy:
        names = taxonomy[name].name
        name = names.ms if visit.language == "ms" else names.en
    if name is None:
        return visit.say(_ALARMS[alarm["kind"]])
    show = "{:.3f}" if alarm["kind"] == "score" else "{:.1%}"
    return visit.say(
        _ALARMS[alarm["kind"]], name=name, before=show.format(alarm["before"]), now=show.format(alarm["now"])
    )


def languages(visit: Visitor, weeks: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The chart of the share of each language by week, and the rows of its table; None: there are no weeks."""
    if not weeks:
        return None
    totals: Counter[str] = Counter()
    for week in weeks:
        totals.update(week["languages"])
    names = [name for name, _ in totals.most_common(_LANGUAGES)]
    rows = []
    for week in weeks:
        shares = {name: week["languages"].get(name, 0) / week["texts"] for name in names}
        rows.append({"start": week["start"], "texts": week["texts"], "shares": shares})
    drawn = [
        Line(name, [(i, row["shares"][name]) for i, row in enumerate(rows)], colour=at % 6 + 1)
        for at, name in enumerate(names)
    ]
    title = visit.say("Languages by week")
    words = visit.say("Share of texts in each of the %(count)s most frequent languages.", count=len(names))
    chart = charts.lines(title, words, _weeks(weeks), Axis(visit.say("share")), drawn)
    return {"chart": chart, "names": names, "rows": rows}


def label_course(visit: Visitor, weeks: Sequence[Mapping[str, Any]], label: str) -> dict[str, Any] | None:
    """The chart of the share and the mean score of one label by week, and the rows of its table."""
    rows = []
    for place, week in enumerate(weeks):
        if not week["sampled"]:
            continue
        score = week["scores"].get(label)
        rows.append(
            {
                "place": place,
                "start": week["start"],
                "sampled": week["sampled"],
                "share": week["given"].get(label, 0) / week["sampled"],
                "score": score["total"] / score["texts"] if score and score["texts"] else 0.0,
            }
        )
    if not rows:
        return None
    drawn = [
        Line(visit.say("Share that the champion gives the label"), [(row["place"], row["share"]) for row in rows]),
        Line(visit.say("Mean score"), [(row["place"], row["score"]) for row in rows], colour=2, dashed=True),
    ]
    highest = max(max(row["share"], row["score"]) for row in rows)
    title = visit.say("One label by week")
    words = visit.say("From the champion's predictions for a random sample of each week.")
    chart = charts.lines(title, words, _weeks(weeks), Axis("", 0, min(1.0, max(highest * 1.2, 0.01))), drawn)
    return {"chart": chart, "rows": rows, "words": words}


def _weeks(weeks: Sequence[Mapping[str, Any]]) -> Axis:
    """The axis of weeks, with a few of their days."""
    step = max(1, len(weeks) // _MARKS)
    # a mark at the end would not fit
    places = range(0, max(1, len(weeks) - 1), step)
    marks = [(i, f"{datetime.fromisoformat(weeks[i]['start']):%d.%m.}") for i in places]
    return Axis("", 0, max(1, len(weeks) - 1), marks)
