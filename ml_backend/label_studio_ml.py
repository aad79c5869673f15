"""Saring under label-studio-ml 2.x, for those who host their backends that way.

`Saring` is a model class as `label-studio-ml start` and its `init_app` take it. The work is done by the same functions
as over HTTP. That package exists in its git repository only, so it is no dependency.

The store is that of SARING_DATABASE_URL. Events are kept for the schedule of `saring worker --beat`, because the host
has no way to reach the broker.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import orjson

from ml_backend.config import BackendConfig
from ml_backend.service import Service
from pipeline.backend_credentials import backend_credentials
from pipeline.errors import UsageError
from pipeline.models.find import open_model
from pipeline.settings import load_settings
from pipeline.store import make_engine
from pipeline.taxonomy import load_taxonomy
from pipeline.vectors.encoders.make import encoders_of

if TYPE_CHECKING:

    class LabelStudioMLBase:
        """The part of label-studio-ml's own class that is used."""

        label_config: str
        project_id: str

        def set(self, key: str, value: str) -> None: ...

else:
    try:
        # no import statement: it is on no index, so nothing can declare it
        LabelStudioMLBase = import_module("label_studio_ml.model").LabelStudioMLBase
    except ImportError as error:
        raise ImportError(
            "label-studio-ml is not installed: "
            "pip install 'git+https://github.com/HumanSignal/label-studio-ml-backend.git', "
            "or serve without it by `saring serve`"
        ) from error


class Saring(LabelStudioMLBase):
    """The model class; the host makes an object of it for each request, all of which share one service."""

    def setup(self) -> None:
        """Tell the host the version that predictions carry now."""
        self.set("model_version", service().setup()["model_version"])

    def predict(self, tasks: list[dict[str, Any]], **_: Any) -> list[dict[str, Any]]:
        """A prediction for each task, in order, each with its version."""
        asked = service().asked({"tasks": tasks, "label_config": self.label_config, "project": self.project_id})
        answered: list[dict[str, Any]] = orjson.loads(service().batcher.pieces(asked))
        return answered

    def fit(self, event: str, data: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        """Keep the event; nothing is trained within a request."""
        body = {**data, "action": event}
        return {"kept": service().receive(body, len(orjson.dumps(body, default=str)), by_password=True)}


@cache
def service() -> Service:
    """The service of this process, from SARING_* settings.

    Raises:
        UsageError: there is no address of a database.
    """
    settings = load_settings()
    if settings.database_url is None:
        raise UsageError("set SARING_DATABASE_URL to the store, which `saring up` starts and label-studio-ml cannot")

    made = Service(
        BackendConfig(
            engine=make_engine(settings.database_url.get_secret_value()),
            taxonomy=load_taxonomy(settings.taxonomy_file),
            credentials=backend_credentials(settings),
            load_model=lambda folder: open_model(folder, encoders_of(settings)),
            send_job=_left_to_the_schedule,
        )
    )
    made.start()
    return made


def _left_to_the_schedule(_name: str, _arguments: Mapping[str, Any]) -> None:
    """Do nothing: the event is in the store."""
