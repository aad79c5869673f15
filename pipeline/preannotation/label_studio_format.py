"""Label Studio's format: control names, predictions, and what a label config can take.

A label config may have been edited by hand by anybody, so it is read with care.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from html import unescape
from typing import Any, Literal
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

from pipeline.taxonomy import Taxonomy

logger = logging.getLogger(__name__)

#: names of the controls, which annotations and predictions carry
TEXT, LABELS, UNDECIDED, COMMENT = "text", "labels", "undecided", "comment"
#: choice of a rater who cannot decide
CANT_DECIDE = "can't decide"
#: choice, beside that one, of a rater who finds that no label fits
NONE_OF_THESE = "none of these"
#: id of the region that ticks labels ahead
_REGION = "saring"
#: number of configs in the cache; a server has about one a project
_KEPT = 64
#: levels of a tree of choices that are read
_DEEPEST = 50
#: a tag of HTML
_TAG = re.compile(r"<[^<>]*>")
#: what people put between the names of a label
_BETWEEN = " /|·-–()[]\n\t"

#: the choices from the top of a tree down to one, as annotations carry them
Path = tuple[str, ...]
#: type of a control's regions, and the name of what they hold
Kind = Literal["choices", "taxonomy"]
_KINDS: Mapping[str, Kind] = {"Choices": "choices", "Taxonomy": "taxonomy"}


def ticks(
    labels: Iterable[str | Path],
    *,
    control: str = LABELS,
    to: str = TEXT,
    kind: Kind = "choices",
    score: float | None = None,
) -> dict[str, Any]:
    """The region of a result that ticks these choices.

    Args:
        labels: choices as annotations carry them; those of a tree as paths.
        control: name of the control that has them.
        to: name of the text that the control is about.
        kind: of the control.
        score: of the region, from 0 to 1; None: without one.
    """
    region: dict[str, Any] = {
        "id": _REGION,
        "from_name": control,
        "to_name": to,
        "type": kind,
        "value": {kind: [list(label) if isinstance(label, tuple) else label for label in labels]},
    }
    return region if score is None else region | {"score": score}


def score_of(priority: float) -> float:
    """The score of a prediction for a task of that priority: Label Studio serves the lowest score first."""
    return 1.0 - priority


@dataclass(frozen=True, slots=True)
class Shown:
    """The parts of a label config that matter for reading annotations."""

    #: choices of each control, by the control's name, in order
    choices: dict[str, tuple[str, ...]]

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that can be ticked."""
        return self.choices.get(LABELS, ())


def read_config(config: str) -> Shown | None:
    """The choices of a label config; None where it cannot be parsed."""
    root = _parse(config)
    if isinstance(root, str):
        return None
    choices: dict[str, list[str]] = {}
    for control in root.iter("Choices"):
        choices.setdefault(control.get("name", ""), []).extend(_spelled(choice) for choice in control.iter("Choice"))
    return Shown({name: tuple(values) for name, values in choices.items()})


@dataclass(frozen=True, slots=True)
class Control:
    """The control that takes Saring's labels, and the field of the task data that it is about."""

    from_name: str
    to_name: str
    #: name of the text in the task data
    variable: str
    #: label key to the choice as annotations carry it: its alias or value; in a tree, the path to it
    choices: Mapping[str, str | Path] = field(default_factory=dict)
    #: true where more than one choice may be ticked
    multiple: bool = False
    kind: Kind = "choices"
    #: largest number of choices that may be ticked, where several may; None: any number
    most: int | None = None

    @property
    def limit(self) -> int | None:
        """The largest number of choices that may be ticked; None: any number."""
        return self.most if self.multiple else 1

    def region(self, labels: Sequence[str], scores: Mapping[str, float], score: float | None = None) -> dict[str, Any]:
        """The region that ticks these labels, or where they are too many, the likeliest of them.

        Args:
            labels: label keys; one that the control has no choice for is sent by its key.
            scores: probability of each label.
            score: of the region, from 0 to 1; None: without one.
        """
        if self.limit is not None and len(labels) > self.limit:
            # Label Studio refuses to submit more
            labels = sorted(labels, key=lambda label: -scores.get(label, 0.0))[: self.limit]
        spelled = [self.choices.get(label, (label,) if self.kind == "taxonomy" else label) for label in labels]
        return ticks(spelled, control=self.from_name, to=self.to_name, kind=self.kind, score=score)


@dataclass(frozen=True, slots=True)
class Reading:
    """The meaning of the choices in a project's annotations, by the label config that it has now."""

    #: names of the controls whose choices are labels
    controls: frozenset[str] = frozenset({LABELS})
    #: for each of them, the label key of each choice, by its path; a choice outside of a tree has a path of one
    names: Mapping[str, Mapping[Path, str]] = field(default_factory=dict)

    @property
    def labels(self) -> frozenset[str]:
        """Keys of the labels that the config has choices for."""
        return frozenset(key for names in self.names.values() for key in names.values())


#: label config in, control out; None: nothing in it can take Saring's labels
ReadConfig = Callable[[object], Control | None]


def control_reader(taxonomy: Taxonomy) -> ReadConfig:
    """A reader with a cache: the same config comes with every request, and a fault in it is logged once."""

    @lru_cache(maxsize=_KEPT)
    def cached(config: str) -> Control | None:
        control = find_control(config, taxonomy)
        if isinstance(control, str):
            logger.warning(
                "no pre-annotation: %s; run `saring sync setup`, or correct the label config of the project", control
            )
            return None
        return control

    def read(config: object) -> Control | None:
        return cached(config if isinstance(config, str) else "")

    return read


def find_control(config: str, taxonomy: Taxonomy) -> Control | str:
    """The control of a label config that takes most labels of the taxonomy; a reason where none does."""
    if not config.strip():
        return "the request brought no label config"
    root = _parse(config)
    if isinstance(root, str):
        return f"the label config cannot be parsed ({root})"
    # Several controls may share words with the taxonomy: the one that takes most labels is meant.
    best = max(_controls(root, taxonomy), key=lambda control: len(control.choices), default=None)
    if best is None:
        return "the label config has no <Choices> or <Taxonomy> for a text from the task data"
    if not best.choices:
        return "no choice in the label config is a label of the taxonomy"
    return best


def own_control(config: str, taxonomy: Taxonomy) -> Control | None:
    """The control for labels in a project of Saring's, whose label config may have been edited by hand.

    It is the one with the name that Saring gives it, or where that takes no label, the one that takes most; None: no
    control takes any.
    """
    root = _parse(config)
    if isinstance(root, str):
        return None
    controls = _controls(root, taxonomy)
    own = next((control for control in controls if control.from_name == LABELS and control.choices), None)
    if own is not None:
        return own
    other = find_control(config, taxonomy)
    return None if isinstance(other, str) or other.from_name == UNDECIDED else other


def reading_of(config: str, taxonomy: Taxonomy) -> Reading:
    """The meaning of choices in a project of Saring's, whose label config may have been edited by hand.

    The control with the name that Saring gives it counts, or where it takes no label, the one that takes most.
    """
    root = _parse(config)
    if isinstance(root, str):
        return Reading()
    names: dict[str, dict[Path, str]] = {}
    for tag in root.iter():
        if tag.tag in _KINDS:
            names.setdefault(tag.get("name", ""), {}).update(_names(tag, taxonomy))
    if names.get(LABELS):
        return Reading(names={LABELS: names[LABELS]})
    control = find_control(config, taxonomy)
    if isinstance(control, str) or control.from_name == UNDECIDED:
        return Reading()
    return Reading(frozenset({LABELS, control.from_name}), {control.from_name: names[control.from_name]})


@dataclass(frozen=True, slots=True)
class _Node:
    """A choice, and its place among the others."""

    path: Path
    tag: Element
    #: whether it can be ticked by itself
    tickable: bool


def _controls(root: Element, taxonomy: Taxonomy) -> list[Control]:
    values = {tag.get("name"): tag.get("value", "") for tag in root.iter() if tag.get("name")}
    return [
        control for tag in root.iter() if tag.tag in _KINDS and (control := _control(tag, values, taxonomy)) is not None
    ]


def _control(tag: Element, values: Mapping[str | None, str], taxonomy: Taxonomy) -> Control | None:
    name, to_name = tag.get("name", ""), tag.get("toName", "")
    value = values.get(to_name, "")
    if not name or not value.startswith("$") or len(value) < 2:
        return None
    if any(_is_set(tag, attribute) for attribute in ("perregion", "peritem", "labeling")):
        # about a part of the text
        return None
    if _attribute(tag, "apiurl"):
        # its choices are at that address, and any here are not shown
        return None
    kind = _KINDS[tag.tag]
    if kind == "choices":
        multiple, most = tag.get("choice", "").startswith("multiple"), None
    else:
        most = _number(_attribute(tag, "maxusages"))
        multiple, most = most != 1, most if most != 1 else None
    return Control(name, to_name, value[1:], _choices(tag, taxonomy), multiple, kind, most)


def _choices(tag: Element, taxonomy: Taxonomy) -> dict[str, str | Path]:
    names = _names(tag, taxonomy)
    choices: dict[str, str | Path] = {}
    for node in _nodes(tag):
        key = names.get(node.path)
        if key is not None and node.tickable:
            choices.setdefault(key, node.path if _is_tree(tag) else node.path[-1])
    return choices


def _names(tag: Element, taxonomy: Taxonomy) -> dict[Path, str]:
    """Label keys of a control's choices, by path; none for choices that annotations carry alike and that differ."""
    meant: dict[Path, set[str | None]] = {}
    for node in _nodes(tag):
        meant.setdefault(node.path, set()).add(_meant(node.tag, taxonomy))
    return {path: key for path, keys in meant.items() if len(keys) == 1 for key in keys if key is not None}


def _nodes(tag: Element) -> Iterator[_Node]:
    """The choices of a control in the order of the page, as Label Studio's editor takes them.

    A `<Taxonomy>` is a tree, and so is a `<Choices>` with `allowNested`, in which only a choice without choices below
    it can be ticked by itself. In any other `<Choices>`, a choice within a choice is not shown.
    """
    tree = _is_tree(tag)
    only_leaves = tree and (tag.tag == "Choices" or _is_set(tag, "leafsonly"))
    # a stack, because a config may be nested more deeply than calls can be
    waiting: list[tuple[Element, Path]] = [(child, ()) for child in reversed(tag)]
    while waiting:
        element, above = waiting.pop()
        below = above
        if element.tag == "Choice":
            below = (*above, _spelled(element))
            yield _Node(below, element, not only_leaves or element.find(".//Choice") is None)
            if not tree:
                continue
        if len(below) < _DEEPEST:
            waiting += [(child, below) for child in reversed(element)]


def _is_tree(tag: Element) -> bool:
    return tag.tag == "Taxonomy" or _is_set(tag, "allownested")


def _meant(choice: Element, taxonomy: Taxonomy) -> str | None:
    """The label that a choice stands for: by its alias, its value, or the words that it shows."""
    for name in (choice.get("alias"), choice.get("value")):
        if name and (key := taxonomy.canonical(name)) is not None:
            return key
    pieces = [unescape(piece).strip(_BETWEEN) for piece in _TAG.split(choice.get("html", ""))]
    words = [piece for piece in pieces if piece]
    # "Hate <small>Kebencian</small>" is one label by two names; "Not <b>hate</b>" is none
    keys = {taxonomy.canonical(" ".join(words))} if words else set()
    if keys == {None}:
        keys = {taxonomy.canonical(word) for word in words}
    return keys.pop() if len(keys) == 1 else None


def _spelled(choice: Element) -> str:
    """A choice as annotations carry it: Label Studio stores the alias where there is one."""
    return choice.get("alias") or choice.get("value") or ""


def _attribute(tag: Element, name: str) -> str:
    """An attribute by its name in lower case: Label Studio's editor does not tell upper from lower case there."""
    return next((value for key, value in tag.attrib.items() if key.lower() == name), "")


def _is_set(tag: Element, name: str) -> bool:
    return _attribute(tag, name).strip().lower() == "true"


def _number(value: str) -> int | None:
    return int(value) if value.isdecimal() and len(value) < 10 and int(value) > 0 else None


def _parse(config: str) -> Element | str:
    """The root of a label config; the name of the error where it cannot be parsed."""
    try:
        root: Element = ElementTree.fromstring(config, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        return type(error).__name__
    return root
