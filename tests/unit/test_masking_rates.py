"""How much personal data is masked, and how much else, on two sets of invented strings.

In `personal_data.jsonl` each secret stands in ⟦ ⟧. Its half `develop` was used to write the patterns, `test` was not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.texts.masking import PLACEHOLDER, mask

_FIXTURES = Path(__file__).parents[1] / "fixtures"
_SECRET = re.compile("⟦[^⟧]+⟧")


def rows(name: str, half: str) -> Iterator[dict[str, str]]:
    for line in (_FIXTURES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["half"] == half:
            yield row


def is_masked(text: str) -> bool:
    """True where exactly the secrets of a text are masked."""
    return PLACEHOLDER.sub("<>", mask(re.sub("[⟦⟧]", "", text))) == _SECRET.sub("<>", text)


@pytest.mark.parametrize("half", ["develop", "test"])
def test_at_least_nine_in_ten_secrets_are_masked_and_nothing_beside_them(half: str) -> None:
    outcomes = {row["text"]: is_masked(row["text"]) for row in rows("personal_data", half)}
    missed = [text for text, masked in outcomes.items() if not masked]
    assert len(missed) <= 0.1 * len(outcomes), (len(outcomes), missed)


@pytest.mark.parametrize("half", ["develop", "test"])
def test_at_most_one_in_fifty_ordinary_texts_changes(half: str) -> None:
    texts = [row["text"] for row in rows("ordinary", half)]
    changed = [(text, mask(text)) for text in texts if mask(text) != text]
    assert len(changed) <= 0.02 * len(texts), changed
