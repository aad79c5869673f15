"""The taxonomy: names, definitions, colours and examples of all labels, read from a YAML file.

The taxonomy's version is the hash of the file's content and is stored with every judgement. A label is always
identified by its key, never by its position.
"""

from __future__ import annotations

from pipeline.taxonomy.labels import (
    SENTIMENTS,
    VARIETIES,
    Bilingual,
    Label,
    NearMiss,
    Sentiment,
    Taxonomy,
)
from pipeline.taxonomy.reading import example_taxonomy, load_taxonomy, parse_taxonomy, version_of

__all__ = [
    "SENTIMENTS",
    "VARIETIES",
    "Bilingual",
    "Label",
    "NearMiss",
    "Sentiment",
    "Taxonomy",
    "example_taxonomy",
    "load_taxonomy",
    "parse_taxonomy",
    "version_of",
]
