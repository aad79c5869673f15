"""The command that serves the dashboard to people, and predictions to Label Studio."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import typer
from fastapi import FastAPI
from sqlalchemy import Engine, make_url

from ml_backend.app import create_app
from ml_backend.config import BackendConfig, QueueDepths, SendJob
from ml_backend.moderation.app import create_moderation
from ml_backend.moderation.config import ModerationConfig, ReportDesk
from ml_backend.moderation.keeping import Keeper
from ml_backend.moderation.shadow import Shadow
from ml_backend.server import server_config
from ml_backend.service import Service
from pipeline.backend_credentials import backend_credentials, check_strength
from pipeline.errors import ServiceError, UsageError
from pipeline.models.artefact import TrainedModel
from pipeline.settings import Settings
from pipeline.store import make_engine
from saring.actions.asked_texts import keep_asked
from saring.actions.models import load_folder
from saring.actions.moderation import find_caller, read_policies
from saring.actions.reports import keep_report, report_state
from saring.actions.shadow import add_counts, challenger
from saring.cli import output
from saring.context import Context
from saring.home import Home
from saring.services import ensure_database
from saring.web.app import create_web
from saring.web.compose import BACKEND_PATHS, MODERATION_PATHS, Composed
from saring.web.server import DashboardServer

#: seconds that a request waits for the store before the champion answers alone
_CONNECT_SECONDS = 3
_STATEMENT_SECONDS = 5
#: number of connections that may wait until they are accepted
_BACKLOG = 2048


def serve_command(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 9090,
) -> None:
    """Serve the dashboard to people, and predictions to Label Studio, whose events it receives.

    On this machine only (127.0.0.1), a password of the ML backend is generated and stored in the home; `saring sync
    setup` gives it to Label Studio. For another address, set a password of 12 characters or more with
    SARING_BACKEND_PASSWORD. People sign in to the dashboard with accounts: see `saring users`.

    Example: saring serve --port 9090
    """
    ctx = output.home()
    family, address = _resolved(host, port)
    on_loopback = ipaddress.ip_address(address[0].partition("%")[0]).is_loopback
    if not on_loopback and ctx.settings.backend_password is None:
        raise UsageError(
            f"--host {host} can be reached from other machines: set SARING_BACKEND_PASSWORD first, or leave out --host"
        )
    if not on_loopback:
        check_strength(ctx.settings)
    try:
        listener = socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UsageError(f"cannot listen on {host}:{port} ({error.strerror}): choose another --port") from error
    with listener:
        # Connections inherit this option. Without it, the body of a response waits 40 ms until its head is confirmed.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = _config(ctx)
        dashboard = create_web(ctx, broker_url=_broker_url(ctx.settings), public_url=ctx.settings.dashboard_url)
        app = _composed(ctx, config, dashboard)
        shown = f"[{address[0]}]" if family == socket.AF_INET6 else address[0]
        output.err.print(f"serving on http://{shown}:{port}", markup=False, soft_wrap=True)
        if on_loopback:
            output.err.print(
                "for this machine only; to serve other machines, set SARING_BACKEND_PASSWORD and --host", soft_wrap=True
            )
        DashboardServer(server_config(app, config.limits), dashboard).run([listener])


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """The first address of a host name."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise UsageError(f"--host {host} is not an address of this machine") from error
    return family, (str(address[0]), port)


def _config(ctx: Context) -> BackendConfig:
    settings = ctx.settings

    def load(folder: Path) -> TrainedModel:
        return load_folder(folder, settings)

    return BackendConfig(
        engine=_engine(ctx),
        taxonomy=ctx.taxonomy,
        credentials=backend_credentials(settings),
        load_model=load,
        send_job=_sender(settings),
        queue_depths=_queue_depths(settings),
    )


def _composed(ctx: Home, config: BackendConfig, pages: FastAPI) -> Composed:
    """The ML backend, the moderation endpoint and the dashboard, on one port."""
    backend = create_app(config)
    service: Service = backend.state.service
    desk = ReportDesk(partial(keep_report, ctx), partial(report_state, ctx))
    shadow = Shadow(partial(challenger, ctx), config.load_model, partial(add_counts, ctx))
    keeper = Keeper(partial(keep_asked, ctx), service.metrics.asked)
    moderation = create_moderation(
        ModerationConfig(ctx.taxonomy, partial(find_caller, ctx), partial(read_policies, ctx), desk, shadow, keeper),
        service.champion,
    )
    return Composed({BACKEND_PATHS: backend, MODERATION_PATHS: moderation}, pages)


def _broker_url(settings: Settings) -> Callable[[], str]:
    """A function that gives the broker's address; it does not start the broker."""

    def url() -> str:
        from saring.services.places import Places
        from saring.services.valkey import Valkey

        given = settings.redis_url
        return given.get_secret_value() if given is not None else Valkey(Places(settings.home)).url()

    return url


def _engine(ctx: Context) -> Engine:
    """The store with short timeouts, so that no volunteer waits for it."""
    # The first connection creates or checks the schema.
    ctx.engine.dispose()
    url = make_url(ensure_database(ctx.settings))
    timeouts = {"connect_timeout": str(_CONNECT_SECONDS), "options": f"-c statement_timeout={_STATEMENT_SECONDS}s"}
    # Options in the address itself have priority.
    return make_engine(url.update_query_dict(timeouts | dict(url.query)).render_as_string(hide_password=False))


def _sender(settings: Settings) -> SendJob:
    """A sender of jobs, which connects to the broker at the first job: serving does not wait for the broker."""

    @cache
    def sender() -> SendJob:
        from saring.workers.app import job_sender

        return job_sender(settings)

    def send(name: str, arguments: Mapping[str, Any]) -> None:
        sender()(name, arguments)

    return send


def _queue_depths(settings: Settings) -> QueueDepths:
    """A function that counts the jobs in the broker's queues; it does not start the broker."""

    def depths() -> Mapping[str, int]:
        import redis

        from saring.services.valkey import client
        from saring.workers.app import QUEUES

        try:
            with client(_broker_url(settings)()) as broker:
                return {queue: broker.llen(queue) for queue in QUEUES}
        except redis.RedisError as error:
            raise ServiceError(
                f"the broker does not answer ({type(error).__name__}): run `saring up`, or check SARING_REDIS_URL"
            ) from error

    return depths
