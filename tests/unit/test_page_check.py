"""The labelling page as Label Studio's SDK reads it: what it takes and refuses, and what it could not have made."""

from __future__ import annotations

from typing import Any
from xml.parsers.expat import ExpatError

import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_studio_sdk.label_interface.create import choices
from label_studio_sdk.label_interface.interface import LabelInterface

from pipeline.errors import TaxonomyError
from pipeline.preannotation.label_studio_format import COMMENT, LABELS, TEXT, UNDECIDED, ticks
from pipeline.taxonomy import Taxonomy, load_taxonomy
from sync.project.label_config import label_config
from sync.project.page_check import check_page, refusals
from tests.support.taxonomy import taxonomies, taxonomy_named

_TAXONOMY = load_taxonomy()


def prediction(*labels: str, score: float = 1.0) -> dict[str, Any]:
    return {"result": [ticks(labels)] if labels else [], "score": score, "model_version": "ahead-1"}


@given(taxonomy=taxonomies(), data=st.data())
def test_the_page_of_any_taxonomy_is_one_and_takes_whatever_is_predicted(
    taxonomy: Taxonomy, data: st.DataObject
) -> None:
    config = label_config(taxonomy)
    check_page(config, prediction(*taxonomy.keys))
    some = data.draw(st.lists(st.sampled_from(taxonomy.keys), unique=True))
    assert not refusals(config, [prediction(*some)])


def test_the_sdk_finds_the_controls_by_the_names_that_annotations_carry() -> None:
    page = LabelInterface(label_config(_TAXONOMY))
    assert {control.name for control in page.controls} == {LABELS, UNDECIDED, COMMENT}
    assert {control.to_name[0] for control in page.controls} == {TEXT}
    assert tuple(page.get_control(LABELS).labels) == _TAXONOMY.keys


def test_a_prediction_that_the_page_has_no_room_for_is_refused_with_a_reason() -> None:
    config = label_config(taxonomy_named("hate"))
    given = [prediction("hate"), prediction("porn"), prediction("porn"), prediction("hate", score=7.0), prediction()]
    reasons = refusals(config, given)
    assert sorted(reasons.values()) == [1, 2]
    [(reason, number)] = reasons.most_common(1)
    assert number == 2
    assert "['porn']" in reason
    assert "\n" not in reason
    with pytest.raises(TaxonomyError, match="porn"):
        check_page(config, prediction("hate", "porn"))


def test_a_page_with_two_controls_of_one_name_is_none() -> None:
    config = label_config(taxonomy_named("hate")).replace(f'name="{UNDECIDED}"', f'name="{LABELS}"')
    with pytest.raises(TaxonomyError, match="cannot show"):
        check_page(config, prediction("hate"))


@pytest.mark.parametrize("config", ["", "<View>", '<!DOCTYPE x [<!ENTITY a "b">]><View>&a;</View>'])
def test_of_a_page_that_cannot_be_read_nothing_is_said(config: str) -> None:
    assert not refusals(config, [prediction("hate")])


def test_the_sdk_could_not_have_made_the_page() -> None:
    """It takes words in a tag for another tag, so its pages have no style, and without style there is no blur."""
    style = ("Style", {}, (".saring-blur { filter: blur(0.6em); }",))
    with pytest.raises(ExpatError):
        LabelInterface.create({"look": style, TEXT: "Text"})
    made = LabelInterface.create({TEXT: "Text", LABELS: choices(["hate"])})
    assert '<Choice value="hate"/>' in made, "a choice has no hotkey, no hint, and no words in two languages"
    config = label_config(taxonomy_named("hate"))
    assert "blur" in config[config.index("<Style>") : config.index("</Style>")]
    assert "hotkey=" in config
