"""The moderation endpoint as it is served: a real server over a real store, with a champion and API tokens."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from ml_backend.app import create_app
from ml_backend.config import BackendConfig, Limits
from ml_backend.moderation.app import create_moderation
from ml_backend.moderation.config import ModerationConfig, ModerationLimits, ReportDesk
from ml_backend.moderation.keeping import Keeper
from ml_backend.moderation.shadow import Shadow
from ml_backend.server import server_config
from pipeline.backend_credentials import BackendCredentials
from pipeline.settings import Settings
from pipeline.store import make_engine
from pipeline.store.tables.accounts import Role
from saring.accounts.api_tokens import make_token
from saring.accounts.people import add_account, by_name
from saring.actions.asked_texts import keep_asked
from saring.actions.models import load_folder
from saring.actions.moderation import find_caller, read_policies
from saring.actions.reports import keep_report, report_state
from saring.actions.shadow import add_counts, challenger
from saring.home import Home
from saring.web.app import create_web
from saring.web.compose import BACKEND_PATHS, MODERATION_PATHS, Composed
from tests.support.backend import promote, train_model
from tests.support.served import run_to_the_end
from tests.support.store import new_database
from tests.support.waiting import until


@dataclass
class Endpoint:
    """An endpoint that is being served."""

    url: str
    home: Home

    def token(self, name: str = "a forum", *, per_minute: int = 100_000, policy: str | None = None) -> str:
        """A new API token of an account."""
        from saring.actions.moderation import set_token_policy

        with self.home.begin() as session:
            try:
                person = by_name(session, "applications")
            except Exception:  # noqa: BLE001 - it is not there yet
                person = add_account(session, "applications", Role.VIEWER)
            token, secret = make_token(session, person, name, Role.VIEWER, per_minute=per_minute)
            if policy is not None:
                set_token_policy(session, self.home, token.id, policy)
        return secret

    def client(self, secret: str | None = None) -> httpx.Client:
        """A client with a token."""
        headers = {"Authorization": f"Bearer {secret or self.token()}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def moderate(self, given: Any, **fields: Any) -> httpx.Response:
        """Ask for verdicts, with a new token."""
        with self.client() as client:
            return client.post("/v1/moderations", json={"input": given, **fields})


@contextmanager
def serving_moderation(home: Path, database_url: str, **limits: Any) -> Iterator[Endpoint]:
    """Serve all that `saring serve` does for a home, on a free port, in this process."""
    with (
        Home(settings=Settings(home=home, database_url=database_url)) as opened,  # type: ignore[arg-type]
        socket.create_server(("127.0.0.1", 0), backlog=512) as listener,
    ):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        load = partial(load_folder, settings=opened.settings)
        config = BackendConfig(
            engine=make_engine(database_url),
            taxonomy=opened.taxonomy,
            credentials=BackendCredentials("label-studio", "a-password", "a-secret", "a-third"),
            load_model=load,
            send_job=lambda _name, _arguments: None,
            limits=Limits(poll=0.05, retry=0.05),
        )
        backend = create_app(config)
        moderation = create_moderation(
            ModerationConfig(
                opened.taxonomy,
                partial(find_caller, opened),
                partial(read_policies, opened),
                ReportDesk(partial(keep_report, opened), partial(report_state, opened)),
                Shadow(partial(challenger, opened), load, partial(add_counts, opened)),
                Keeper(partial(keep_asked, opened), backend.state.service.metrics.asked),
                ModerationLimits(**{"fresh": 0.1, **limits}),
            ),
            backend.state.service.champion,
        )
        app = Composed({BACKEND_PATHS: backend, MODERATION_PATHS: moderation}, create_web(opened))
        server = uvicorn.Server(server_config(app, config.limits))
        thread = threading.Thread(target=run_to_the_end, args=(server, listener))
        thread.start()
        try:
            until(lambda: server.started, "the endpoint is served")
            yield Endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}", opened)
        finally:
            server.should_exit = True
            thread.join()
            config.engine.dispose()


@contextmanager
def serving_champion(
    home: Path, server_url: str, template: str, folder: Path, word: str = "lucah", label: str = "porn"
) -> Iterator[Endpoint]:
    """An endpoint over a store of its own, whose champion knows one label by one word (`train_model`)."""
    with new_database(server_url, template) as url:
        engine = make_engine(url)
        promote(engine, train_model(folder, word, label))
        engine.dispose()
        with serving_moderation(home, url) as endpoint:
            yield endpoint
