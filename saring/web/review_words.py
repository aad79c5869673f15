"""The reasons of the review in the language of the person: the sentences of `pipeline.review.reasons`, to translate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.review.reasons import Ground, Reason, Why
from pipeline.store.tables.review import DisputeKind
from saring.web.words import marked

if TYPE_CHECKING:
    from saring.web.visit import Visitor

SENTENCES: Mapping[str, str] = {
    "people-differ": marked("people disagree on %(label)s: %(yes)s yes, %(no)s no"),
    "data-differ": marked("data sets disagree on %(label)s: %(yes)s yes, %(no)s no"),
    "machines-differ": marked("machines disagree on %(label)s, and no rule decides: %(yes)s yes, %(no)s no"),
    "cannot-decide": marked("people who could not decide: %(people)s"),
    "doubted-people": marked(
        "people say %(given)s to %(label)s; a model that never saw this text gives it %(percent)s%%"
    ),
    "doubted-data": marked(
        "a data set says %(given)s to %(label)s; a model that never saw this text gives it %(percent)s%%"
    ),
    "doubted-machines": marked(
        "machines say %(given)s to %(label)s; a model that never saw this text gives it %(percent)s%%"
    ),
    "doubted-near": marked("of the most similar labelled texts, %(yes)s of %(neighbours)s say yes to %(label)s"),
    "reported-yes": marked("the application %(application)s says that the text is %(label)s"),
    "reported-no": marked("the application %(application)s says that the text is not %(label)s"),
    "reported": marked("the application %(application)s says that the verdict was wrong"),
    "settled": marked("a reviewer settled it (%(reviewers)s)"),
    "settled-anew": marked("reviewers settled it differently, and the newest counts"),
    "people-agree": marked("people agree (%(votes)s)"),
    "people-mostly-agree": marked("two thirds or more of the people agree: %(yes)s yes, %(no)s no"),
    "data-agree": marked("data sets agree (%(votes)s), and no person judged it"),
    "machines-agree": marked("language models agree (%(votes)s), and no person or data set judged it"),
    "machines-combined": marked(
        "language models differ, and the consensus (%(method)s) decides: %(yes)s yes, %(no)s no"
    ),
    "stand-ins-agree": marked("the bootstrap rater decides, as nobody else judged it (%(votes)s)"),
    "pseudo-label": marked("a classifier was very sure, and nobody else judged it"),
    "rules-differ": marked("rules and pseudo-labels disagree: %(yes)s yes, %(no)s no"),
    "filtered": marked("filters rejected what machines said, so nothing is known"),
    "nothing": marked("no judgement that counts speaks of it"),
}
GROUNDS: Mapping[Ground, str] = {
    Ground.DEFINITION: marked("the definition of the label decides"),
    Ground.MEANING: marked("the words mean something else here: irony, a quotation, a report"),
    Ground.LANGUAGE: marked("a word, a spelling or a dialect was misunderstood"),
    Ground.OVERLOOKED: marked("a part of the text was overlooked"),
    Ground.SLIP: marked("a slip: the wrong tick, or a wrong import"),
    Ground.NOT_SHOWN: marked("the text alone does not show it"),
    Ground.OTHER: marked("another reason, in own words"),
}
KINDS: Mapping[DisputeKind, str] = {
    DisputeKind.DISAGREEMENT: marked("Disagreements"),
    DisputeKind.UNDECIDED: marked("Undecided"),
    DisputeKind.SUSPECT: marked("Suspected errors"),
    DisputeKind.APPEAL: marked("Appeals"),
}
ABOUT: Mapping[DisputeKind, str] = {
    DisputeKind.DISAGREEMENT: marked("people, or data sets, disagree on a label"),
    DisputeKind.UNDECIDED: marked("machines disagree, or people could not decide"),
    DisputeKind.SUSPECT: marked("a label looks wrong to a model that did not learn from the text"),
    DisputeKind.APPEAL: marked("an application reports that a verdict was wrong"),
}
_ANSWERS: Mapping[str, str] = {"yes": marked("yes"), "no": marked("no")}


def say_why(visit: Visitor, why: Why) -> str:
    """A reason as a sentence in the person's language."""
    values = dict(why.values)
    label = values.get("label")
    if label is not None and label in visit.home.taxonomy:
        name = visit.home.taxonomy[str(label)].name
        values["label"] = name.ms if visit.language == "ms" else name.en
    if values.get("given") in _ANSWERS:
        values["given"] = visit.say(_ANSWERS[str(values["given"])])
    return visit.say(SENTENCES[why.code], **values) if values else visit.say(SENTENCES[why.code])


def say_reason(visit: Visitor, reason: Reason) -> str:
    """The reason of a settlement in the person's language; own words stay as they are."""
    if reason.ground is Ground.OTHER:
        return reason.words
    ground = visit.say(GROUNDS[reason.ground])
    return f"{ground} ({reason.words})" if reason.words else ground
