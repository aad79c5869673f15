"""The proposal: a file that a rater's prompt can name, and the lines that make it do so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

from pipeline.atomic import make_folder, write_file
from pipeline.llm.config import SETTINGS_RATER, Additions, LlmConfig
from pipeline.settings import Settings

#: folder of proposals in the home
FOLDER = "prompts"
_HEAD = (
    "# Proposed by `saring raters improve {name}`. Nothing uses this file until raters.yaml names it.\n"
    "# Read the notes first: a language model wrote them. Texts are posts of people, with personal data masked.\n"
)


def write_proposal(
    folder: Path, config: LlmConfig, added: Additions, measured: Mapping[str, Any], *, now: datetime
) -> Path:
    """Write a proposal for its owner's eyes only; return its path.

    Args:
        folder: the home's folder of proposals; made if need be.
        config: the rater.
        added: additions to its prompt.
        measured: figures, for people.
        now: the time, which is in the name.
    """
    from ruamel.yaml import YAML

    make_folder(folder)
    document = {
        "rater": config.name,
        "made_at": now.isoformat(timespec="seconds"),
        "measured": measured,
        "notes": dict(added.notes),
        "examples": [{"text": example.text, "labels": list(example.labels)} for example in added.examples],
    }
    written = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_unicode, yaml.default_flow_style, yaml.width = True, False, 100_000
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(document, written)
    safe = "".join(char if char.isalnum() or char in "-_." else "-" for char in config.name)
    path = folder / f"{safe}-{now:%Y%m%d-%H%M%S}.yaml"
    write_file(path, _HEAD.format(name=config.name) + written.getvalue())
    return path


def how_to_adopt(path: Path, config: LlmConfig, settings: Settings) -> Sequence[str]:
    """Lines for a person: what to write into raters.yaml so that the rater uses a proposal."""
    file = f"{FOLDER}/{path.name}" if path.parent == settings.home / FOLDER else str(path)
    if config.name != SETTINGS_RATER or settings.llm_url is None:
        return (
            f"in {settings.raters_file}, under the rater {config.name}:",
            "    prompt:",
            f"      additions: {file}",
        )
    return (
        f"describe the model in {settings.raters_file} under a name of its own, and unset SARING_LLM_URL:",
        "raters:",
        "  improved:",
        f"    url: {config.url}",
        f"    model: {config.model}",
        "    api_key_env: SARING_LLM_API_KEY" if config.api_key is not None else "    # no key",
        "    prompt:",
        f"      additions: {file}",
    )
