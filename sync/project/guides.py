"""The guides for volunteers, made from the taxonomy: one in English, one in Malay."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline.pages.render import render
from pipeline.taxonomy import Label, Taxonomy
from sync.project.care import HELP_LINES
from sync.project.language import Language

#: name of the file of each
FILES: Mapping[Language, str] = {Language.EN: "annotator-guide.md", Language.MS: "annotator-guide.ms.md"}
#: what Markdown reads as marks
_MARKS = re.compile(r"([\\`*_\[\]<>#|])")


def guides(taxonomy: Taxonomy, pictures: str | None = None) -> dict[str, str]:
    """The guides as Markdown, by the names of their files.

    Args:
        taxonomy: the labels.
        pictures: folder or address of the pictures of the labelling page; None: without pictures.
    """

    def excluded(label: Label, language: str) -> str:
        return ", ".join(Language(language).of(taxonomy[key].name) for key in label.excludes)

    none = taxonomy[taxonomy.none_label].name if taxonomy.none_label is not None else None
    values = {
        "labels": list(taxonomy),
        "harmful": taxonomy.has_harmful,
        "none_label": none.en if none is not None else "",
        "none_label_ms": none.ms if none is not None else "",
        "help_lines": HELP_LINES,
        "pictures": pictures,
        "excluded": excluded,
    }
    return {
        name: render("sync.project", f"guide.{language}.md.j2", values, filters={"md": _plain})
        for language, name in FILES.items()
    }


def _plain(words: str) -> str:
    """Words that Markdown leaves as they are, on one line."""
    return _MARKS.sub(r"\\\1", " ".join(str(words).split()))
