"""The model that serves, and its change without a pause: the new one is loaded beside the old, then takes its place."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ml_backend.config import BackendConfig
from pipeline import store
from pipeline.errors import SaringError, StoreError, first_line
from pipeline.learning import registry
from pipeline.models.artefact import TrainedModel
from pipeline.models.features import prepare_for_many
from pipeline.preannotation import Policy, Preannotator, default_policy
from pipeline.store import open_session

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Serving:
    """Everything that a request is answered with, from its first task to its last."""

    #: written on every prediction, and what /setup says
    version: str
    preannotator: Preannotator


@dataclass(frozen=True, slots=True)
class _Found:
    """A champion as the registry names it."""

    version: str
    artefact_hash: str
    path: Path


class Champion:
    """Keeps an eye on the registry. `serving` may be read by any thread at any time."""

    def __init__(self, config: BackendConfig) -> None:
        self._config = config
        self._stopped = Event()
        self._thread: Thread | None = None
        self._model: TrainedModel | None = None
        self._found: _Found | None = None
        #: a champion that could not be loaded, and when
        self._failed: tuple[_Found, float] | None = None
        self._look_in = ThreadPoolExecutor(1, thread_name_prefix="saring-look")
        self._last_error = ""
        self.store_ok = True
        self.serving = self._made(None, default_policy())

    def start(self) -> None:
        """Look once, then go on looking in the background."""
        self._look()
        self._thread = Thread(target=self._watch, name="saring-champion", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the looking."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        self._look_in.shutdown()

    def poll(self) -> None:
        """Look at the registry; load and put in place a champion that is new, and weights that are.

        Raises:
            StoreError: the registry cannot be read.
            SQLAlchemyError: likewise.
        """
        with open_session(self._config.engine) as session:
            row = registry.champion(session, self._config.purpose)
            champion = None if row is None else _Found(row.version, row.artefact_hash, Path(row.path))
            policy = _policy_ahead(session, champion.version if champion is not None else None)
        model = self._model
        if champion != self._found:
            loaded = self._loaded(champion) if champion is not None and self._due(champion) else None
            if champion is not None and loaded is None:
                return
            model = loaded
        serving = self._made(model, policy)
        self._model, self._found, self._failed = model, champion, None
        # another object with the same meaning would only tell requests in flight apart
        if serving.version != self.serving.version:
            logger.info("%s serves", serving.version)
            self.serving = serving

    def _due(self, champion: _Found) -> bool:
        if self._failed is None or self._failed[0] != champion:
            return True
        return time.monotonic() - self._failed[1] >= self._config.limits.retry

    def _loaded(self, champion: _Found) -> TrainedModel | None:
        try:
            model = self._config.load_model(champion.path)
        except (SaringError, OSError) as error:
            if self._failed is None or self._failed[0] != champion:
                logger.warning(
                    "champion %s cannot be loaded, %s goes on serving: %s",
                    champion.version,
                    self.serving.version,
                    error,
                )
            self._failed = (champion, time.monotonic())
            return None
        if model.manifest.backend == "linear":
            # Here rather than in a request, which would wait for it.
            prepare_for_many()
        return model

    def _made(self, model: TrainedModel | None, policy: Policy) -> Serving:
        preannotator = Preannotator(self._config.taxonomy, model, policy)
        return Serving(f"live-{preannotator.version}", preannotator)

    def _watch(self) -> None:
        while not self._stopped.wait(self._config.limits.poll):
            self._look()

    def _look(self) -> None:
        # in an executor, so that whatever goes wrong in a look comes back as a value and the next look is taken
        error = self._look_in.submit(self.poll).exception()
        if isinstance(error, StoreError | SQLAlchemyError):
            if self.store_ok:
                logger.warning(
                    "the store cannot be read, predictions come from the champion alone: %s", first_line(error)
                )
            self.store_ok = False
            return
        if not self.store_ok:
            logger.info("the store answers again")
        self.store_ok = True
        reason = "" if error is None else first_line(error)
        if reason and reason != self._last_error:
            logger.error("looking for the champion failed, %s goes on serving: %s", self.serving.version, reason)
        self._last_error = reason


def _policy_ahead(session: Session, champion: str | None) -> Policy:
    """The policy of the predictions last written ahead with this champion; the fixed weights if there are none."""
    b = store.PredictionBatch
    content = session.scalars(
        select(b.policy)
        .where(b.champion == champion if champion is not None else b.champion.is_(None), b.state != "failed")
        .order_by(b.created_at.desc(), b.version)
        .limit(1)
    ).first()
    if content is None:
        return default_policy()
    try:
        return Policy.from_dict(content)
    except (KeyError, TypeError, ValueError):
        return default_policy("the weights of the predictions written ahead are of another version of Saring")
