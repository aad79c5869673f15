"""Defaults of a label, for what its entry in the file leaves out."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

#: Label Studio has U for itself, and W is for "can't decide"
_HOTKEYS = "1234567890abcdefghijklmnopqrstvxyz"
#: dark enough to be read on white
_COLOURS = (
    *("#1565C0", "#2E7D32", "#EF6C00", "#6A1B9A", "#00838F", "#AD1457", "#4E342E", "#37474F", "#9E9D24", "#283593"),
    *("#C62828", "#00695C", "#F9A825", "#4527A0", "#558B2F", "#0277BD", "#D84315", "#5D4037", "#455A64", "#7B1FA2"),
)
#: turns of the colour wheel between two colours: no two are near one another (the golden ratio)
_TURN = 0.618_033_988_749_895


def with_defaults(nodes: Sequence[Any]) -> list[Any]:
    """The labels as they are written, each with what it leaves out; what is no mapping stays as it is.

    A label without `name` is called by its key. Colours and hotkeys are the first that no label has. A hotkey may be
    written as a bare digit.
    """
    written = [node for node in nodes if isinstance(node, Mapping)]
    colours = _unused(_colours(), {str(node.get("colour")).casefold() for node in written})
    hotkeys = _unused(iter(_HOTKEYS), {str(node.get("hotkey")).casefold() for node in written})
    return [_completed(node, colours, hotkeys) if isinstance(node, Mapping) else node for node in nodes]


def _completed(node: Mapping[str, Any], colours: Iterator[str], hotkeys: Iterator[str]) -> dict[str, Any]:
    label = dict(node)
    if "name" not in label and isinstance(label.get("key"), str) and label["key"].strip():
        called = label["key"].strip()
        called = called[0].upper() + called[1:]
        label["name"] = {"en": called, "ms": called}
    if "colour" not in label:
        label["colour"] = next(colours)
    if "hotkey" not in label and (hotkey := next(hotkeys, None)):
        label["hotkey"] = hotkey
    if isinstance(label.get("hotkey"), int) and not isinstance(label["hotkey"], bool):
        label["hotkey"] = str(label["hotkey"])
    return label


def _colours() -> Iterator[str]:
    yield from _COLOURS
    for i in count(1):
        red, green, blue = (round(255 * part) for part in colorsys.hls_to_rgb(i * _TURN % 1, 0.35, 0.7))
        yield f"#{red:02X}{green:02X}{blue:02X}"


def _unused(values: Iterator[str], taken: set[str]) -> Iterator[str]:
    for value in values:
        if value.casefold() not in taken:
            taken.add(value.casefold())
            yield value
