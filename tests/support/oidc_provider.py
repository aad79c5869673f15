"""A real OpenID provider in small: discovery, signing in, tokens with PKCE, keys. It misbehaves when told to."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

CLIENT, SECRET = "saring", "rahsia-klien-0123"


class OidcProvider:
    """The provider."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self.key = ECKey.generate_key("P-256", {"kid": "k1", "use": "sig"})
        self.redirects: set[str] = set()
        #: who is signed in at the provider
        self.person: dict[str, Any] = {"sub": "u-1", "preferred_username": "aina", "email": "aina@example.org"}
        #: claims that replace those of the token; None removes one
        self.claims: dict[str, Any] = {}
        #: fields that replace those of its description
        self.about: dict[str, Any] = {}
        #: how the token is signed: `right`, `other key`, `none`, or `public key as secret`
        self.signed = "right"
        #: True: the person refuses
        self.refuses = False
        #: paths that answer with a failure
        self.broken: set[str] = set()
        self._codes: dict[str, dict[str, str]] = {}

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/realm"

    def describe(self) -> dict[str, Any]:
        paths = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        addresses = {name: f"{self.issuer}/{path}" for name, path in paths.items()}
        return {"issuer": self.issuer, "code_challenge_methods_supported": ["S256"], **addresses, **self.about}

    def authorize(self, asked: dict[str, str]) -> str:
        """The address that the browser is sent back to."""
        assert asked["client_id"] == CLIENT
        assert asked["redirect_uri"] in self.redirects, "the provider knows its clients' addresses"
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        assert "openid" in asked["scope"].split() and len(asked["nonce"]) >= 32 and len(asked["state"]) >= 32
        if self.refuses:
            back = {"error": "access_denied", "state": asked["state"]}
        else:
            code = secrets.token_urlsafe(16)
            self._codes[code] = asked
            back = {"code": code, "state": asked["state"], "iss": self.issuer}
        return f"{asked['redirect_uri']}?{urlencode(back)}"

    def token(self, asked: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """The answer to a code."""
        expected = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if authorization != f"Basic {expected}":
            return 401, {"error": "invalid_client"}
        begun = self._codes.pop(asked.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(asked.get("code_verifier", "").encode()).digest())
        if begun is None or challenge.rstrip(b"=").decode() != begun["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        if asked.get("redirect_uri") != begun["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": secrets.token_hex(8), "token_type": "Bearer", "id_token": self._signed(begun)}

    def _signed(self, begun: dict[str, str]) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": begun["nonce"],
            **self.person,
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.signed == "none":
            parts = ({"alg": "none"}, claims)
            return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts) + "."
        if self.signed == "public key as secret":
            key = OctKey.import_key(json.dumps(self.key.as_dict(private=False)).encode())
            return jwt.encode({"alg": "HS256", "kid": "k1"}, claims, key, algorithms=["HS256"])
        other = ECKey.generate_key("P-256", {"kid": "k1"})
        return jwt.encode({"alg": "ES256", "kid": "k1"}, claims, self.key if self.signed == "right" else other)


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    provider: OidcProvider

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match parts.path.removeprefix("/realm"):
            case path if path in self.provider.broken:
                self._answer(500, {})
            case "/.well-known/openid-configuration":
                self._answer(200, self.provider.describe())
            case "/keys":
                self._answer(200, {"keys": [self.provider.key.as_dict(private=False)]})
            case "/authorize":
                self.send_response(302)
                self.send_header("Location", self.provider.authorize(asked))
                self.send_header("Content-Length", "0")
                self.end_headers()
            case _:
                self._answer(404, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        if "/token" in self.provider.broken:
            return self._answer(500, {})
        return self._answer(*self.provider.token(asked, self.headers.get("Authorization", "")))

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def oidc_provider() -> Iterator[OidcProvider]:
    """A provider at a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Request)
    provider = OidcProvider(server)
    server.RequestHandlerClass = type("Request", (_Request,), {"provider": provider})  # type: ignore[assignment]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
