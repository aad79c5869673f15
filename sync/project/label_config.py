"""The labelling page of Label Studio, made from the taxonomy.

What Label Studio sends back of a ticked choice is its `value`, so that is the label's key, and people read the
choice's `html`. Labels are not `required`: Label Studio cannot ask for "labels, or that you can't decide", and a task
that can't be submitted without a guess makes people guess. Without `enable_empty_annotation` it keeps an empty page
from being submitted, and a comment alone counts for nothing when annotations are pulled. A text that no label fits has
an answer of its own, unless the taxonomy has a label that says so (`Taxonomy.none_label`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape as escape_html
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from pipeline.errors import TaxonomyError
from pipeline.preannotation.label_studio_format import CANT_DECIDE, COMMENT, LABELS, NONE_OF_THESE, TEXT, UNDECIDED
from pipeline.taxonomy import Bilingual, Label, Taxonomy
from sync.project.language import Language
from sync.project.page_style import BLURRED, CHOICES, CONFLICT, PAGE, PLAIN, TEXT_BOX, WHY, page_style
from sync.project.seal import PLACE, seal

#: keys that the editor of Label Studio has for itself on a page without regions to draw
RESERVED_HOTKEYS = frozenset("u")
#: for "can't decide" and "none of these": the first that no label has
_SPARE_HOTKEYS = "wzxpyrtg"
#: what XML cannot hold, not even escaped
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def label_config(taxonomy: Taxonomy, language: Language = Language.EN) -> str:
    """The label config of a project, as XML, sealed (sync.project.seal); the same for the same arguments.

    Args:
        taxonomy: the labels.
        language: the one that comes first on the page.

    Raises:
        TaxonomyError: a label's hotkey is one that Label Studio has for itself, or no page can hold its words.
    """
    root = Element("View", className=f"{PLACE} {PAGE}")
    harmful = taxonomy.has_harmful
    SubElement(root, "Style").text = f"\n{page_style(_excluding(taxonomy), blurred=harmful)}\n"
    _header(root, language.both("Which labels fit this text?", "Label manakah yang sesuai dengan teks ini?"), size="4")
    panel = _panel(
        SubElement(root, "View", className=TEXT_BOX),
        language.both("Show or hide the text", "Tunjukkan atau sembunyikan teks") if harmful else "Text / Teks",
        is_open=not harmful,
    )
    shown = SubElement(panel, "View", className=BLURRED if harmful else PLAIN)
    SubElement(shown, "Text", name=TEXT, value="$text")
    choices = SubElement(root, "View", className=CHOICES)
    answers = _answers(taxonomy, language)
    labels = SubElement(
        choices,
        "Choices",
        name=LABELS,
        toName=TEXT,
        choice="multiple",
        layout="inline",
        # what is not shown is not submitted, so ticks made ahead do not contradict "none of these"
        visibleWhen="choice-unselected",
        whenTagName=UNDECIDED,
        whenChoiceValue=",".join(answer.attrib["value"] for answer in answers),
    )
    for label in taxonomy:
        labels.append(_choice(label, language))
    conflict = language.both(
        "Two of the ticked labels don't go together. Untick the one that fits less.",
        "Dua label yang ditanda tidak boleh bersama. Buang tanda pada label yang kurang sesuai.",
    )
    _header(SubElement(choices, "View", className=CONFLICT), conflict, size="6")
    others = SubElement(choices, "Choices", name=UNDECIDED, toName=TEXT, choice="single", layout="inline")
    others.extend(answers)
    SubElement(
        root,
        "TextArea",
        name=COMMENT,
        toName=TEXT,
        maxSubmissions="1",
        rows="1",
        required="false",
        placeholder=language.both("Comment, if you like", "Ulasan, jika mahu"),
    )
    why = _panel(
        SubElement(root, "View", className=WHY),
        language.both("Why these labels?", "Kenapa label ini?"),
        is_open=False,
    )
    # not a Text: Label Studio refuses tasks without a field that a Text shows, and people make tasks by hand
    _header(why, "$why", size="6")
    indent(root)
    return seal(tostring(root, encoding="unicode"))


def _answers(taxonomy: Taxonomy, language: Language) -> list[Element]:
    """The choices for those who tick no label."""
    taken = {label.hotkey.casefold() for label in taxonomy}
    spare = [key for key in _SPARE_HOTKEYS if key not in taken] + ["", ""]
    undecided = Element(
        "Choice",
        value=CANT_DECIDE,
        html=_html(Bilingual(en="Can't decide", ms="Tak pasti"), language),
        hotkey=spare[0],
        hint=language.both("You can't say which labels fit", "Anda tidak pasti label mana yang sesuai"),
    )
    if taxonomy.none_label is not None:
        return [undecided]
    none = Element(
        "Choice",
        value=NONE_OF_THESE,
        html=_html(Bilingual(en="None of these", ms="Tiada satu pun"), language),
        hotkey=spare[1],
        hint=language.both("You read it, and no label fits", "Anda sudah membacanya, dan tiada label yang sesuai"),
    )
    return [none, undecided]


def _excluding(taxonomy: Taxonomy) -> list[tuple[str, str]]:
    """Pairs of labels that exclude each other, each once."""
    keys = taxonomy.keys
    return [(a, b) for i, a in enumerate(keys) for b in keys[i + 1 :] if b in taxonomy.excludes[a]]


def _choice(label: Label, language: Language) -> Element:
    if label.hotkey.casefold() in RESERVED_HOTKEYS:
        raise TaxonomyError(f"label {label.key!r}: Label Studio needs the hotkey {label.hotkey!r} itself; give another")
    hint = language.both(label.definition.en, label.definition.ms)
    choice = Element(
        "Choice",
        value=label.key,
        html=_html(label.name, language),
        hotkey=label.hotkey.casefold(),
        hint=" ".join(hint.split()),
        style=f"border-left: 4px solid {label.colour}; padding-left: 8px; margin: 2px 8px 2px 0",
    )
    if any(_NOT_XML.search(value) for value in choice.attrib.values()):
        raise TaxonomyError(f"label {label.key!r}: its key, name or definition has a control character: remove it")
    return choice


def _html(words: Bilingual, language: Language) -> str:
    first, second = language.ordered(words)
    return (
        f"{escape_html(first, quote=False)} <small lang='{language.other}'>{escape_html(second, quote=False)}</small>"
    )


def _header(parent: Element, value: str, *, size: str) -> None:
    SubElement(parent, "Header", value=value, size=size)


def _panel(parent: Element, title: str, *, is_open: bool) -> Element:
    collapse = SubElement(parent, "Collapse", accordion="false", bordered="true", open=str(is_open).lower())
    return SubElement(collapse, "Panel", value=title)


def label_changes(old: Sequence[str], new: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Labels that come and labels that go, in order."""
    return tuple(key for key in new if key not in old), tuple(key for key in old if key not in new)
