"""The list of settings: every one, where it comes from, and no secret."""

from __future__ import annotations

from pathlib import Path

from pipeline.settings import Settings, load_settings
from saring.actions.settings_list import Origin, list_settings


def test_each_setting_says_what_it_does() -> None:
    listed = list_settings(Settings(home=Path("/nonexistent")), {})
    assert len(listed) == len(Settings.model_fields)
    assert [setting.name for setting in listed if not setting.meaning or "\n" in setting.meaning] == []
    assert next(s.meaning for s in listed if s.name == "SARING_PULL_SECONDS").startswith("seconds between two pulls")


def test_where_a_value_comes_from(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "saring.env").write_text("SARING_QUEUE_LOW=50\nSARING_SEED=7\nSARING_LLM_MODEL=\n")
    monkeypatch.setenv("SARING_SEED", "8")
    monkeypatch.delenv("SARING_QUEUE_LOW", raising=False)
    settings = load_settings(tmp_path).model_copy(update={"queue_refill": 5})
    found = {setting.name: setting for setting in list_settings(settings)}
    assert [(found[name].value, found[name].origin) for name in ("SARING_QUEUE_LOW", "SARING_SEED")] == [
        ("50", Origin.FILE),
        ("8", Origin.ENVIRONMENT),
    ]
    assert (found["SARING_LLM_MODEL"].value, found["SARING_LLM_MODEL"].origin) == (None, Origin.DEFAULT)
    assert (found["SARING_LANGUAGES"].value, found["SARING_LANGUAGES"].origin) == ("ms, id, en", Origin.DEFAULT)
    assert found["SARING_QUEUE_REFILL"].origin is Origin.PROGRAM


def test_no_secret_is_in_the_list() -> None:
    settings = Settings(
        home=Path("/nonexistent"),
        database_url="postgresql://me:hunter2@db/saring",
        llm_url="https://me:hunter2@llm.example.org/v1?key=hunter2",
        hf_token="hunter2",
    )
    listed = {setting.name: setting for setting in list_settings(settings, {})}
    assert "hunter2" not in repr(listed)
    database = listed["SARING_DATABASE_URL"]
    assert (database.is_secret, database.is_set, database.value) == (True, True, None)
    assert listed["SARING_LLM_URL"].value == "https://llm.example.org/v1"
    assert (listed["SARING_LLM_API_KEY"].is_secret, listed["SARING_LLM_API_KEY"].is_set) == (True, False)
