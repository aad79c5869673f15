"""Models by name: what is in the cache needs no network, and what is nowhere is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import ModelError
from pipeline.models.hub import model_place


def test_a_folder_is_its_own_place(tmp_path: Path) -> None:
    assert model_place(str(tmp_path)) == str(tmp_path)


def test_a_cached_model_needs_no_hub_whatever_its_files_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    kept = tmp_path / "models--somebody--words"
    snapshot = kept / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "modules.json").write_text("[]")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("abc")
    assert model_place("somebody/words") == "somebody/words"


def test_what_the_hub_cannot_have_is_a_missing_folder() -> None:
    with pytest.raises(ModelError, match=r"^there is no folder 'no/such/place'$"):
        model_place("no/such/place")
