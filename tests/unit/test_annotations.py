"""What an annotation says: whatever comes in is a verdict, or is told apart from one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.preannotation.label_studio_format import reading_of
from pipeline.store.tables.human_loop import AnnotationState, Change
from sync.pull.annotations import Malformed, Name, Said, Shown, Ticked, name_of, read_annotation
from tests.support.taxonomy import make_label, taxonomy_named, taxonomy_of

Json = dict[str, Any]
TAXONOMY = taxonomy_named("hate", "porn", "racist", "safe for work")
SHOWN = Shown(frozenset(TAXONOMY.keys), "v-shown")


def region(choices: object, *, control: str = "labels", origin: str | None = None) -> Json:
    made: Json = {"from_name": control, "to_name": "text", "type": "choices", "value": {"choices": choices}}
    return made | ({"origin": origin} if origin else {})


def note(text: object) -> Json:
    return {"from_name": "comment", "to_name": "text", "type": "textarea", "value": {"text": text}}


def annotation(*regions: Json, **fields: Any) -> Json:
    return {
        "id": 7,
        "created_at": "2026-03-01T10:00:00.000001Z",
        "updated_at": "2026-03-01T10:05:00Z",
        "completed_by": 3,
        "was_cancelled": False,
        "lead_time": 4.5,
        "result": list(regions),
    } | fields


def prediction(*labels: str, version: object = "m-1") -> Json:
    return {"id": 1, "model_version": version, "score": 0.4, "result": [region(list(labels))]}


def read(raw: Json, **how: Any) -> Said:
    return read_annotation(raw, **({"taxonomy": TAXONOMY, "shown": SHOWN} | how))


# words of the format are likelier to reach its corners than any text is
_WORDS = st.sampled_from(
    [
        "labels",
        "undecided",
        "comment",
        "hate",
        "porn",
        "can't decide",
        "none of these",
        "prediction",
        "prediction-changed",
        "manual",
        "",
    ]
)
_MOMENTS = st.datetimes(timezones=st.sampled_from([None, UTC])).map(datetime.isoformat) | st.sampled_from(
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-03-01", "2026-03-01T10:00:00Z"]
)
_ATOMS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8) | _WORDS | _MOMENTS
_NAMES = st.sampled_from(
    ["from_name", "value", "choices", "taxonomy", "text", "origin", "result", "model_version", "id", "completed_by"]
)
_JSON = st.recursive(
    _ATOMS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES | st.text(max_size=5), inner, max_size=5)
)
_CHOICES = st.fixed_dictionaries({}, optional={"choices": st.lists(_WORDS) | _JSON, "text": st.lists(_WORDS) | _JSON})
_REGION = st.fixed_dictionaries({}, optional={"from_name": _WORDS | _JSON, "value": _CHOICES | _JSON, "origin": _WORDS})
_RESULT = st.lists(_REGION | _JSON, max_size=4) | _JSON
_PREDICTION = st.fixed_dictionaries({}, optional={"result": _RESULT, "model_version": _JSON}) | _JSON
_ANNOTATION = st.fixed_dictionaries(
    {},
    optional={
        "id": st.integers(1, 9) | _JSON,
        "created_at": _MOMENTS | _JSON,
        "updated_at": _MOMENTS | _JSON,
        "completed_by": st.integers(1, 9) | _JSON,
        "was_cancelled": st.booleans() | _JSON,
        "lead_time": st.integers(10**300, 10**320) | _JSON,
        "parent_prediction": _JSON,
        "prediction": _PREDICTION,
        "result": _RESULT,
    },
)


@given(raw=_ANNOTATION | _JSON)
def test_whatever_comes_in_is_named_or_is_malformed(raw: object) -> None:
    try:
        name = name_of(raw)
    except Malformed as problem:
        assert str(problem).startswith("annotation ")
        assert len(str(problem)) < 40
        return
    assert isinstance(name, Name)
    assert 0 < name.id < 2**31
    assert (name.created_at.tzinfo, name.updated_at.tzinfo) == (UTC, UTC)


@given(raw=_ANNOTATION, known=st.sampled_from([None, Ticked(frozenset({"hate"}), "m-0")]))
def test_whatever_comes_in_is_read_and_only_says_what_the_store_can_hold(raw: Json, known: Ticked | None) -> None:
    said = read(raw, known=known)
    assert said.chosen <= set(TAXONOMY.keys)
    assert not said.chosen & said.denied
    assert said.denied <= set(TAXONOMY.keys)
    if said.state is not AnnotationState.SUBMITTED:
        assert not said.denied
    if raw.get("was_cancelled") is True:
        assert said.state is AnnotationState.SKIPPED
        assert not said.counts
        assert not said.chosen | said.unknown
    assert said.lead_time is None or 0 <= said.lead_time < 1e30
    for text in (*said.unknown, said.comment or ""):
        assert "\0" not in text
        text.encode()


def test_ticked_labels_are_asserted_and_the_others_that_were_shown_denied() -> None:
    said = read(annotation(region(["hate", "racist"])))
    assert said.state is AnnotationState.SUBMITTED
    assert (said.chosen, said.denied) == ({"hate", "racist"}, {"porn", "safe for work"})
    assert (said.taxonomy_version, said.lead_time, said.counts) == ("v-shown", 4.5, True)


NONE = region(["none of these"], control="undecided")
UNSURE = region(["can't decide"], control="undecided")
EMPTY_IS_NONE = Shown(frozenset(TAXONOMY.keys), "v-shown", empty_is_none=True)


@pytest.mark.parametrize("regions", [(NONE,), (NONE, note("nothing to see")), (region([]), NONE)])
def test_none_of_these_denies_every_label_that_was_shown(regions: tuple[Json, ...]) -> None:
    said = read(annotation(*regions), shown=Shown(frozenset({"hate", "porn"}), "v-old"))
    assert (said.state, said.chosen, said.denied) == (AnnotationState.SUBMITTED, set(), {"hate", "porn"})
    assert said.counts and said.problem is None


def test_none_of_these_beside_a_label_is_no_verdict_and_the_reason_is_counted() -> None:
    said = read(annotation(region(["hate"]), NONE))
    assert (said.state, said.denied, said.counts) == (AnnotationState.INVALID, set(), False)
    assert said.problem == "answers with labels and none of these"


def test_who_cannot_decide_does_not_deny_though_none_of_these_is_there_too() -> None:
    said = read(annotation(NONE, UNSURE))
    assert (said.state, said.denied) == (AnnotationState.UNDECIDED, set())


def test_an_answer_without_anything_means_what_the_project_says() -> None:
    nothing = read(annotation())
    assert (nothing.state, nothing.counts) == (AnnotationState.EMPTY, False)
    assert nothing.problem == "answers without a label, which count for nothing here"
    none = read(annotation(), shown=EMPTY_IS_NONE)
    assert (none.state, none.denied, none.problem) == (AnnotationState.SUBMITTED, set(TAXONOMY.keys), None)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (annotation(note("hm")), "answers with a comment and no label"),
        # made by Label Studio from a prediction that ticks nothing, as that of a blind task
        (annotation(parent_prediction=4), "answers without a label, which count for nothing here"),
        (annotation(region(["unheard"])), "answers with unknown labels only"),
        (annotation(result="none"), "answers that cannot be read"),
        (annotation(completed_by=None), "answers of nobody"),
    ],
)
def test_what_merely_lacks_labels_denies_nothing_in_such_a_project(raw: Json, problem: str) -> None:
    said = read(raw, shown=EMPTY_IS_NONE)
    assert (said.counts, said.denied, said.problem) == (False, set(), problem)


def test_a_label_that_was_not_on_the_page_is_not_denied() -> None:
    said = read(annotation(region(["hate"])), shown=Shown(frozenset({"hate", "porn"}), "v-old"))
    assert (said.chosen, said.denied) == ({"hate"}, {"porn"})
    assert said.taxonomy_version == "v-old"
    everything = read(annotation(region(["hate"])), shown=Shown(None, "v"))
    assert everything.denied == set(TAXONOMY.keys) - {"hate"}


@pytest.mark.parametrize("origin", ["prediction", "prediction-changed", "manual"])
def test_what_was_skipped_says_nothing_though_the_ticks_are_still_in_it(origin: str) -> None:
    raw = annotation(region(["hate", "unheard"], origin=origin), was_cancelled=True, prediction=prediction("hate"))
    said = read(raw)
    assert said.state is AnnotationState.SKIPPED
    assert not said.counts
    assert (said.chosen, said.denied, said.unknown) == (set(), set(), set())
    assert said.change is Change.CHANGED


@pytest.mark.parametrize("with_labels", [True, False])
def test_cant_decide_neither_asserts_nor_denies(with_labels: bool) -> None:
    labels = [region(["hate"])] if with_labels else []
    said = read(annotation(*labels, region(["can't decide"], control="undecided"), note(["sarcasm?"])))
    assert said.state is AnnotationState.UNDECIDED
    assert said.counts
    assert said.denied == set()
    assert said.explanation == "can't decide: sarcasm?"
    assert read(annotation(region(["can't decide"], control="undecided"))).explanation == "can't decide"


def test_an_unticked_cant_decide_is_none() -> None:
    said = read(annotation(region(["hate"]), region([], control="undecided")))
    assert said.state is AnnotationState.SUBMITTED


def test_a_label_that_nobody_knows_is_left_out_and_named() -> None:
    said = read(annotation(region(["hate", "unheard"])))
    assert said.state is AnnotationState.SUBMITTED
    assert (said.chosen, said.unknown) == ({"hate"}, {"unheard"})


def test_with_nothing_but_unknown_labels_nothing_is_denied() -> None:
    said = read(annotation(region(["unheard"])))
    assert said.state is AnnotationState.INVALID
    assert not said.counts
    assert (said.denied, said.unknown) == (set(), {"unheard"})


def test_an_alias_and_another_case_mean_the_label() -> None:
    taxonomy = taxonomy_of([make_label("hate", 0, aliases=("kebencian",)), make_label("porn", 1)])
    said = read(annotation(region([" Kebencian ", "HATE"])), taxonomy=taxonomy, shown=Shown(None, "v"))
    assert (said.chosen, said.unknown, said.denied) == ({"hate"}, set(), {"porn"})


@pytest.mark.parametrize("regions", [(), (region([]),), (note(["only a remark"]),)])
def test_without_a_label_it_is_empty(regions: tuple[Json, ...]) -> None:
    said = read(annotation(*regions))
    assert said.state is AnnotationState.EMPTY
    assert not said.counts
    assert said.denied == set()
    assert said.comment == ("only a remark" if regions and regions[0]["from_name"] == "comment" else None)


@pytest.mark.parametrize(
    "broken",
    [
        {"result": None},
        {"result": {"from_name": "labels"}},
        {"result": ["hate"]},
        {"result": [{"from_name": "labels", "value": None}]},
        {"result": [{"from_name": "labels", "value": {"choices": [1]}}]},
        {"result": [region(["hate"]), {"from_name": "undecided"}]},
        {"completed_by": None},
        {"completed_by": {"email": "aina@example.org"}},
    ],
)
def test_what_cannot_be_read_whole_is_no_verdict(broken: Json) -> None:
    said = read(annotation(region(["hate"])) | broken)
    assert said.state is AnnotationState.INVALID
    assert not said.counts
    assert said.denied == set()


@pytest.mark.parametrize("name", [["labels"], {"labels": 1}, None, 5, "somebody's own control"])
def test_regions_of_other_controls_are_not_ours_to_read(name: object) -> None:
    said = read(annotation(region(["hate"]), region(["racist"]) | {"from_name": name}))
    assert (said.state, said.chosen) == (AnnotationState.SUBMITTED, {"hate"})


def test_comments_hold_no_personal_data_and_end_somewhere() -> None:
    said = read(annotation(region(["hate"]), note([" tanya 012-345 6789 ", "atau aina@example.org\0"])))
    assert said.comment == "tanya <phone>\natau <email>"
    assert said.explanation == said.comment
    assert len(read(annotation(note("x y " * 5_000))).comment or "") == 2_000
    assert read(annotation(region(["hate"]), note(["  "]))).comment is None


@pytest.mark.parametrize(
    ("ticked", "chosen", "change"),
    [
        (["hate"], ["hate"], Change.KEPT),
        (["hate", "racist"], ["racist", "hate"], Change.KEPT),
        (["hate"], ["hate", "porn"], Change.CHANGED),
        (["hate"], ["porn"], Change.CHANGED),
        (["hate"], ["hate", "unheard"], Change.CHANGED),
        ([], ["hate"], Change.SCRATCH),
    ],
)
def test_what_became_of_the_ticks_is_told_by_what_they_were(
    ticked: list[str], chosen: list[str], change: Change
) -> None:
    said = read(annotation(region(chosen), prediction=prediction(*ticked)))
    assert said.change is change
    assert said.ticked == Ticked(frozenset(ticked), "m-1")


@pytest.mark.parametrize(
    ("origin", "change"),
    [
        ("prediction", Change.KEPT),
        ("prediction-changed", Change.CHANGED),
        ("manual", Change.SCRATCH),
        (None, Change.SCRATCH),
    ],
)
def test_without_the_prediction_the_page_says_what_became_of_the_ticks(origin: str | None, change: Change) -> None:
    said = read(annotation(region(["hate"], origin=origin), prediction={}))
    assert (said.change, said.ticked) == (change, None)


def test_not_deciding_is_no_way_of_keeping_the_ticks() -> None:
    raw = annotation(region(["hate"], origin="prediction"), region(["can't decide"], control="undecided"))
    assert read(raw).change is Change.CHANGED
    assert read(raw | {"prediction": prediction("hate")}).change is Change.CHANGED


def test_what_was_known_of_the_ticks_outlives_the_prediction_and_our_records_come_last() -> None:
    known, recalled = Ticked(frozenset({"hate"}), "m-known"), Ticked(frozenset({"porn"}), "m-recalled")
    gone = annotation(region(["hate"]), parent_prediction=None)
    assert read(gone, known=known, recalled=recalled).ticked == known
    assert read(gone, recalled=recalled).ticked is None, "nothing says that it began from ticks"
    from_ticks = annotation(region(["hate"], origin="prediction-changed"))
    assert read(from_ticks, recalled=recalled).ticked == recalled
    assert read(from_ticks, recalled=recalled).change is Change.CHANGED
    there = gone | {"prediction": prediction("racist")}
    assert read(there, known=known, recalled=recalled).ticked == Ticked(frozenset({"racist"}), "m-1")


@pytest.mark.parametrize(("version", "noted"), [("", None), (None, None), (5, None), ("v" * 300, "v" * 100)])
def test_a_version_is_noted_as_far_as_there_is_one(version: object, noted: str | None) -> None:
    said = read(annotation(region(["hate"]), prediction=prediction("hate", version=version)))
    assert said.ticked == Ticked(frozenset({"hate"}), noted)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"id": None}, "no id"),
        ({"id": True}, "no id"),
        ({"id": 0}, "no id"),
        ({"id": 2**31}, "no id"),
        ({"created_at": None}, "no time"),
        ({"created_at": "yesterday"}, "no time"),
        ({"created_at": "2026-03-01T10:00:00"}, "no time"),
        ({"updated_at": "0001-01-01T00:00:00+14:00"}, "no time"),
    ],
)
def test_an_annotation_that_cannot_be_told_from_others_is_malformed(broken: Json, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        name_of(annotation() | broken)


@pytest.mark.parametrize(
    ("by", "rater"), [(3, "3"), ({"id": 3, "email": "a@example.org"}, "3"), (None, ""), (True, ""), ("3", "")]
)
def test_a_rater_is_their_account(by: object, rater: str) -> None:
    name = name_of(annotation(completed_by=by))
    assert name.rater == rater
    assert name.created_at == datetime(2026, 3, 1, 10, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "noted"), [(3, 3.0), (-1, None), (float("nan"), None), (10**400, None), ("3", None)]
)
def test_seconds_are_noted_if_they_can_be(seconds: object, noted: float | None) -> None:
    assert read(annotation(region(["hate"]), lead_time=seconds)).lead_time == noted


@pytest.mark.parametrize("sign", ["@", "-", "a@", "0", "x" * 50 + " "])
def test_a_comment_or_a_label_of_any_length_is_read(sign: str) -> None:
    huge = sign * (600_000 // len(sign))
    said = read(annotation(region(["hate", huge]), note([huge, *["lagi"] * 100_000])))
    assert len(said.comment or "") <= 2_000
    assert said.chosen == {"hate"}
    assert all(len(name) <= 100 for name in said.unknown)


def test_a_number_that_is_no_account_is_nobody() -> None:
    assert name_of(annotation(completed_by=10**5_000)).rater == ""


def edited(control: str, *, name: str = "labels") -> Shown:
    """What raters saw on a page that somebody edited by hand."""
    config = f'<View><Text name="text" value="$text"/>{control}</View>'
    config = config.replace("NAME", f'name="{name}" toName="text"')
    return Shown(frozenset(TAXONOMY.keys), "v-shown", reading_of(config, TAXONOMY))


def tree(*paths: object, control: str = "labels") -> Json:
    return {"from_name": control, "to_name": "text", "type": "taxonomy", "value": {"taxonomy": list(paths)}}


def test_an_alias_is_read_as_the_label_that_was_shown() -> None:
    shown = edited('<Choices NAME><Choice value="Hate" alias="2"/><Choice value="porn"/></Choices>')
    said = read(annotation(region(["2"])), shown=shown)
    assert (said.state, said.chosen, said.unknown) == (AnnotationState.SUBMITTED, {"hate"}, frozenset())
    # two of the four labels could be ticked, and only what could be ticked is denied
    assert said.denied == {"porn"}
    assert read(annotation(region(["3"])), shown=shown).unknown == {"3"}
    # without a config that says so, the alias means nothing
    assert read(annotation(region(["2"]))).chosen == frozenset()


def test_ticks_under_an_alias_are_kept_ones() -> None:
    shown = edited('<Choices NAME><Choice value="Hate" alias="2"/></Choices>')
    begun = {"id": 1, "model_version": "m-1", "result": [region(["2"])]}
    said = read(annotation(region(["2"]), prediction=begun), shown=shown)
    assert (said.change, said.ticked) == (Change.KEPT, Ticked(frozenset({"hate"}), "m-1"))


def test_paths_of_a_taxonomy_are_labels() -> None:
    shown = edited(
        '<Taxonomy NAME><Choice value="Harm" alias="h"><Choice value="hate" alias="1">'
        '<Choice value="of a place"/></Choice><Choice value="porn" alias="2"/></Choice>'
        '<Choice value="Safe for work"><Choice value="praise" alias="1"/></Choice></Taxonomy>'
    )
    assert read(annotation(tree(["h", "2"])), shown=shown).chosen == {"porn"}
    assert read(annotation(tree(["h", "1", "of a place"])), shown=shown).chosen == {"hate"}
    # the same alias elsewhere in the tree is another choice
    both = read(annotation(tree(["Safe for work", "1"], ["h", "2"])), shown=shown)
    assert both.chosen == {"safe for work", "porn"}
    assert both.denied == {"hate"}
    other = read(annotation(tree(["h", "gone"])), shown=shown)
    assert (other.state, other.unknown) == (AnnotationState.INVALID, {"gone"})


def test_nested_choices_are_labels() -> None:
    shown = edited(
        '<Choices NAME allowNested="true"><Choice value="Hate"><Choice value="c" alias="3"/></Choice></Choices>'
    )
    assert read(annotation(region([["Hate", "3"]])), shown=shown).chosen == {"hate"}


def test_a_choice_that_the_page_does_not_show_is_not_denied() -> None:
    shown = edited(
        '<Choices NAME><Choice value="hate"><Choice value="racist"/></Choice><Choice value="porn"/></Choices>'
    )
    assert read(annotation(region(["porn"])), shown=shown).denied == {"hate"}


def test_labels_under_another_name_are_read_where_ours_is_gone() -> None:
    shown = edited('<Taxonomy NAME><Choice value="hate"/></Taxonomy>', name="kinds")
    assert read(annotation(tree(["hate"], control="kinds")), shown=shown).chosen == {"hate"}
    both = edited(
        '<Choices NAME><Choice value="hate"/></Choices>'
        '<Choices name="mood" toName="text"><Choice value="hate"/><Choice value="porn"/></Choices>'
    )
    assert read(annotation(region(["porn"], control="mood")), shown=both).state is AnnotationState.EMPTY


@pytest.mark.parametrize("paths", [[[]], ["hate", 3], [["hate", 3]], [{"a": 1}], None, 7])
def test_paths_that_cannot_be_read_make_it_invalid(paths: object) -> None:
    raw = {"from_name": "labels", "type": "taxonomy", "value": {"taxonomy": paths}}
    assert read(annotation(raw)).state is AnnotationState.INVALID


@given(config=st.text(alphabet="<>/\"'=&; Choicesvaluealias") | st.text())
def test_no_config_makes_reading_annotations_fail(config: str) -> None:
    reading_of(config, TAXONOMY)
