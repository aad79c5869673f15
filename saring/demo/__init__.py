"""The demo, and the corpus that it runs on: 1,478 texts that were written for this project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saring.demo.plant import Planted


def demo_files(folder: str | Path, *, seed: int = 20260101) -> Planted:
    """Write the demo corpus as three files, to try Saring with.

    `raw` holds texts, with duplicates and broken rows among them. `llm` holds the labels of an imitated language model,
    one in five of them wrong. `human` holds right labels for three texts in ten. All three are JSON lines.

    Args:
        folder: where to write them; made if it is missing.
        seed: of every random choice.
    """
    from pipeline.taxonomy import load_taxonomy
    from saring.demo.plant import plant

    return plant(Path(folder), load_taxonomy(), seed=seed)
