"""Real servers that take notices: a webhook's receiver over HTTP, and a mail server that speaks SMTP.

Each keeps what it got, and misbehaves when told to.
"""

from __future__ import annotations

import email
import email.policy
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Receiver:
    """The receiver of a webhook."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        #: path, headers and body of each request, in order
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        #: what to do with the next requests, one each: a status, `drop`, or `hang`; then 200
        self.next: list[int | str] = []
        #: requests that hang go on when it is set
        self.go_on = threading.Event()
        #: set when a request hangs
        self.hangs = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    receiver: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.receiver.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        told = self.receiver.next.pop(0) if self.receiver.next else 200
        if told == "hang":
            self.receiver.hangs.set()
            self.receiver.go_on.wait(60)
        self.close_connection = True
        if isinstance(told, str):
            return
        self.send_response(told)
        if 300 <= told < 400:
            self.send_header("Location", f"{self.receiver.url}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def webhook_receiver() -> Iterator[Receiver]:
    """A receiver at a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Request)
    receiver = Receiver(server)
    server.RequestHandlerClass = type("Request", (_Request,), {"receiver": receiver})  # type: ignore[assignment]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


class MailServer(socketserver.ThreadingTCPServer):
    """A mail server that keeps its letters.

    Args:
        folder: of its certificate, `ca.pem`, which belongs to `localhost`.
        password: of the user `saring`; None: it asks for none.
        wrapped: True: the whole connection is encrypted; False: it offers STARTTLS.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, folder: Path, *, password: str | None = None, wrapped: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.password, self.wrapped = password, wrapped
        self.authority = folder / "ca.pem"
        make_certificate(self.authority, folder / "key.pem")
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(self.authority, folder / "key.pem")
        self.letters: list[EmailMessage] = []
        #: receivers of each letter, as the envelope has them
        self.receivers: list[list[str]] = []
        #: True for each letter that came encrypted
        self.encrypted: list[bool] = []
        #: replies that are given in place of the usual ones, by command; `drop` ends the connection
        self.replies: dict[str, str] = {}

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Conversation(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self._encrypted = False
        try:
            if self.server.wrapped:
                self._encrypt()
            self._talk()
        except (OSError, ssl.SSLError):
            # the client went away
            return

    def finish(self) -> None:
        super().finish()
        # not the socket that the server closes, once it is encrypted
        self.request.close()

    def _talk(self) -> None:
        self._say("220 localhost ESMTP")
        receivers: list[str] = []
        while line := self.rfile.readline():
            word, _, rest = line.decode().strip().partition(" ")
            told = self.server.replies.get(word.upper())
            if told == "drop":
                return
            if told is not None:
                self._say(told)
                continue
            match word.upper():
                case "EHLO":
                    offers = ["localhost"] + ([] if self._encrypted else ["STARTTLS"])
                    offers += ["AUTH PLAIN LOGIN"] if self.server.password is not None else []
                    for offer in offers[:-1]:
                        self._say(f"250-{offer}")
                    self._say(f"250 {offers[-1]}")
                case "STARTTLS":
                    self._say("220 go ahead")
                    self._encrypt()
                case "AUTH":
                    self._say("235 welcome" if self._knows(rest) else "535 wrong name or password")
                case "MAIL":
                    receivers = []
                    self._say("250 ok")
                case "RCPT":
                    address = rest.partition("<")[2].partition(">")[0]
                    if address.startswith("nobody@"):
                        self._say("550 no such person")
                    else:
                        receivers.append(address)
                        self._say("250 ok")
                case "DATA":
                    self._say("354 go on")
                    self._take(receivers)
                case "QUIT":
                    self._say("221 bye")
                    return
                case _:
                    self._say("250 ok")

    def _take(self, receivers: list[str]) -> None:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b"..") else line)
        if (told := self.server.replies.get("END OF DATA")) is not None:
            self._say(told)
            return
        letter = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        assert isinstance(letter, EmailMessage)
        self.server.letters.append(letter)
        self.server.receivers.append(receivers)
        self.server.encrypted.append(self._encrypted)
        self._say("250 kept")

    def _knows(self, given: str) -> bool:
        import base64

        kind, _, credentials = given.partition(" ")
        expected = f"\0saring\0{self.server.password}"
        return kind.upper() == "PLAIN" and base64.b64decode(credentials).decode() == expected

    def _encrypt(self) -> None:
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        self.setup()
        self._encrypted = True

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@contextmanager
def mail_server(folder: Path, **options: Any) -> Iterator[MailServer]:
    """A mail server at a free port of this machine."""
    server = MailServer(folder, **options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make_certificate(certificate: Path, key: Path) -> None:
    """Make a certificate for `localhost` that is its own authority, and its key."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(secret, hashes.SHA256())
    )
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
