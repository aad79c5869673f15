"""What a project asks for: read from its label config, which anybody may have edited by hand."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

from pipeline.taxonomy import Taxonomy

logger = logging.getLogger(__name__)

#: configs kept at once; a server has about one a project
_KEPT = 64


@dataclass(frozen=True, slots=True)
class Control:
    """The control that takes Saring's labels, and the field of the task data that it is about."""

    from_name: str
    to_name: str
    #: name of the text in the task data
    variable: str
    #: label key to the choice as the config spells it
    choices: Mapping[str, str] = field(default_factory=dict)
    #: whether more than one choice may be ticked
    multiple: bool = False


#: label config in, control out; None: nothing in it can take Saring's labels
ReadConfig = Callable[[object], Control | None]


def config_reader(taxonomy: Taxonomy) -> ReadConfig:
    """A reader that remembers: the same config comes with every request, and what is wrong with it is said once."""

    @lru_cache(maxsize=_KEPT)
    def remembered(config: str) -> Control | None:
        control, trouble = _read(config, taxonomy)
        if control is None:
            logger.warning(
                "no pre-annotation: %s; run `saring sync setup`, or mend the project's label config", trouble
            )
        return control

    def read(config: object) -> Control | None:
        return remembered(config if isinstance(config, str) else "")

    return read


def _read(config: str, taxonomy: Taxonomy) -> tuple[Control | None, str]:
    """The control, else what is wrong."""
    if not config.strip():
        return None, "the request brought no label config"
    try:
        root: Element = ElementTree.fromstring(config, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        return None, f"the label config cannot be parsed ({type(error).__name__})"
    values = {tag.get("name"): tag.get("value", "") for tag in root.iter() if tag.get("name")}
    found: list[Control] = []
    for tag in root.iter("Choices"):
        to_name = tag.get("toName", "")
        value = values.get(to_name, "")
        if tag.get("name") and value.startswith("$") and len(value) > 1:
            multiple = tag.get("choice", "").startswith("multiple")
            found.append(Control(tag.get("name", ""), to_name, value[1:], _choices(tag, taxonomy), multiple))
    # several controls may share words with the taxonomy: the one that takes most labels is meant
    best = max(found, key=lambda control: len(control.choices), default=None)
    if best is None:
        return None, "the label config has no <Choices> for a text from the task data"
    if not best.choices:
        return None, "no choice in the label config is a label of the taxonomy"
    return best, ""


def _choices(tag: Element, taxonomy: Taxonomy) -> dict[str, str]:
    choices: dict[str, str] = {}
    for choice in tag.iter("Choice"):
        # Label Studio stores the alias where there is one
        spelled = choice.get("alias") or choice.get("value") or ""
        key = taxonomy.canonical(spelled)
        if key is not None:
            choices.setdefault(key, spelled)
    return choices
