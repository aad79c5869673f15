"""A real server that speaks the Hugging Face Hub's protocol for making a repository and committing files to it.

Large files travel by Git LFS's batch protocol. It keeps what was committed, and fails when told to.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

#: tokens that the stub knows: one may write, one only read
WRITER, READER = "hf_writer0123456789", "hf_reader0123456789"
OWNER = "tinjau"
_LARGE = (".safetensors", ".parquet", ".skops", ".png")


class Repository:
    """One repository as it stands after the last commit."""

    def __init__(self, private: bool) -> None:
        self.private = private
        self.files: dict[str, bytes] = {}
        #: the summary of each commit
        self.commits: list[str] = []


class Exchange(BaseHTTPRequestHandler):
    """One request and its answer."""

    protocol_version = "HTTP/1.1"
    stub: HubStub

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self._body())

    def do_PUT(self) -> None:
        self._serve(self._body())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _serve(self, body: bytes) -> None:
        path = urlsplit(self.path).path
        self.stub.paths.append(f"{self.command} {path}")
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        for ending, statuses in self.stub.failing.items():
            if ending in path and statuses:
                return self._answer(statuses.pop(0), {"error": "not now"})
        if self.command == "PUT":  # the address itself is the permission, as with a store's signed addresses
            self.stub.objects[path.rsplit("/", 1)[1]] = body
            return self._answer(200, {})
        if token not in (WRITER, READER):
            return self._answer(401, {"error": "Invalid username or password."})
        if self.command == "POST" and token == READER:
            return self._answer(403, {"error": "You don't have the rights to create a model under this namespace"})
        return self._known(path, body)

    def _known(self, path: str, body: bytes) -> None:
        parts = path.strip("/").split("/")
        if parts == ["api", "repos", "create"]:
            return self._create(json.loads(body))
        if parts == ["api", "validate-yaml"]:
            return self._answer(200, {"errors": [], "warnings": []})
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._batch(json.loads(body))
        if parts[0] != "api" or len(parts) < 4:
            return self._answer(404, {"error": "not found"})
        key = (parts[1].removesuffix("s"), f"{parts[2]}/{parts[3]}")
        found = self.stub.repositories.get(key)
        if found is None:
            return self._answer(404, {"error": "Repository not found"})
        match parts[4:]:
            case [] | ["revision", _]:
                about = {"id": key[1], "private": found.private, "sha": self._sha(found), "siblings": []}
                return self._answer(200, about)
            case ["tree", _]:
                files = [
                    {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for name, content in found.files.items()
                ]
                return self._answer(200, files)
            case ["preupload", _]:
                asked = json.loads(body)["files"]
                modes = [
                    {
                        "path": one["path"],
                        "uploadMode": "lfs" if one["path"].endswith(_LARGE) else "regular",
                        "shouldIgnore": False,
                    }
                    for one in asked
                ]
                return self._answer(200, {"files": modes})
            case ["commit", _]:
                return self._commit(found, key, body)
        return self._answer(404, {"error": "not found"})

    def _create(self, asked: dict[str, Any]) -> None:
        kind, repo = asked.get("type") or "model", f"{asked.get('organization') or OWNER}/{asked['name']}"
        url = f"{self.stub.url}/{'datasets/' if kind == 'dataset' else ''}{repo}"
        if (kind, repo) in self.stub.repositories:
            return self._answer(409, {"error": "You already created this repo", "url": url})
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.stub.repositories[kind, repo] = Repository(private)
        return self._answer(200, {"url": url, "name": repo})

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = [
            one
            if one["oid"] in self.stub.objects
            # where it is to be sent
            else one | {"actions": {"upload": {"href": f"{self.stub.url}/objects/{one['oid']}"}}}
            for one in asked["objects"]
        ]
        return self._answer(200, {"transfer": "basic", "objects": objects})

    def _commit(self, found: Repository, key: tuple[str, str], body: bytes) -> None:
        files = dict(found.files)
        summary = ""
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            match item["key"]:
                case "header":
                    summary = value["summary"]
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    content = self.stub.objects.get(value["oid"])
                    if content is None or hashlib.sha256(content).hexdigest() != value["oid"]:
                        return self._answer(400, {"error": f"{value['path']}: its content never came"})
                    files[value["path"]] = content
                case "deletedFile":
                    files.pop(value["path"], None)
        found.files = files
        found.commits.append(summary)
        oid = self._sha(found)
        kind = "datasets/" if key[0] == "dataset" else ""
        about = {"commitUrl": f"{self.stub.url}/{kind}{key[1]}/commit/{oid}", "commitOid": oid, "success": True}
        return self._answer(200, about)

    def _sha(self, found: Repository) -> str:
        return hashlib.sha1(repr((len(found.commits), sorted(found.files))).encode()).hexdigest()

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


class HubStub:
    """The server, on a free port of this machine, from `with` to its end."""

    def __init__(self) -> None:
        #: by kind and name
        self.repositories: dict[tuple[str, str], Repository] = {}
        #: large files by SHA-256, whether committed or not
        self.objects: dict[str, bytes] = {}
        #: part of a path to the statuses that the next requests for it get
        self.failing: dict[str, list[int]] = {}
        #: every request: its method and path
        self.paths: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundExchange", (Exchange,), {"stub": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        """What HF_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
