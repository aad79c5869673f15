"""What is made of a project's label config, whoever wrote it."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.preannotation import Proposal
from pipeline.preannotation.label_studio_format import Control, control_reader, own_control
from pipeline.taxonomy import load_taxonomy
from sync.project.label_config import label_config as saring_page
from sync.push.task_rows import prediction_result
from tests.support.backend import label_config

TAXONOMY = load_taxonomy()


def read(config: object) -> Control | None:
    return control_reader(TAXONOMY)(config)


def test_names_choices_and_the_field_come_from_the_config() -> None:
    control = read(
        '<View><Header value="Read"/><Text name="post" value="$body"/>'
        '<Choices name="verdict" toName="post" choice="multiple">'
        '<Choice value="porn"/><Choice value="PENGANAS"/></Choices></View>'
    )
    assert control == Control("verdict", "post", "body", {"porn": "porn"}, multiple=True)


def test_a_choice_is_spelled_as_the_config_spells_it() -> None:
    control = read(label_config(["Porn", "Hate"]))
    assert control is not None
    assert control.choices == {"porn": "Porn", "hate": "Hate"}


def test_an_alias_is_what_label_studio_stores() -> None:
    control = read(label_config(["x"]).replace('<Choice value="x"/>', '<Choice value="Lucah!" alias="porn"/>'))
    assert control is not None
    assert control.choices == {"porn": "porn"}


@pytest.mark.parametrize(("choice", "multiple"), [("multiple", True), ("single", False), ("single-radio", False)])
def test_how_many_may_be_ticked(choice: str, multiple: bool) -> None:
    control = read(label_config(["porn", "hate"], choice))
    assert control is not None
    assert control.multiple is multiple


def test_of_several_controls_the_one_with_most_labels_counts() -> None:
    other = '<Choices name="undecided" toName="text"><Choice value="can\'t decide"/><Choice value="hate"/></Choices>'
    control = read(label_config(["porn", "hate"]).replace("</View>", f"{other}</View>"))
    assert control is not None
    assert control.from_name == "labels"


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (None, "brought no label config"),
        (7, "brought no label config"),
        ("  ", "brought no label config"),
        ("<View>", "cannot be parsed"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>', "cannot be parsed"),
        ("<View/>", "no <Choices>"),
        (label_config(["porn"]).replace('value="$text"', 'value="fixed"'), "no <Choices>"),
        (label_config(["porn"]).replace('toName="text"', 'toName="gone"'), "no <Choices>"),
        (label_config([]), "no choice"),
        (label_config(["sports", "politics"]), "no choice"),
    ],
)
def test_a_config_that_takes_no_labels_is_named_once(
    config: object, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    reader = control_reader(TAXONOMY)
    with caplog.at_level(logging.WARNING):
        assert [reader(config), reader(config)] == [None, None]
    [line] = caplog.messages
    assert why in line
    assert "\n" not in line


def choices_of(*choices: str, tag: str = "Choices", attributes: str = 'choice="multiple"') -> str:
    control = f'<{tag} name="labels" toName="text" {attributes}>{"".join(choices)}</{tag}>'
    return f'<View><Text name="text" value="$text"/>{control}</View>'


def offered(*choices: str, tag: str = "Choices", attributes: str = 'choice="multiple"') -> Mapping[str, object]:
    """What is sent for each label; nothing where no label is taken."""
    control = read(choices_of(*choices, tag=tag, attributes=attributes))
    return control.choices if control is not None else {}


@pytest.mark.parametrize(
    "choice",
    [
        '<Choice value="Harassment" alias="2"/>',
        '<Choice value="  HARASSMENT " alias="2"/>',
        '<Choice value="gangguan" alias="2"/>',
        '<Choice value="c2" alias="2" html="Harassment"/>',
        '<Choice value="c2" alias="2" html="&lt;b&gt;Harassment&lt;/b&gt;"/>',
        '<Choice value="c2" alias="2" html="Harassment &lt;small&gt;Gangguan&lt;/small&gt;"/>',
    ],
)
def test_the_alias_is_sent_for_the_label_that_people_see(choice: str) -> None:
    assert offered(choice, '<Choice value="Hate"/>') == {"harassment": "2", "hate": "Hate"}


def test_an_alias_that_names_a_label_goes_before_the_value() -> None:
    assert offered('<Choice value="porn" alias="hate"/>') == {"hate": "hate"}


@pytest.mark.parametrize("html", ["Not &lt;b&gt;hate&lt;/b&gt;", "hate &lt;i&gt;porn&lt;/i&gt;", "&lt;b", ""])
def test_words_that_name_no_single_label_are_none(html: str) -> None:
    assert offered('<Choice value="porn"/>', f'<Choice value="c1" html="{html}"/>') == {"porn": "porn"}


def test_two_labels_that_are_stored_alike_are_not_sent() -> None:
    same = ['<Choice value="hate" alias="1"/>', '<Choice value="porn" alias="1"/>']
    assert offered(*same, '<Choice value="racist"/>') == {"racist": "racist"}


def test_a_taxonomy_takes_the_path_to_a_label() -> None:
    tree = (
        '<Choice value="Harmful" alias="h"><Choice value="Hate" alias="1"/><Choice value="Racist"/></Choice>',
        '<Choice value="Safe for work"/>',
    )
    control = read(choices_of(*tree, tag="Taxonomy", attributes=""))
    assert control is not None
    assert control.choices == {
        "hate": ("h", "1"),
        "racist": ("h", "Racist"),
        "safe for work": ("Safe for work",),
    }
    assert control.limit is None
    region = control.region(["hate", "racist"], {})
    assert region["type"] == "taxonomy"
    assert region["value"] == {"taxonomy": [["h", "1"], ["h", "Racist"]]}


def test_what_can_be_ticked_in_a_tree() -> None:
    tree = '<Choice value="Hate"><Choice value="Racist"/></Choice>'
    both = {"hate": ("Hate",), "racist": ("Hate", "Racist")}
    leaf = {"racist": ("Hate", "Racist")}
    assert offered(tree, tag="Taxonomy", attributes="") == both
    assert offered(tree, tag="Taxonomy", attributes='leafsOnly="true"') == leaf
    # Label Studio's editor ticks a choice with others below it where all of those are ticked
    assert offered(tree, attributes='allowNested="true"') == leaf
    # and does not show a choice within a choice otherwise
    assert offered(tree) == {"hate": "Hate"}
    assert offered('<View><Header value="a"/><Choice value="Hate"/></View>') == {"hate": "Hate"}


@pytest.mark.parametrize(("attributes", "limit"), [("", None), ('maxUsages="1"', 1), ('maxUsages="2"', 2)])
def test_how_many_a_taxonomy_takes(attributes: str, limit: int | None) -> None:
    control = read(choices_of('<Choice value="hate"/>', tag="Taxonomy", attributes=attributes))
    assert control is not None
    assert control.limit == limit


@pytest.mark.parametrize(
    ("tag", "attributes"),
    [
        ("Choices", 'perRegion="true"'),
        ("Choices", 'perItem="true"'),
        ("Taxonomy", 'labeling="true"'),
        ("Taxonomy", 'apiUrl="https://example.com/tree"'),
    ],
)
def test_a_control_for_parts_of_a_text_or_with_choices_from_elsewhere_takes_none(tag: str, attributes: str) -> None:
    assert offered('<Choice value="hate"/>', tag=tag, attributes=attributes) == {}


def test_a_config_of_any_depth_is_read() -> None:
    deep = '<Choice value="x">' * 5000 + '<Choice value="hate"/>' + "</Choice>" * 5000
    assert offered('<Choice value="porn"/>', deep, tag="Taxonomy", attributes="") == {"porn": ("porn",)}


def test_no_more_is_sent_than_may_be_ticked() -> None:
    labels = ["hate", "porn", "racist"]
    scores = {"hate": 0.6, "porn": 0.9, "racist": 0.8}
    sent = []
    for attributes in ('choice="single"', 'maxUsages="2"', ""):
        tag = "Choices" if "choice" in attributes else "Taxonomy"
        control = read(choices_of(*(f'<Choice value="{one}"/>' for one in labels), tag=tag, attributes=attributes))
        assert control is not None
        sent.append(control.region(labels, scores)["value"])
    assert sent == [
        {"choices": ["porn"]},
        {"taxonomy": [["porn"], ["racist"]]},
        {"taxonomy": [["hate"], ["porn"], ["racist"]]},
    ]


def test_in_a_project_of_ours_the_control_with_our_name_counts_while_it_takes_labels() -> None:
    more = "".join(f'<Choice value="{label}"/>' for label in ("hate", "porn", "racist"))
    mood = f'<Choices name="mood" toName="text">{more}</Choices></View>'

    def own(choices: str) -> str | None:
        control = own_control(choices_of(choices).replace("</View>", mood), TAXONOMY)
        return control.from_name if control is not None else None

    assert own('<Choice value="hate"/>') == "labels"
    assert own('<Choice value="sports"/>') == "mood"
    assert own_control("<View>", TAXONOMY) is None
    assert own_control(label_config(["sports"]), TAXONOMY) is None


def test_our_own_page_ticks_keys_and_an_edited_one_what_it_stores() -> None:
    proposal = Proposal(("hate", "porn"), {"hate": 0.9, "porn": 0.8}, confidence=0.7)
    own = own_control(saring_page(TAXONOMY), TAXONOMY)
    assert own is not None
    assert prediction_result(proposal, own) == prediction_result(proposal)
    assert prediction_result(proposal)[0]["value"] == {"choices": ["hate", "porn"]}
    edited = own_control(choices_of('<Choice value="Hate" alias="2"/>', tag="Taxonomy", attributes=""), TAXONOMY)
    assert edited is not None
    # a label that the page lacks is sent all the same: Label Studio's refusal says which one it is
    assert prediction_result(proposal, edited)[0]["value"] == {"taxonomy": [["2"], ["porn"]]}


@given(st.text() | st.text(alphabet="<>/\"'=&;$ Choicesvalue"))
def test_nothing_written_there_is_an_error(config: str) -> None:
    read(config)
