"""The card of a shared model (Mitchell et al. 2019), with the front matter that the Hugging Face Hub reads."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.learning.card import CARD
from pipeline.models.artefact import NETWORK_ALONE, Manifest
from pipeline.models.purposes import LABELS
from pipeline.pages.render import render
from pipeline.sharing.maintainer_words import written
from pipeline.sharing.model_sources import SourceFact
from pipeline.taxonomy import Taxonomy

#: codes of languages that the Hub knows
_LANGUAGE = re.compile(r"[a-z]{2,3}")
#: metrics that the Hub shows beside the model: its name for each, ours, and the title
_SHOWN = (
    ("average_precision", "macro_average_precision", "macro average precision"),
    ("f1", "macro_f1", "macro F1 at the thresholds"),
    ("average_precision", "micro_average_precision", "micro average precision"),
)


def write_model_card(
    folder: Path,
    manifest: Manifest,
    taxonomy: Taxonomy,
    sources: Sequence[SourceFact] = (),
    *,
    licence: str | None = None,
    name: str = ".",
    words: Mapping[str, str] | None = None,
) -> Path:
    """Write `README.md` into the folder of a model that is to be shared; return its path.

    Args:
        folder: with the model's other files in it already.
        manifest: the model.
        taxonomy: for the meanings of the labels.
        sources: of its texts.
        licence: of the model, as the Hub names licences; None: `other`, and the card says that none was named.
        name: of the model in the examples: a folder, or a name on the Hub.
        words: what only a maintainer can say of it, by `maintainer_words.KEYS`.
    """
    harmful = bool(
        set(manifest.data.get("harmful_labels", taxonomy.harmful)) & {label.key for label in manifest.labels}
    )
    values = {
        "front": _front_matter(manifest, licence, harmful=harmful),
        "harmful": harmful,
        "gives_labels": manifest.purpose == LABELS,
        "manifest": manifest,
        "metrics": manifest.metrics,
        "definitions": {key: " ".join(taxonomy[key].definition.en.split()) for key in taxonomy.keys},
        "same_taxonomy": manifest.taxonomy_version == taxonomy.version,
        "sources": sources,
        "licence": licence,
        "name": name,
        "linear": manifest.backend == "linear",
        "with_ngrams": NETWORK_ALONE in manifest.config,
        "mistral": (folder / "modeling_bidirectional_mistral.py").is_file(),
        "hub_base": _hub_base(manifest),
        "plots": [path.name for path in sorted(folder.glob("*.png"))],
    }
    path = folder / CARD
    filters: dict[str, Callable[..., str]] = {"est": _bracketed, "written": partial(written, words or {})}
    content = render("pipeline.sharing", "model_card.md.j2", values, filters=filters)
    path.write_text(content, encoding="utf-8")
    return path


def _front_matter(manifest: Manifest, licence: str | None, *, harmful: bool) -> str:
    linear = manifest.backend == "linear"
    languages = [
        language
        for language in manifest.data.get("languages", {})
        if isinstance(language, str) and _LANGUAGE.fullmatch(language)
    ]
    front: dict[str, Any] = {
        "license": licence or "other",
        "library_name": "sklearn" if linear else "transformers",
        "pipeline_tag": "text-classification",
        "tags": ["text-classification", *(["content-moderation"] if harmful else []), "saring"],
    }
    if languages:
        front["language"] = languages
    if (base := _hub_base(manifest)) is not None:
        front["base_model"] = base
    if shown := _shown(manifest.metrics):
        front["model-index"] = [
            {
                "name": manifest.version,
                "results": [
                    {
                        "task": {"type": "text-classification", "name": "Multi-label text classification"},
                        "dataset": {"type": "held-out", "name": _data_set(manifest)},
                        "metrics": shown,
                    }
                ],
            }
        ]
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.dump(front, stream)
    return stream.getvalue().strip()


def _hub_base(manifest: Manifest) -> str | None:
    """The name on the Hub of the network that a transformer begins from; None: it has none, as a folder has not."""
    base = manifest.config.get("base")
    return base if manifest.backend != "linear" and isinstance(base, str) and base.count("/") == 1 else None


def _data_set(manifest: Manifest) -> str:
    test_set = manifest.metrics.get("test_set")
    texts = manifest.metrics.get("texts")
    return f"frozen test set, version {test_set['version']}" if test_set else f"{texts} held-out texts"


def _shown(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    shown = []
    for kind, ours, title in _SHOWN:
        value = (metrics.get(ours) or {}).get("value")
        if value is not None and math.isfinite(value):
            shown.append({"type": kind, "name": title, "value": value})
    return shown


def _bracketed(estimate: Mapping[str, float | None] | None) -> str:
    value, low, high = ((estimate or {}).get(name) for name in ("value", "low", "high"))
    if value is None or not math.isfinite(value):
        return "not measured"
    if low is None or high is None:
        return f"{value:.3f}"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"
