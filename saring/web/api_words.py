"""The sentences of the OpenAPI document, so that the page /api can show them in each language.

The document is in English, for programs. A test holds both lists together.
"""

from __future__ import annotations

from saring.web.words import marked

SENTENCES = (
    # operations
    marked("Judge texts, in the shape of OpenAI's endpoint"),
    marked("Judge a text, in the shape of Perspective's endpoint; scores are approximate"),
    marked("Report that a verdict was wrong; the text is kept, masked, for people to look at"),
    marked("The state of a report: waiting, or settled with the labels that people decided"),
    marked("The policies, with the precision and recall to expect of each"),
    marked("The model that serves"),
    # what is asked
    marked("A text, or a list of texts. Of a text longer than 20,000 characters, the beginning is judged."),
    marked("A version; leave it out for the champion."),
    marked("Name of a policy, in place of the token's."),
    marked("Tell which words mattered; for at most 32 texts."),
    marked("Attributes by name, each with an empty object or a `scoreThreshold`."),
    marked("Given back as it came."),
    marked("Do not keep the text, whatever the policy says."),
    marked("Give each score with the span of the whole text."),
    marked("The text that was judged."),
    marked("true: the label is right; false: it is wrong."),
    marked("Why the verdict was wrong, in a person's words."),
    marked("Your own name of the report; what is sent twice is kept once."),
    marked("The version whose verdict was wrong."),
    marked("The id of the report."),
    # what is answered
    marked("A harmful label reaches its threshold."),
    marked("Labels by key, and OpenAI's categories: whether the text is given each."),
    marked("The calibrated probability of each."),
    marked("Always text."),
    marked("The words that mattered, if they were asked for."),
    marked("The version that judged."),
    marked("The policy whose thresholds were used."),
    marked("The threshold of each label."),
    marked("Labels that the model knows."),
    marked("OpenAI's categories that no label stands for."),
    marked("The score of each attribute: the probability of the likeliest of its labels."),
    marked("Always empty."),
    marked("Seconds since 1970."),
    marked("waiting, or settled by people."),
    marked("What people decided."),
    marked("The target of all other labels."),
    marked("The target of each label."),
    marked("Texts are kept, masked."),
    marked("The target was reached on the dev texts."),
    marked("Its version."),
    marked("What is wrong, and what to do."),
    marked("The field that is meant."),
    # statuses
    marked("The verdicts, in order."),
    marked("The scores."),
    marked("The report."),
    marked("The policies."),
    marked("The model."),
    marked("A field cannot be used; `param` names it."),
    marked("The API token is not known."),
    marked("There is no such model or report."),
    marked("The request has too many bytes."),
    marked("There are too many texts, or one is too long."),
    marked("The token's requests of this minute are used up; `Retry-After` says when."),
    marked("There is no champion yet, or the database is away; try again."),
)
