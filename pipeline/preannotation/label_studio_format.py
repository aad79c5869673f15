"""Label Studio's format: control names, predictions, and what a label config can take.

A label config may have been edited by hand by anybody, so it is read with care.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

from pipeline.taxonomy import Taxonomy

logger = logging.getLogger(__name__)

#: names of the controls, which annotations and predictions carry
TEXT, LABELS, UNDECIDED, COMMENT = "text", "labels", "undecided", "comment"
#: choice of a rater who cannot decide
CANT_DECIDE = "can't decide"
#: id of the region that ticks labels ahead
_REGION = "saring"
#: number of configs in the cache; a server has about one a project
_KEPT = 64


def ticks(
    labels: Iterable[str], *, control: str = LABELS, to: str = TEXT, score: float | None = None
) -> dict[str, Any]:
    """The region of a result that ticks these choices.

    Args:
        labels: choices as the config spells them.
        control: name of the control that has them.
        to: name of the text that the control is about.
        score: of the region, from 0 to 1; None: without one.
    """
    region: dict[str, Any] = {
        "id": _REGION,
        "from_name": control,
        "to_name": to,
        "type": "choices",
        "value": {"choices": list(labels)},
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
    #: label key to the choice as it is spelled in the config
    choices: Mapping[str, str] = field(default_factory=dict)
    #: true where more than one choice may be ticked
    multiple: bool = False


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
    values = {tag.get("name"): tag.get("value", "") for tag in root.iter() if tag.get("name")}
    controls: list[Control] = []
    for tag in root.iter("Choices"):
        to_name = tag.get("toName", "")
        value = values.get(to_name, "")
        if tag.get("name") and value.startswith("$") and len(value) > 1:
            multiple = tag.get("choice", "").startswith("multiple")
            controls.append(Control(tag.get("name", ""), to_name, value[1:], _choices(tag, taxonomy), multiple))
    # Several controls may share words with the taxonomy: the one that takes most labels is meant.
    best = max(controls, key=lambda control: len(control.choices), default=None)
    if best is None:
        return "the label config has no <Choices> for a text from the task data"
    if not best.choices:
        return "no choice in the label config is a label of the taxonomy"
    return best


def _choices(tag: Element, taxonomy: Taxonomy) -> dict[str, str]:
    choices: dict[str, str] = {}
    for choice in tag.iter("Choice"):
        spelled = _spelled(choice)
        key = taxonomy.canonical(spelled)
        if key is not None:
            choices.setdefault(key, spelled)
    return choices


def _spelled(choice: Element) -> str:
    """A choice as annotations carry it: Label Studio stores the alias where there is one."""
    return choice.get("alias") or choice.get("value") or ""


def _parse(config: str) -> Element | str:
    """The root of a label config; the name of the error where it cannot be parsed."""
    try:
        root: Element = ElementTree.fromstring(config, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        return type(error).__name__
    return root
