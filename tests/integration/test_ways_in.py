"""The programs of docs/ways-in.md do what the page says, against an endpoint that is served.

Those of docs/moderation.md, docs/guide-developer.md and docs/models.md are run too.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from tests.support.backend import train_model
from tests.support.commands import typed
from tests.support.doc_blocks import blocks
from tests.support.moderation import Endpoint, serving_champion

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "ways-in.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows one label, `harassment`, by one word."""
    train_model(made := tmp_path_factory.mktemp("models"), "bodoh", "harassment")
    return next(path for path in made.iterdir() if (path / "model.json").is_file())


@pytest.fixture(scope="module")
def endpoint(
    server_url: str, template: str, module_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("serving")
    with serving_champion(module_home, server_url, template, folder, "bodoh", "harassment") as endpoint:
        yield endpoint


def block(heading: str, language: str = "python") -> str:
    """The first program under a heading of the page."""
    section = _PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found is not None, heading
    return found[1]


def run(program: str, endpoint: Endpoint, folder: Path = Path()) -> dict[str, Any]:
    """Run a program of the page with this endpoint's address and a token of it; its names."""
    filled = program.replace("http://127.0.0.1:9090", endpoint.url).replace("saring_...", endpoint.token())
    names: dict[str, Any] = {}
    exec(compile(filled.replace("MODEL-FOLDER", str(folder)), str(_PAGE), "exec"), names)
    return names


def test_python_in_the_same_process(endpoint: Endpoint, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(block("Python, in the same process"), endpoint, folder)
    rude, kind = capsys.readouterr().out.splitlines()
    assert "harassment" in rude.partition("{")[0]
    assert "harassment" not in kind.partition("{")[0]


def test_python_with_openai_s_client(endpoint: Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    names = run(block("Python, with OpenAI's client"), endpoint)
    names["client"].close()
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["True", "False"]


def test_python_with_a_client_made_for_perspective(endpoint: Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    names = run(block("Python, with a client made for Perspective"), endpoint)
    assert float(capsys.readouterr().out) > 0.5
    # in its own words, from the document that the endpoint gives
    from googleapiclient.errors import HttpError

    wrong = {"comment": {"text": "a"}, "requestedAttributes": {"FLIRTATION": {}}}
    with pytest.raises(HttpError, match="is not supported") as refused:
        names["client"].comments().analyze(body=wrong).execute()
    assert refused.value.status_code == 400
    names["client"].close()


def curl(command: str, endpoint: Endpoint) -> Any:
    """Carry out a curl of a page; the answer."""
    words = shlex.split(command.replace("\\\n", " "))
    words = [word.replace("http://127.0.0.1:9090", endpoint.url) for word in words]
    words = [word.replace("saring_...", endpoint.token()) for word in words]
    if shutil.which("curl"):
        shown = subprocess.run([*words, "--noproxy", "*"], capture_output=True, check=True).stdout
    else:
        # what curl would send
        headers = dict(word.split(": ", 1) for word in (words[i + 1] for i in range(len(words)) if words[i] == "-H"))
        address, body = words[2], words[words.index("-d") + 1]
        shown = httpx.post(address, content=body, headers=headers, trust_env=False).content
    return json.loads(shown)


def test_curl(endpoint: Endpoint) -> None:
    assert curl(block("curl", "sh"), endpoint)["results"][0]["flagged"]


@pytest.mark.parametrize("name", ["moderation.md", "guide-developer.md"])
def test_the_commands_of_other_pages_are_answered(name: str, endpoint: Endpoint) -> None:
    commands = [one.text for one in blocks(_PAGE.with_name(name)) if one.text.startswith("curl ")]
    answers = [curl(command, endpoint) for command in commands]
    assert answers
    assert all("results" in answer or answer["status"] == "waiting" for answer in answers)


@pytest.mark.parametrize("name", ["moderation.md", "models.md"])
def test_the_python_of_other_pages_runs(name: str, endpoint: Endpoint, folder: Path) -> None:
    [program] = [one.text for one in blocks(_PAGE.with_name(name)) if one.language == "python"]
    names = run(program.replace("FOLDER_OR_HUB_NAME", str(folder)), endpoint)
    if "client" in names:
        names["client"].close()


def test_a_callback_of_a_chain(endpoint: Endpoint) -> None:
    guard = run(block("A callback of a language model's chain"), endpoint)["guard"]
    guard.on_llm_start({}, ["selamat pagi"])
    with pytest.raises(ValueError, match="flagged"):
        guard.on_llm_start({}, ["selamat pagi", "bodoh betul kau ni"])
    said = SimpleNamespace(generations=[[SimpleNamespace(text="bodoh betul kau ni")]])
    with pytest.raises(ValueError, match="flagged"):
        guard.on_llm_end(said)
    guard.client.close()


def test_a_filter_in_front_of_a_python_application(endpoint: Endpoint) -> None:
    moderated = run(block("A filter in front of a Python application"), endpoint)["Moderated"]
    app = FastAPI()

    @app.post("/posts")
    async def posts(request: Request) -> dict[str, str]:
        return {"posted": (await request.json())["text"]}

    filtered = moderated(app, url=endpoint.url, key=endpoint.token())

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(filtered)
        async with httpx.AsyncClient(transport=transport, base_url="http://application") as client:
            answers = [await client.post("/posts", json={"text": text}) for text in ("selamat pagi", "bodoh betul")]
            answers.append(await client.get("/elsewhere"))
        await filtered.client.aclose()
        return answers

    kind, rude, elsewhere = asyncio.run(ask())
    assert kind.json() == {"posted": "selamat pagi"}
    assert (rude.status_code, elsewhere.status_code) == (422, 404)


def test_a_file(endpoint: Endpoint, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "posts.jsonl").write_text('{"text": "bodoh betul kau ni"}\n{"text": "selamat pagi"}\n')
    command, _, _ = block("A file", "sh").replace("MODEL-FOLDER", str(folder)).partition(" > ")
    words = shlex.split(command.replace("posts.jsonl", str(tmp_path / "posts.jsonl")))
    done = typed({"SARING_HOME": str(endpoint.home.settings.home)}, *words[1:])
    rude, kind = (json.loads(line) for line in done.stdout.splitlines())
    assert ("harassment" in rude["labels"], "harassment" in kind["labels"]) == (True, False)
    assert rude["model"] == kind["model"]
