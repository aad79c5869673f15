"""The command that serves predictions to Label Studio."""

from __future__ import annotations

import gc
import ipaddress
import socket
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn
from sqlalchemy import Engine, make_url

from ml_backend.app import create_app
from ml_backend.config import BackendConfig, QueueDepths, SendJob
from pipeline.backend_credentials import backend_credentials
from pipeline.errors import ServiceError, UsageError
from pipeline.models.artefact import TrainedModel
from pipeline.settings import Settings
from pipeline.store import make_engine
from saring.actions.models import load_folder
from saring.cli import output
from saring.context import Context
from saring.services import ensure_database

#: seconds; a request waits this long for the store before the champion answers alone
_CONNECT_SECONDS = 3
_STATEMENT_SECONDS = 5
#: seconds that requests in flight are given when the server is stopped
_GRACE_SECONDS = 10
#: connections that may wait to be taken
_BACKLOG = 2048


def serve_command(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 9090,
) -> None:
    """Serve predictions to Label Studio, and take its events.

    On loopback a password is made up and kept in the home; `saring sync setup` gives it to Label Studio. To listen
    elsewhere, choose one yourself with SARING_BACKEND_PASSWORD.

    Example: saring serve --port 9090
    """
    ctx = output.home()
    family, address = _resolved(host, port)
    on_loopback = ipaddress.ip_address(address[0].partition("%")[0]).is_loopback
    if not on_loopback and ctx.settings.backend_password is None:
        raise UsageError(
            f"--host {host} is reachable from other machines: set SARING_BACKEND_PASSWORD first, or leave --host out"
        )
    try:
        listener = socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UsageError(f"{host}:{port} cannot be listened on ({error.strerror}): choose another --port") from error
    with listener:
        # connections take it over; without it, an answer's body waits 40 ms for the receipt of its head
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        app = create_app(_config(ctx))
        shown = f"[{address[0]}]" if family == socket.AF_INET6 else address[0]
        output.err.print(f"serving on http://{shown}:{port}", markup=False, soft_wrap=True)
        if on_loopback:
            output.err.print("this machine only: for others, set SARING_BACKEND_PASSWORD and --host", soft_wrap=True)
        # the command's own logging is kept; a request's line would tell who looked at what
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        _Server(config).run([listener])


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """The first address that a host name stands for."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise UsageError(f"--host {host} is not an address of this machine") from error
    return family, (str(address[0]), port)


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # what is loaded by now stays: looking through it for garbage again and again took up to half a second each time
        gc.collect()
        gc.freeze()


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


def _engine(ctx: Context) -> Engine:
    """The store, which must not keep a volunteer waiting."""
    ctx.engine.dispose()  # it has the schema now, or has said what is wrong with it
    url = make_url(ensure_database(ctx.settings))
    patience = {"connect_timeout": str(_CONNECT_SECONDS), "options": f"-c statement_timeout={_STATEMENT_SECONDS}s"}
    # what the address itself says goes first
    return make_engine(url.update_query_dict(patience | dict(url.query)).render_as_string(hide_password=False))


def _sender(settings: Settings) -> SendJob:
    """Sends jobs; the broker is looked for at the first one, so that serving never waits for it."""

    @cache
    def sender() -> SendJob:
        from saring.workers.app import job_sender

        return job_sender(settings)

    def send(name: str, arguments: Mapping[str, Any]) -> None:
        sender()(name, arguments)

    return send


def _queue_depths(settings: Settings) -> QueueDepths:
    """Looks how many jobs wait in the broker, which is not started for it."""

    def depths() -> Mapping[str, int]:
        import redis

        from saring.services.places import Places
        from saring.services.valkey import Valkey, client
        from saring.workers.app import QUEUES

        given = settings.redis_url
        url = given.get_secret_value() if given is not None else Valkey(Places(settings.home)).url()
        try:
            with client(url) as broker:
                return {queue: broker.llen(queue) for queue in QUEUES}
        except redis.RedisError as error:
            raise ServiceError(
                f"the broker does not answer ({type(error).__name__}): run `saring up`, or check SARING_REDIS_URL"
            ) from error

    return depths
