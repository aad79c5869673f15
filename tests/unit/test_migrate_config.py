"""How one label config becomes another, and when it must not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import LabelStudioError
from pipeline.taxonomy import Bilingual, Taxonomy
from sync.project.label_config import label_config
from sync.project.migrate_config import Migration, plan
from tests.support.taxonomy import make_label, taxonomy_named, taxonomy_of

_NAMES = ["hate", "porn", "racist", "info", "sexist"]


def planned(
    old: Taxonomy | str,
    new: Taxonomy,
    uses: Mapping[str, int] | None = None,
    *,
    force: bool = False,
    drop: bool = False,
) -> Migration:
    before = old if isinstance(old, str) else label_config(old)
    return plan(before, label_config(new), new, uses or {}, force=force, drop_labels=drop)


def complaint(old: Taxonomy | str, new: Taxonomy, uses: Mapping[str, int] | None = None, *, force: bool = False) -> str:
    with pytest.raises(LabelStudioError) as caught:
        planned(old, new, uses, force=force)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_label_that_comes_is_added() -> None:
    found = planned(taxonomy_named("hate"), taxonomy_named("hate", "porn"), {"hate": 9})
    assert found == Migration(("hate",), ("porn",), {}, ())
    assert str(found) == "added porn"


def test_a_label_that_goes_under_an_alias_of_another_is_renamed_and_may_be_in_use() -> None:
    new = taxonomy_of([make_label("hate", aliases=("hateful",))])
    found = planned(taxonomy_named("Hateful"), new, {"Hateful": 3})
    assert found == Migration(("Hateful",), (), {"Hateful": "hate"}, ())
    assert str(found) == "renamed Hateful to hate"


def test_a_label_that_goes_and_is_not_used_is_dropped() -> None:
    found = planned(taxonomy_named("hate", "porn"), taxonomy_named("hate"), {"hate": 2, "porn": 0})
    assert found == Migration(("hate", "porn"), (), {}, ("porn",))
    assert str(found) == "dropped porn"


def test_a_label_that_is_used_does_not_go_unasked() -> None:
    old, new = taxonomy_named("hate", "porn", "racist", "info"), taxonomy_named("hate")
    said = complaint(old, new, {"hate": 5, "porn": 2, "racist": 1})
    assert "'porn' (2), 'racist' (1)" in said
    assert "'info'" not in said
    assert "aliases" in said
    assert "--drop-labels" in said
    # force is for edits by hand only
    assert complaint(old, new, {"porn": 2}, force=True).startswith("the taxonomy no longer has")
    assert planned(old, new, {"porn": 2}, drop=True).dropped == ("porn", "racist", "info")


def test_other_words_are_said_to_be_no_more_than_that() -> None:
    other = taxonomy_of([make_label("hate", name=Bilingual(en="Hatred", ms="Kebencian"))])
    assert str(planned(taxonomy_named("hate"), other)) == "wording or looks"


def test_a_config_that_was_edited_is_refused_with_what_differs() -> None:
    taxonomy = taxonomy_named("hate", "porn")
    edited = label_config(taxonomy).replace('value="porn"', 'value="lewd"')
    said = complaint(edited, taxonomy)
    assert "edited by hand" in said
    assert "--force" in said
    assert 'value="lewd"' in said
    assert '+ <Choice value="lewd"' in said
    assert '- <Choice value="porn"' in said
    assert planned(edited, taxonomy, force=True).added == ("porn",)


def test_a_long_difference_is_cut() -> None:
    keys = [f"label {i}" for i in range(20)]
    said = complaint("<View>\n" + "\n".join(f"<!-- {key} -->" for key in keys) + "\n</View>", taxonomy_named(*keys))
    assert " more" in said
    assert len(said) < 1_000


@pytest.mark.parametrize("old", ["", "<View></View>", "<View", "nonsense"])
def test_a_project_without_a_config_of_ours_takes_force(old: str) -> None:
    new = taxonomy_named("hate")
    complaint(old, new)
    assert planned(old, new, force=True) == Migration((), ("hate",), {}, ())


@given(
    old=st.lists(st.sampled_from(_NAMES), min_size=1, unique=True),
    new=st.lists(st.sampled_from(_NAMES), min_size=1, unique=True),
    uses=st.dictionaries(st.sampled_from(_NAMES), st.integers(0, 5)),
)
def test_no_label_in_use_goes_without_being_named(old: list[str], new: list[str], uses: dict[str, int]) -> None:
    lost = {name for name in old if name not in new and uses.get(name)}
    before, after = taxonomy_named(*old), taxonomy_named(*new)
    if lost:
        said = complaint(before, after, uses)
        assert all(repr(name) in said for name in lost)
        return
    found = planned(before, after, uses)
    assert found.shown == tuple(old)
    assert set(found.shown) - set(found.dropped) | set(found.added) == set(new)
