"""The taxonomy: the file that comes with Saring, and what is said of one that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import TaxonomyError
from pipeline.taxonomy import VARIETIES, Label, Taxonomy, example_taxonomy, load_taxonomy, parse_taxonomy
from tests.support.taxonomy import make_label, taxonomy_of

_KEYS = (
    "hate",
    "violence",
    "self-harm",
    "harassment",
    "racist",
    "religion insult",
    "sexist",
    "porn",
    "psychiatric or mental illness",
    "informative",
    "safe for work",
)


def label(number: int, **changed: str | None) -> str:
    """The lines of a label that is valid beside others of another number; a field given None is left out."""
    usual: dict[str, str | None] = {
        "name": f"{{en: Name {number}, ms: Nama {number}}}",
        "definition": "{en: What it is, ms: Apa ia}",
        "benign": "false",
        "colour": f'"#{number:06}"',
        "hotkey": f'"{number}"' if number < 10 else f"{chr(87 + number)}",
        "aliases": f"[alias {number}]",
        "exemplars": f"{{ms: [contoh {number}], en: [example {number}]}}",
        "near_misses": f"{{en: [{{text: miss {number}, why: it is not}}]}}",
    }
    fields = usual | changed
    lines = [f"  - key: label {number}"]
    lines += [f"    {name}: {value}" for name, value in fields.items() if value is not None]
    return "\n".join(lines)


def file_of(*labels: str) -> bytes:
    return ("# the labels\nlabels:\n" + "\n".join(labels) + "\n").encode()


def complaint(content: bytes) -> str:
    """What is said of a file that is wrong: always one line that begins with its name."""
    with pytest.raises(TaxonomyError) as caught:
        parse_taxonomy(content, "mine.yaml")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("mine.yaml")
    return message


@pytest.fixture(scope="module")
def builtin() -> Taxonomy:
    return load_taxonomy()


def test_the_file_that_comes_with_saring_has_the_eleven_labels_in_order(builtin: Taxonomy) -> None:
    assert builtin.keys == _KEYS
    assert [one.key for one in builtin] == list(_KEYS)


@pytest.mark.parametrize("key", _KEYS)
@pytest.mark.parametrize("variety", VARIETIES)
def test_each_label_is_shown_by_examples_in_each_variety(builtin: Taxonomy, key: str, variety: str) -> None:
    assert len(builtin[key].exemplars[variety]) >= 12
    assert len(builtin[key].near_misses[variety]) >= 6


def test_labels_exclude_each_other_from_both_sides(builtin: Taxonomy) -> None:
    pairs = {(one.key, other) for one in builtin for other in one.excludes}
    assert {(other, one) for one, other in pairs} == pairs


def test_safe_for_work_excludes_the_violations_and_no_benign_label(builtin: Taxonomy) -> None:
    violations = {one.key for one in builtin if not one.benign}
    assert {"hate", "violence", "porn", "racist"} <= violations
    assert set(builtin["safe for work"].excludes) == violations
    assert builtin["safe for work"].benign


def test_sentiment_rules_are_those_of_the_design(builtin: Taxonomy) -> None:
    assert builtin["hate"].sentiment == ("negative",)
    assert builtin["harassment"].sentiment == ("negative",)
    assert set(builtin["safe for work"].sentiment or ()) == {"positive", "neutral"}


def test_a_label_is_found_by_its_names_in_any_case(builtin: Taxonomy) -> None:
    for one in builtin:
        for name in (one.key, *one.aliases):
            assert builtin.canonical(name.upper()) == one.key
            assert builtin.canonical(f"  {name.title()}\n") == one.key
    assert builtin.canonical("religion \t insult") == "religion insult"
    assert builtin.canonical("Hate Speech") == "hate"
    assert builtin.canonical("no such label") is None
    assert builtin.canonical("") is None


def test_a_label_that_is_not_there_is_named_with_those_that_are(builtin: Taxonomy) -> None:
    assert "hate" in builtin
    assert "hat" not in builtin
    with pytest.raises(TaxonomyError, match=r"no label 'hat' .* hate, violence"):
        builtin["hat"]


def test_the_version_changes_with_the_content_and_with_nothing_else(tmp_path: Path, builtin: Taxonomy) -> None:
    content = file_of(label(1), label(2))
    (tmp_path / "a.yaml").write_bytes(content)
    (tmp_path / "b.yaml").write_bytes(content)
    one, same = load_taxonomy(tmp_path / "a.yaml"), load_taxonomy(tmp_path / "b.yaml")
    assert one == same
    reworded = parse_taxonomy(file_of(label(1, definition="{en: Reworded, ms: Apa ia}"), label(2)))
    assert len({one.version, reworded.version, builtin.version}) == 3


def test_an_exclusion_that_one_label_names_holds_for_both() -> None:
    made = parse_taxonomy(file_of(label(1, excludes="[label 3]"), label(2), label(3)))
    assert made.excludes == {"label 1": {"label 3"}, "label 2": set(), "label 3": {"label 1"}}
    assert made["label 3"].excludes == ("label 1",)


def test_a_name_that_is_another_labels_alias_means_that_label_and_a_name_of_two_labels_none() -> None:
    same = "{en: Alias 2, ms: Serupa}"
    made = parse_taxonomy(file_of(label(1, name=same), label(2), label(3, name="{en: Third, ms: serupa}")))
    assert made.canonical("alias 2") == "label 2"
    assert made.canonical("Serupa") is None
    assert made.canonical("nama 2") == made.canonical("NAME 2") == "label 2"


def test_what_may_be_left_out_may_be_left_out() -> None:
    one = parse_taxonomy(file_of(label(1, aliases=None, near_misses=None)))["label 1"]
    assert one.aliases == ()
    assert one.all_near_misses() == []
    assert one.sentiment is None
    assert one.all_exemplars() == ["contoh 1", "example 1"]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("hotkey", '"1"', "hotkey '1' is used twice"),
        ("colour", '"#000001"', "colour '#000001' is used twice"),
        ("aliases", "[Alias 1]", "name 'alias 1' is used twice"),
        ("aliases", "[Label 1]", "name 'label 1' is used twice"),
        ("exemplars", "{en: [example 1]}", "text 'example 1' is used twice"),
        ("exemplars", "{en: [EXAMPLE 1]}", "text 'example 1' is used twice"),
        ("exemplars", "{en: [miss 1]}", "text 'miss 1' is used twice"),
        ("excludes", "[label 3]", "excludes 'label 3', which is not another label"),
        ("excludes", "[label 2]", "excludes 'label 2', which is not another label"),
        ("colour", "red", "`colour` is six hexadecimal digits after #"),
        ("colour", '"#12345"', "`colour` is six hexadecimal digits after #"),
        ("hotkey", "ab", "`hotkey` is one character"),
        ("benign", "perhaps", "`benign` is true or false"),
        ("sentiment", "[furious]", "`sentiment` is a list of any of negative, neutral, positive"),
        ("exemplars", "{fr: [bonjour]}", "unknown variety 'fr'"),
        ("exemplars", "{}", "`exemplars` has a list of texts for each variety"),
        ("definition", "{en: What it is}", "`definition` needs both languages, as in `definition: {en: "),
        ("hotkye", "x", "there is no field `hotkye`: did you mean `hotkey`?"),
        ("why", "x", "there is no field `why`: there are key, name, definition"),
        ("name", "Late", "`name` needs both languages, as in `name: {en: Late, ms: Lewat}`"),
        ("name", "{en: Late}", "`name` needs both languages, as in `name: {en: Late, ms: Lewat}`"),
        ("name", "{en: Late, ms: Lewat, id: Telat}", "there is no field `id` in `name`: there are en, ms"),
        ("aliases", "one", "`aliases` is a list, as in `aliases: [one, two]`"),
        ("aliases", "[one, 2]", "`aliases`, entry 2 is no text: put it in quotes"),
        ("exemplars", "{en: one}", "`exemplars` has a list of texts for each variety"),
        ("exemplars", "[one]", "`exemplars` has a list of texts for each variety"),
        ("exemplars", "{en: [one, 2026]}", "`exemplars.en`, entry 2 is no text: put it in quotes"),
        ("near_misses", "{en: [one]}", "as in `{text: a text, why: the reason}`"),
        ("near_misses", "{en: [{text: one}]}", "`near_misses.en`, entry 1 lacks `why`"),
        ("near_misses", "{en: [{text: one, wy: a, why: b}]}", "there is no field `wy` in `near_misses.en`, entry 1"),
    ],
)
def test_what_is_wrong_is_shown_with_its_line(field: str, value: str, said: str) -> None:
    content = file_of(label(1), label(2, **{field: value}))
    message = complaint(content)
    assert said in message
    lines = content.decode().splitlines()
    wrong = lines.index(f"    {field}: {value}", lines.index("  - key: label 2")) + 1
    assert message.startswith(f"mine.yaml:{wrong}:")


def test_what_is_used_twice_is_shown_with_where_it_was_first() -> None:
    content = file_of(label(1), label(2, hotkey='"1"'))
    first = content.decode().splitlines().index('    hotkey: "1"') + 1
    assert complaint(content).endswith(f"(first at line {first})")


def test_a_repeated_key_is_shown_with_its_line() -> None:
    content = file_of(label(1), label(2).replace("label 2", "label 1"))
    second = content.decode().splitlines().index("  - key: label 1", 3) + 1
    assert complaint(content).startswith(f"mine.yaml:{second}: name 'label 1' is used twice")


@pytest.mark.parametrize("text", ["same line", "Same line"])
def test_a_text_repeated_within_a_label_is_found(text: str) -> None:
    content = file_of(label(1, exemplars=f"{{ms: [{text}], en: [other, {text}]}}"))
    assert "is used twice" in complaint(content)
    content = file_of(label(1, exemplars=f"{{ms: [{text}]}}", near_misses=f"{{ms: [{{text: {text}, why: no}}]}}"))
    assert "is used twice" in complaint(content)


@pytest.mark.parametrize("field", ["definition", "exemplars"])
def test_a_missing_field_is_shown_with_the_line_of_its_label(field: str) -> None:
    content = file_of(label(1), label(2, **{field: None}))
    start = content.decode().splitlines().index("  - key: label 2") + 1
    message = complaint(content)
    assert message.startswith(f"mine.yaml:{start}: label 'label 2': `{field}` is missing: write it, as in `{field}: {{")


@pytest.mark.parametrize(
    "words", ["Field required", "Input should", "String should", "valid dictionary", "instance of"]
)
def test_no_mistake_is_told_in_the_words_of_a_library(words: str) -> None:
    wrong = label(2, name="3", definition="[a]", benign="perhaps", colour="red", hotkey="ab", aliases="{a: b}")
    with pytest.raises(TaxonomyError) as caught:
        parse_taxonomy(file_of(wrong, label(3, exemplars="[one]", near_misses="3", name=None)), "mine.yaml")
    assert len(caught.value.problems) == 8
    assert not [problem for problem in caught.value.problems if words in problem]


def test_every_mistake_is_listed_in_the_order_of_lines() -> None:
    content = file_of(
        label(1, colour="red", hotkye="x"),
        label(2, excludes="[nobody]"),
        "  - just words",
        label(3, aliases="[Label 2]"),
    )
    with pytest.raises(TaxonomyError) as caught:
        parse_taxonomy(content, "mine.yaml")
    problems = caught.value.problems
    lines = [int(problem.split(":")[1]) for problem in problems]
    assert lines == sorted(lines)
    expected = ("`colour`", "`hotkye`", "excludes 'nobody'", "a label is a list entry", "'label 2' is used twice")
    assert [words for words in expected if not any(words in problem for problem in problems)] == []
    assert len(problems) == 5
    # everywhere else it is one line, which says how to see the others
    assert str(caught.value) == f"{problems[0]} (4 more: `saring taxonomy check` lists them)"


def test_a_label_that_excludes_one_with_a_mistake_is_not_reported_itself() -> None:
    with pytest.raises(TaxonomyError) as caught:
        parse_taxonomy(file_of(label(1, excludes="[label 2]"), label(2, colour="red")))
    assert len(caught.value.problems) == 1


def test_what_is_left_out_gets_a_default_that_nothing_else_has() -> None:
    bare = dict.fromkeys(("name", "benign", "colour", "hotkey", "aliases", "near_misses"))
    first = parse_taxonomy(file_of(label(3, colour='"#1565C0"', hotkey="1"), *(label(i, **bare) for i in (1, 2))))
    assert [(one.name.en, one.name.ms) for one in first][1:] == [("Label 1", "Label 1"), ("Label 2", "Label 2")]
    assert [one.benign for one in first] == [False, True, True]
    assert [one.hotkey for one in first] == ["1", "2", "3"]
    assert len({one.colour for one in first}) == 3
    assert all(one.aliases == () and one.near_misses == {} for one in list(first)[1:])


def test_thirty_labels_get_colours_and_hotkeys_of_their_own() -> None:
    bare = dict.fromkeys(("colour", "hotkey"))
    many = parse_taxonomy(file_of(*(label(i, **bare) for i in range(30))))
    assert len({one.colour.casefold() for one in many}) == len({one.hotkey.casefold() for one in many}) == 30
    # Label Studio has this one for itself
    assert "u" not in {one.hotkey for one in many}


def test_a_label_for_which_no_hotkey_is_left_is_named() -> None:
    message = complaint(file_of(*(label(i, colour=None, hotkey=None) for i in range(35))))
    assert "label 'label 34': `hotkey` is missing" in message


def test_a_label_that_is_not_said_to_be_harmful_is_not() -> None:
    assert not parse_taxonomy(file_of(label(1, benign=None), label(2, benign="true"))).has_harmful
    assert parse_taxonomy(file_of(label(1, benign=None), label(2))).has_harmful


def test_exclusion_goes_both_ways_whichever_label_says_it() -> None:
    one_way = parse_taxonomy(file_of(label(1, excludes="[label 2]"), label(2), label(3, excludes="[label 2]")))
    assert [one.excludes for one in one_way] == [("label 2",), ("label 1", "label 3"), ("label 2",)]


def test_a_label_is_found_by_its_name_in_either_language() -> None:
    found = parse_taxonomy(
        file_of(
            label(1, name="{en: Late, ms: Lewat Sangat}"),
            label(2, name="{en: alias 1, ms: Sama}"),
            label(3, name="{en: label 1, ms: Sama}"),
        )
    )
    assert found.canonical("LATE") == found.canonical(" lewat  sangat ") == "label 1"
    # a key and an alias go before a name, and a name that two labels have stands for neither
    assert found.canonical("Alias 1") == found.canonical("Label 1") == "label 1"
    assert found.canonical("sama") is None


def test_the_example_is_a_taxonomy_that_the_documentation_shows_word_for_word() -> None:
    example = parse_taxonomy(example_taxonomy(), "example.yaml")
    assert example.keys == ("late", "crowded", "praise")
    assert not example.has_harmful
    page = Path(__file__).resolve().parents[2].joinpath("docs/taxonomy.md").read_text(encoding="utf-8")
    assert f"```yaml\n{example_taxonomy().decode()}```" in page


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"labels:\n  - key: [\n", 3),
        (b"labels:\n\t- key: x\n", 2),
        (b"labels: *nowhere\n", 1),
        (b"labels:\n  - key: a\n    key: b\n", 3),
        (b"labels:\n  - key: \x07\n", 2),
        (b"labels: \x00\n", 1),
    ],
)
def test_what_is_not_yaml_is_shown_with_its_line(content: bytes, line: int) -> None:
    assert complaint(content).startswith(f"mine.yaml:{line}: not valid YAML: ")


@pytest.mark.parametrize("content", [b"", b"labels: []\n", b"labels:\n", b"[]\n", b"a word\n", b"other: 1\n"])
def test_a_file_without_labels_is_told_what_was_expected(content: bytes) -> None:
    assert complaint(content) == "mine.yaml:1: expected a mapping with a list `labels`"


@pytest.mark.parametrize("entry", ["  - 3", "  - hate", "  -", "  - [a, b]"])
def test_a_label_that_is_no_mapping_is_shown_with_its_line(entry: str) -> None:
    assert complaint(file_of(label(1), entry)).startswith(f"mine.yaml:{3 + label(1).count(chr(10)) + 1}: a label is")


def test_a_file_in_another_encoding_is_told_to_be_utf_8() -> None:
    assert "not UTF-8 text (byte 10)" in complaint(b"# kata ben\xe7i\nlabels: []\n")


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_a_file_that_cannot_be_read_is_named_with_what_to_check(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "labels.yaml")
    with pytest.raises(TaxonomyError, match=r"labels\.yaml.*SARING_TAXONOMY") as caught:
        load_taxonomy(tmp_path / "labels.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "none"),
    [
        # one benign label that excludes all the others, which are harmful
        ((make_label("spam", 0), make_label("ham", 1, benign=True, excludes=("spam",))), "ham"),
        # two benign ones: neither means that the other labels are absent
        ((make_label("late", 0, benign=True), make_label("praise", 1, benign=True, excludes=("late",))), None),
        # one that leaves a label open
        (
            (make_label("a", 0), make_label("b", 1), make_label("fine", 2, benign=True, excludes=("a",))),
            None,
        ),
        ((make_label("spam", 0),), None),
        ((make_label("praise", 0, benign=True),), None),
    ],
)
def test_a_label_means_none_of_the_others_if_it_alone_is_benign_and_excludes_them_all(
    labels: tuple[Label, ...], none: str | None
) -> None:
    assert taxonomy_of(labels).none_label == none


def test_with_the_built_in_labels_a_text_may_have_none(builtin: Taxonomy) -> None:
    assert builtin.none_label is None
