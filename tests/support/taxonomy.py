"""Taxonomies made by hand, for what is generated from one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from pipeline.taxonomy import Bilingual, Label, Taxonomy

#: one for each label of a small taxonomy
HOTKEYS = "123456789abcdefghijkl"
#: what a label may be called: anything that XML can hold
_WORDS = (
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), min_size=1, max_size=30).map(str.strip).filter(bool)
)


def make_label(key: str, number: int = 0, **changed: Any) -> Label:
    """A label with everything that one needs."""
    usual: dict[str, Any] = {
        "key": key,
        "name": Bilingual(en=key.title(), ms=f"Nama {key}"),
        "definition": Bilingual(en=f"What {key} is", ms=f"Apa itu {key}"),
        "benign": False,
        "colour": f"#{number:06x}",
        "hotkey": HOTKEYS[number],
        "exemplars": {"en": (f"an example of {key}",), "ms": (f"contoh {key}",)},
    }
    return Label(**(usual | changed))


def taxonomy_of(labels: Iterable[Label]) -> Taxonomy:
    """A taxonomy of these labels, with a version of its own for each content."""
    given = tuple(labels)
    said = "\n".join(label.model_dump_json() for label in given)
    return Taxonomy(version=hashlib.blake2b(said.encode(), digest_size=8).hexdigest(), labels=given)


def taxonomy_named(*keys: str) -> Taxonomy:
    """A taxonomy of labels that are called so."""
    return taxonomy_of(make_label(key, number) for number, key in enumerate(keys))


@st.composite
def taxonomies(draw: st.DrawFn) -> Taxonomy:
    keys = draw(st.lists(_WORDS, min_size=1, max_size=len(HOTKEYS), unique_by=lambda key: key.casefold()))
    return taxonomy_of(
        make_label(
            key,
            number,
            name=Bilingual(en=draw(_WORDS), ms=draw(_WORDS)),
            definition=Bilingual(en=draw(_WORDS), ms=draw(_WORDS)),
        )
        for number, key in enumerate(keys)
    )
