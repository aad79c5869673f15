"""Hand a notice to a program of this machine, as a JSON object on standard input. No shell is used."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping

from pipeline.errors import NoticeError, NoticeUndelivered
from pipeline.notices.config import Command
from pipeline.notices.message import Message

#: variables that the program sees; the others may hold secrets
_KEPT = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"}
)
_PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"})


def send(channel: Command, message: Message, environ: Mapping[str, str] = os.environ) -> None:
    """Run the program; exit status 0 means that it took the notice.

    Raises:
        NoticeUndelivered: it failed, or did not end in time.
        NoticeError: there is no such program.
    """
    kept = {name: value for name, value in environ.items() if name in _KEPT or name.upper() in _PROXIES}
    try:
        process = subprocess.Popen(
            channel.run,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=kept | {"SARING_NOTICE_KIND": message.kind},
            # so that what it started ends with it
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise NoticeError(f"{channel.place} cannot be run: {reason}") from error
    with process:
        try:
            process.communicate(message.to_json() + b"\n", timeout=channel.timeout_seconds)
        except subprocess.TimeoutExpired as error:
            raise NoticeUndelivered(f"{channel.place} did not end in {channel.timeout_seconds:g} s") from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode != 0:
        raise NoticeUndelivered(f"{channel.place} ended with status {process.returncode}")
