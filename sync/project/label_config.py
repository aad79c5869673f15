"""The labelling page of Label Studio, made from the taxonomy.

What Label Studio sends back of a ticked choice is its `value`, so that is the label's key, and people read the
choice's `html`. Labels are not `required`: Label Studio cannot ask for "labels, or that you can't decide", and a task
that can't be submitted without a guess makes people guess. Without `enable_empty_annotation` it keeps an empty page
from being submitted, and a comment alone counts for nothing when annotations are pulled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape as escape_html
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from pipeline.errors import TaxonomyError
from pipeline.preannotation.label_studio_format import CANT_DECIDE, COMMENT, LABELS, TEXT, UNDECIDED
from pipeline.taxonomy import Label, Taxonomy
from sync.project.seal import PLACE, seal

#: keys that the editor of Label Studio has for itself on a page without regions to draw
RESERVED_HOTKEYS = frozenset("u")
#: for "can't decide": the first that no label has
_SPARE_HOTKEYS = "wzxpyrtg"
#: what XML cannot hold, not even escaped
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_POINT_HERE = "Text (point here to read it) / Teks (halakan ke sini untuk membaca)"
#: The blur goes with a pointer over the text, or with the keyboard's focus on its heading. No `>`: Label Studio cleans
#: styles as if they were HTML.
_BLUR = """
.saring-blur { filter: blur(0.6em); transition: filter 0.15s; font-size: 1.2em; line-height: 1.6; }
.saring-text:hover .saring-blur, .saring-text:focus-within .saring-blur { filter: none; }
""".strip()
_PLAIN = ".saring-plain { font-size: 1.2em; line-height: 1.6; }"
_STYLE = """
.saring-choices small { opacity: 0.75; }
.saring-why * { white-space: pre-line; font-size: 14px; font-weight: normal; }
""".strip()


def label_config(taxonomy: Taxonomy) -> str:
    """The label config of a project, as XML, sealed (sync.project.seal); the same for the same taxonomy.

    Raises:
        TaxonomyError: a label's hotkey is one that Label Studio has for itself, or no page can hold its words.
    """
    root = Element("View", className=PLACE)
    harmful = taxonomy.has_harmful
    SubElement(root, "Style").text = f"\n{_BLUR if harmful else _PLAIN}\n{_STYLE}\n"
    _header(root, "Which labels fit this text? / Label manakah yang sesuai dengan teks ini?", size="4")
    text = SubElement(root, "View", className="saring-text")
    panel = _panel(text, _POINT_HERE if harmful else "Text / Teks", is_open=True)
    shown = SubElement(panel, "View", className="saring-blur" if harmful else "saring-plain")
    SubElement(shown, "Text", name=TEXT, value="$text")
    choices = SubElement(root, "View", className="saring-choices")
    labels = SubElement(choices, "Choices", name=LABELS, toName=TEXT, choice="multiple", layout="inline")
    for label in taxonomy:
        labels.append(_choice(label))
    undecided = SubElement(choices, "Choices", name=UNDECIDED, toName=TEXT, choice="multiple", layout="inline")
    SubElement(
        undecided,
        "Choice",
        value=CANT_DECIDE,
        html=_html("Can't decide", "Tak pasti"),
        hotkey=_spare_hotkey(taxonomy),
        hint="Tick this alone when you can't say / Tandakan ini sahaja jika anda tidak pasti",
    )
    SubElement(
        root,
        "TextArea",
        name=COMMENT,
        toName=TEXT,
        maxSubmissions="1",
        rows="1",
        required="false",
        placeholder="Comment, if you like / Ulasan, jika mahu",
    )
    why = _panel(
        SubElement(root, "View", className="saring-why"), "Why these labels? / Kenapa label ini?", is_open=False
    )
    # not a Text: Label Studio refuses tasks without a field that a Text shows, and people make tasks by hand
    _header(why, "$why", size="6")
    indent(root)
    return seal(tostring(root, encoding="unicode"))


def _choice(label: Label) -> Element:
    if label.hotkey.casefold() in RESERVED_HOTKEYS:
        raise TaxonomyError(f"label {label.key!r}: Label Studio needs the hotkey {label.hotkey!r} itself; give another")
    hint = f"{label.definition.en} / {label.definition.ms}"
    choice = Element(
        "Choice",
        value=label.key,
        html=_html(label.name.en, label.name.ms),
        hotkey=label.hotkey.casefold(),
        hint=" ".join(hint.split()),
        style=f"border-left: 4px solid {label.colour}; padding-left: 8px; margin: 2px 12px 2px 0",
    )
    if any(_NOT_XML.search(value) for value in choice.attrib.values()):
        raise TaxonomyError(f"label {label.key!r}: its key, name or definition has a control character: remove it")
    return choice


def _spare_hotkey(taxonomy: Taxonomy) -> str:
    taken = {label.hotkey.casefold() for label in taxonomy}
    return next((key for key in _SPARE_HOTKEYS if key not in taken), "")


def _html(en: str, ms: str) -> str:
    return f"{escape_html(en, quote=False)} <small lang='ms'>{escape_html(ms, quote=False)}</small>"


def _header(parent: Element, value: str, *, size: str) -> None:
    SubElement(parent, "Header", value=value, size=size)


def _panel(parent: Element, title: str, *, is_open: bool) -> Element:
    collapse = SubElement(parent, "Collapse", accordion="false", bordered="true", open=str(is_open).lower())
    return SubElement(collapse, "Panel", value=title)


def label_changes(old: Sequence[str], new: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Labels that come and labels that go, in order."""
    return tuple(key for key in new if key not in old), tuple(key for key in old if key not in new)
