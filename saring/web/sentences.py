"""Sentences of the pipeline in the person's language.

Reasons of the gate, of filters and of the queue are stored in English, with their values in them. Their patterns are
recognised here, and the translation gets the values. What fits no pattern, such as a person's own words, stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache

from saring.web.words import Words, marked

#: `(s)` stands for an ending of the English plural. Values named `reason` are sentences themselves, those named `label`
#: are keys of labels, `scored` such keys with numbers, and `allowed` sentiments. The first pattern that fits is taken
PATTERNS = (
    # the registry
    marked("not promoted: %(reason)s"),
    marked("by hand: %(reason)s"),
    marked("replaced by %(version)s (%(reason)s)"),
    marked("rolled back to %(version)s (%(reason)s)"),
    # the gate
    marked("nothing new to learn: %(version)s stays champion"),
    marked("the first model of its purpose"),
    marked("no label could be compared with the champion"),
    marked(
        "on %(texts)s test text(s) it scores %(challenger)s and the champion %(champion)s (macro average precision of "
        "%(labels)s label(s); difference %(difference)s)"
    ),
    marked("macro average precision is not worse by more than the %(margin)s allowed"),
    marked("macro average precision looks better; there are too few texts to be sure"),
    marked("macro average precision may be worse by more than the %(margin)s allowed"),
    marked("%(texts)s test text(s) are too few to tell"),
    marked("%(texts)s test text is too few to tell"),
    marked("%(label)s: the champion finds none of its texts, so recall cannot drop"),
    marked("recall of %(label)s at precision %(precision)s drops by more than the %(margin)s allowed (%(change)s)"),
    marked(
        "recall of %(label)s at precision %(precision)s drops, which may be chance with %(texts)s positive text(s) "
        "(%(change)s)"
    ),
    marked(
        "recall of %(label)s at precision %(precision)s does not drop by more than the %(margin)s allowed (%(change)s)"
    ),
    marked("macro average precision of language %(name)s drops by more than the %(margin)s allowed (%(change)s)"),
    marked(
        "macro average precision of language %(name)s drops, which may be chance with %(texts)s text(s) (%(change)s)"
    ),
    marked(
        "macro average precision of language %(name)s does not drop by more than the %(margin)s allowed (%(change)s)"
    ),
    marked("only the champion knows %(label)s"),
    marked(
        "probes of %(kind)s: of %(pairs)s pair(s) %(lost)s turned wrong and %(won)s turned right, which is more than "
        "the %(margin)s allowed and more than chance"
    ),
    marked(
        "probes of %(kind)s: of %(pairs)s pair(s) %(lost)s turned wrong and %(won)s turned right, which may be chance"
    ),
    marked("probes of %(kind)s: of %(pairs)s pair(s) %(lost)s turned wrong and %(won)s turned right"),
    marked("one text takes %(took)s ms at the 95th percentile, more than the %(margin)s ms allowed"),
    marked("one text takes %(took)s ms at the 95th percentile, within the %(margin)s ms allowed"),
    marked("the model has %(size)s MB, more than the %(margin)s MB allowed"),
    marked("the model has %(size)s MB, within the %(margin)s MB allowed"),
    # the queue
    marked("nothing is known about it yet"),
    marked("drawn at random"),
    marked("of the texts left, one that the champion is less sure of: %(scored)s"),
    marked("of the texts left, one that the rater is less sure of: %(scored)s"),
    marked("%(label)s needs more gold texts and is likely here (%(probability)s)"),
    marked("in a review sample: %(label)s (%(sample)s)"),
    marked("%(label)s kept at %(score)s, close to the filter's cut %(cut)s"),
    marked("%(label)s rejected at %(score)s, close to the filter's cut %(cut)s"),
    marked("%(label)s is denied, but the champion gives it a probability of %(probability)s"),
    marked("%(label)s is asserted, but the champion gives it a probability of %(probability)s"),
    marked("%(application)s reports a wrong verdict"),
    # the next training
    marked("due now"),
    marked("only by hand"),
    marked("after %(answers)s more answer(s) or at the first answer after %(when)s"),
    marked("after %(answers)s more answer(s) or at %(when)s"),
    marked("after %(answers)s more answer(s)"),
    marked("at the first answer after %(when)s"),
    marked("at the first answer"),
    marked("at %(when)s"),
    # the filters
    marked("similarity of at least %(cut)s (%(reason)s)"),
    marked("similarity below %(cut)s (%(reason)s)"),
    marked("share of neighbours of at least %(cut)s (%(reason)s)"),
    marked("share of neighbours below %(cut)s (%(reason)s)"),
    marked("sentiment is hardly %(allowed)s (below %(reason)s)"),
    marked("sentiment can be %(allowed)s (%(reason)s)"),
    marked("sentiment can be %(allowed)s"),
    marked("set by hand: %(words)s"),
    marked("quantile: the lowest %(share)s of %(texts)s"),
    marked("robust-z: median %(median)s - %(z)s x %(spread)s"),
    marked("mixture: means %(below)s/%(above)s, %(share)s in the lower"),
    marked("no mixture: %(reason)s"),
    marked("BIC prefers one component by %(gain)s"),
    marked("its components are not apart (Ashman's D %(distance)s < %(least)s)"),
    marked("its lower component holds %(share)s"),
    marked("%(texts)s texts are too few"),
    marked("it did not converge"),
    marked("all are equally similar"),
    marked("no valley lies between its means"),
)
_SENTIMENTS = {"negative": marked("negative"), "neutral": marked("neutral"), "positive": marked("positive")}
_OR = marked("or")
#: the time at which a model changed its state, before the reason
_WHEN = re.compile(r"\d{4}-\d\d-\d\d\S*(?: [\d:]+)?(?: UTC)?: ")
_VALUE = re.compile(r"%\((\w+)\)s")
_BETWEEN = "; "
#: what values may be that are more than a number or a name, or less
_VALUES = {"reason": ".+", "words": ".+", "when": r"\d[\d: -]+"}


def in_words(words: Words, text: str, label: Callable[[str], str] = str) -> str:
    """A sentence of the pipeline in another language, as far as its parts are known.

    Args:
        words: of the language.
        text: one or more sentences in English, with semicolons between them.
        label: the name of a label in that language, by its key.
    """
    when = _WHEN.match(text)
    parts, rest = [], text[when.end() :] if when else text
    while rest:
        part, rest = _next(words, rest, label)
        parts.append(part)
    return (when[0] if when else "") + _BETWEEN.join(parts)


def _next(words: Words, text: str, label: Callable[[str], str]) -> tuple[str, str]:
    """The first sentence in the other language, and what is left."""
    for message, pattern in _patterns().items():
        if match := pattern.match(text):
            values = {name: _value(words, name, value, label) for name, value in match.groupdict().items()}
            return words.gettext(message) % values, text[match.end() :]
    part, _, rest = text.partition(_BETWEEN)
    return part, rest


def _value(words: Words, name: str, value: str, label: Callable[[str], str]) -> str:
    if name == "reason":
        return in_words(words, value, label)
    if name == "scored":
        return ", ".join(
            f"{label(key)} {number}" for key, _, number in (part.rpartition(" ") for part in value.split(", "))
        )
    if name == "allowed":
        return f" {words.gettext(_OR)} ".join(
            words.gettext(_SENTIMENTS.get(part, part)) for part in value.split(" or ")
        )
    return label(value) if name == "label" else value


@cache
def _patterns() -> Mapping[str, re.Pattern[str]]:
    return {
        message: re.compile(_regex(_VALUE.split(message)) + rf"(?:{_BETWEEN}|$)", re.DOTALL) for message in PATTERNS
    }


def _regex(pieces: Iterable[str]) -> str:
    """A regular expression of a message that was split at its values: texts and names in turn."""
    made = []
    for number, piece in enumerate(pieces):
        if number % 2 == 0:
            made.append(re.escape(piece).replace(re.escape("(s)"), "s?"))
        else:
            # a person's words and nested sentences may have semicolons in them; numbers and names have none
            made.append(f"(?P<{piece}>{_VALUES.get(piece, '[^;]+?')})")
    return "".join(made)
