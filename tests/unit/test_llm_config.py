"""Describing language models: by settings, or by name in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from pipeline.errors import UsageError
from pipeline.llm.config import default_rater, key_of, llm_config, llm_configs
from pipeline.settings import Settings


def settings_of(home: Path, written: str | None = None, **more: object) -> Settings:
    if written is not None:
        (home / "raters.yaml").write_text(written)
    return Settings.model_validate({"home": home} | more)


ONE = "raters:\n  satu:\n    url: http://localhost:1/v1\n    api_key_env: SATU_KEY\n"


def test_the_settings_alone_make_a_rater(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, llm_url="http://localhost:1/v1", llm_api_key=SecretStr("sk-1"), llm_model="m")
    config = llm_config(settings, "llm")
    assert (config.url, config.model, key_of(config)) == ("http://localhost:1/v1", "m", "sk-1")
    assert "sk-1" not in repr(config)
    assert "sk-1" not in config.model_dump_json()
    assert default_rater(settings) == "llm"


def test_who_judges_unless_somebody_is_named(tmp_path: Path) -> None:
    assert default_rater(settings_of(tmp_path)) == "bootstrap"
    assert default_rater(settings_of(tmp_path, ONE)) == "satu"
    with pytest.raises(UsageError, match=r"several language models are described in .* \(satu, dua\): name one"):
        default_rater(settings_of(tmp_path, ONE + "  dua: {url: 'http://localhost:2/v1'}\n"))


def test_keys_come_from_the_environment(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, ONE)
    assert key_of(llm_configs(settings, {"SATU_KEY": "sk-2"})["satu"]) == "sk-2"
    with pytest.raises(UsageError, match="'satu': the environment variable SATU_KEY is not set"):
        key_of(llm_configs(settings, {})["satu"])


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("raters: [", r"raters.yaml:\d+: not valid YAML"),
        ("- a", "expected a mapping `raters`"),
        ("raters:\n  satu: http://x", "yaml:2: rater 'satu': expected a mapping"),
        ("raters:\n\n  satu: {model: m}", r"yaml:3: rater 'satu', 'url' is missing"),
        ("raters:\n  satu: {url: ftp://x}", "rater 'satu', url: "),
        (
            "raters:\n  satu: {url: 'http://x', prompt: {language: fr}}",
            r"prompt\.language: Input should be 'en' or 'ms'",
        ),
        ("raters:\n  satu: {url: 'http://x', temprature: 1}", "there is no setting 'temprature'"),
        ("raters:\n  satu: {ulr: 'http://x'}", "rater 'satu', there is no setting 'ulr'"),
        (
            "raters:\n  satu: {url: 'localhost:80'}",
            "rater 'satu', url: not an address: an address begins with http:// or https://",
        ),
        (
            "raters:\n  satu: {url: 'http://x', extra_body: {stream: true}}",
            "extra_body: .*'stream' is not a field to change",
        ),
        ("raters:\n  satu: {url: 'http://x:port/v1'}", "rater 'satu', url: not an address"),
        ("raters:\n  satu: {url: 'http://:80'}", "rater 'satu', url: not an address"),
        ("raters:\n  satu: {url: 'http://[::1/v1'}", "rater 'satu', url: not an address"),
        ("raters:\n  satu: {url: 'http://x', sampling: {max_tokens: 0}}", r"sampling\.max_tokens: "),
        ("raters: " + "[" * 3_000, "raters.yaml:1: not valid YAML: nested too deeply"),
        ("raters:\n  satu: 2024-13-45", "raters.yaml:1: not valid YAML: a value is not valid"),
        ("raters:\n  satu: {url: 'http://x', api_key: sk-secret}", "the file must not hold keys"),
        ("raters:\n  bootstrap: {url: 'http://x'}", "this name is reserved"),
    ],
)
def test_a_mistake_is_one_line_that_says_where(tmp_path: Path, written: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        llm_configs(settings_of(tmp_path, written))
    assert "\n" not in str(error.value)
    assert "sk-secret" not in str(error.value)


def test_an_unknown_name_is_told_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no language model has the name 'dua' \(there are: satu\)"):
        llm_config(settings_of(tmp_path, ONE), "dua")


def test_any_parameter_may_be_null_and_others_added(tmp_path: Path) -> None:
    written = """
raters:
  satu:
    url: http://localhost:1/v1
    sampling: {temperature: null, max_tokens: null}
    extra_body: {top_k: 20, chat_template_kwargs: {enable_thinking: false}, stop: [a, b]}
"""
    [config] = llm_configs(settings_of(tmp_path, written)).values()
    extra = {"top_k": 20, "chat_template_kwargs": {"enable_thinking": False}, "stop": ["a", "b"]}
    assert config.params == {"extra_body": extra}
    # replies of raters that were described before are still found
    [plain] = llm_configs(settings_of(tmp_path, "raters: {satu: {url: 'http://localhost:1/v1'}}")).values()
    assert plain.params == {"temperature": 0.0, "max_tokens": 400}
