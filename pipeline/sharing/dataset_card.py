"""The card of a data set for the Hugging Face Hub: content, origin and limits.

After "Datasheets for Datasets" (Gebru et al. 2021) and the Hub's own template. It holds no text of the data and no
date: the same data have the same card.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.judgement import Tier
from pipeline.learning.sets.balance import Balance
from pipeline.ledger.test_set import FrozenTest
from pipeline.pages.render import render
from pipeline.sharing.dataset_counts import DatasetCounts
from pipeline.sharing.dataset_files import DATA
from pipeline.sharing.licences import Sharing
from pipeline.sharing.maintainer_words import written
from pipeline.sharing.sources import KnownSource
from pipeline.taxonomy import Taxonomy
from pipeline.texts.labelled import SPLITS

CARD = "README.md"
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_LARGEST = "10M<n<100M"
_TIERS = (Tier.GOLD, Tier.SILVER, Tier.PSEUDO, Tier.CONTESTED)


def write_card(
    path: Path,
    *,
    name: str,
    taxonomy: Taxonomy,
    counts: DatasetCounts,
    sources: Sequence[KnownSource],
    test_set: FrozenTest | None,
    hash_: str,
    withheld: int,
    words: Mapping[str, str] | None = None,
    balance: Balance | None = None,
) -> None:
    """Write the card.

    Args:
        path: of the card.
        name: of the data set.
        taxonomy: the labels and what they mean.
        counts: of the rows.
        sources: of the rows.
        test_set: the version that the split test holds; None: it is not frozen.
        hash_: of the files with data.
        withheld: number of texts left out because of their licences.
        words: what only a maintainer can say of it, by `maintainer_words.KEYS`.
        balance: of the split train; None: it is whole.
    """
    languages = Counter[str]()
    for (_, language), rows in counts.languages.items():
        languages[language] += rows
    values = {
        "front": _yaml(front_matter(name, counts, sources, taxonomy)),
        "name": _cell(name),
        "taxonomy": taxonomy,
        "harmful": [taxonomy[key].name.en.lower() for key in taxonomy.harmful],
        "labels": [label for label in taxonomy if any(counts.label_tiers[label.key, tier] for tier in _TIERS)],
        "counts": counts,
        "splits": [split for split in SPLITS if counts.rows[split]],
        "tiers": [str(tier) for tier in _TIERS],
        "languages": sorted(languages),
        "language_rows": languages,
        "sources": sources,
        "non_commercial": any(source.terms.sharing is Sharing.NON_COMMERCIAL for source in sources),
        "test_set": test_set,
        "hash": hash_,
        "withheld": withheld,
        "balance": balance,
    }
    filters: dict[str, Callable[..., str]] = {"cell": _cell, "written": partial(written, words or {})}
    content = render("pipeline.sharing", "dataset_card.md.j2", values, filters=filters)
    path.write_text(content, encoding="utf-8")


def front_matter(
    name: str, counts: DatasetCounts, sources: Sequence[KnownSource], taxonomy: Taxonomy
) -> dict[str, Any]:
    """Metadata of the card, for the Hub and `datasets`."""
    splits = [split for split in SPLITS if counts.rows[split]]
    # A mixture such as `ms-en` counts for both.
    languages = sorted({part for _, language in counts.languages for part in language.split("-")} - {"unknown"})
    return {
        "pretty_name": name,
        **({"language": languages} if languages else {}),
        **_licence(sources),
        "task_categories": ["text-classification"],
        "task_ids": ["multi-label-classification", *(["hate-speech-detection"] if "hate" in taxonomy else [])],
        "size_categories": [size_category(counts.total)],
        "annotations_creators": _creators(counts),
        "language_creators": ["found"],
        "source_datasets": ["original"],
        "tags": _tags(taxonomy),
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"{DATA}/{split}-*.parquet"} for split in splits],
            }
        ],
    }


def _tags(taxonomy: Taxonomy) -> list[str]:
    return [
        *(["content-moderation"] if taxonomy.has_harmful else []),
        *(["safe-for-work"] if "safe for work" in taxonomy else []),
        "malaysia",
        "saring",
        *(["not-for-all-audiences"] if taxonomy.has_harmful else []),
    ]


def size_category(rows: int) -> str:
    """The Hub's name for a number of rows."""
    return next((name for below, name in _SIZES if rows < below), _LARGEST)


def _licence(sources: Sequence[KnownSource]) -> dict[str, Any]:
    """The licences by the Hub's names; `other` where it has no name for one; the card then lists them all."""
    hub = sorted({source.terms.hub or "other" for source in sources})
    if "other" not in hub:
        return {"license": hub[0] if len(hub) == 1 else hub}
    names = sorted({source.terms.licence or "by permission" for source in sources})
    # The Hub needs a name of lower-case words.
    return {"license": "other", "license_name": "per-row", "license_details": ", ".join(names)}


def _creators(counts: DatasetCounts) -> list[str]:
    creators = []
    if counts.raters["human"] or counts.raters["external"]:
        creators.append("crowdsourced" if counts.raters["human"] else "found")
    if counts.raters.keys() - {"human", "external"}:
        creators.append("machine-generated")
    return creators


def _yaml(document: Mapping[str, Any]) -> str:
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4_096
    stream = StringIO()
    yaml.dump(dict(document), stream)
    return stream.getvalue()


def _cell(value: object) -> str:
    """Escape text from outside, so that it stays in its cell of a table and on its line."""
    words = " ".join(str(value).split())
    for sign in "\\`*_[]<>|":
        words = words.replace(sign, "\\" + sign)
    return words
