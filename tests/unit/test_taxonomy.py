"""The taxonomy: the file that comes with Saring, and what is said of one that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import TaxonomyError
from pipeline.taxonomy import VARIETIES, Taxonomy, load_taxonomy, parse_taxonomy

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
        "colour": f'"#00000{number}"',
        "hotkey": f'"{number}"',
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
        ("colour", "red", "colour: String should match"),
        ("colour", '"#12345"', "colour: String should match"),
        ("hotkey", "ab", "hotkey: String should have at most 1 character"),
        ("benign", "perhaps", "benign: Input should be a valid boolean"),
        ("sentiment", "[furious]", "sentiment.0: Input should be"),
        ("exemplars", "{fr: [bonjour]}", "unknown variety 'fr'"),
        ("exemplars", "{}", "exemplars: "),
        ("definition", "{en: What it is}", "definition.ms: Field required"),
        ("hotkye", "x", "hotkye: Extra inputs are not permitted"),
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


@pytest.mark.parametrize("field", ["name", "definition", "benign", "colour", "hotkey", "exemplars"])
def test_a_missing_field_is_shown_with_the_line_of_its_label(field: str) -> None:
    content = file_of(label(1), label(2, **{field: None}))
    start = content.decode().splitlines().index("  - key: label 2") + 1
    assert complaint(content) == f"mine.yaml:{start}: label 'label 2': {field}: Field required"


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
