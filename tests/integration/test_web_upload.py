"""Files that are uploaded from the browser, to be ingested."""

from __future__ import annotations

import gzip
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pipeline.runs.requests import open_requests
from pipeline.store import open_session
from pipeline.store.tables.accounts import Role
from saring.actions.incoming import incoming_files
from saring.actions.starting.catalogue import begin
from saring.workers.stages import stages_for
from tests.support.store import new_database
from tests.support.web import Browser, Web, forms_of, serving_web, words_of

_FORM, _UPLOAD = "/runs/start/ingest", "/runs/incoming"
_ROW = b'{"id": "1", "text": "Jalan raya sesak pagi ini"}\n'


@pytest.fixture(scope="module")
def web(server_url: str, template: str, module_home: Path) -> Iterator[Web]:
    with new_database(server_url, template) as url, serving_web(module_home, url, upload_most_mb=1) as web:
        yield web


def upload(browser: Browser, name: str, content: bytes, *, key: str | None = None) -> httpx.Response:
    """Send the form with a file, as a browser does, and follow redirects."""
    form = next(form for form in forms_of(browser.get(_FORM).text) if form.action == _UPLOAD)
    fields = form.fields | ({"form_key": key} if key else {})
    fields.pop("file", None)
    return browser.post(_UPLOAD, data=fields, files={"file": (name, content)}, follow_redirects=True)


def names(web: Web) -> set[str]:
    return {file.name for file in incoming_files(web.home.settings)}


def test_somebody_without_a_terminal_brings_a_file_into_the_store(web: Web) -> None:
    maintainer = web.client(Role.MAINTAINER)
    assert "upload one" in words_of(maintainer.get(_FORM).text)
    shown = upload(maintainer, "C:\\Fakepath\\aduan jalan.jsonl", _ROW)
    assert "aduan jalan.jsonl was uploaded" in shown.text
    form = next(form for form in forms_of(shown.text) if form.action == _FORM)
    assert form.fields["file"] == "aduan jalan.jsonl"
    maintainer.send_form(_FORM, form.fields | {"source": "aduan"})
    with open_session(web.home.engine) as session:
        [request] = open_requests(session)
    assert len(list(begin(web.home, stages_for(web.home.settings), request.id))) == 1
    kept = web.home.settings.incoming_dir / "aduan jalan.jsonl"
    assert kept.read_bytes() == _ROW
    assert kept.stat().st_mode & 0o077 == 0


def test_compressed_files_and_names_in_any_script_are_taken(web: Web) -> None:
    maintainer = web.client(Role.MAINTAINER)
    assert upload(maintainer, "بريتا.jsonl.gz", gzip.compress(_ROW)).status_code == 200
    assert "بريتا.jsonl.gz" in names(web)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (".hidden.jsonl", _ROW, "name cannot be used here"),
        ("..", _ROW, "name cannot be used here"),
        ("x" * 130 + ".csv", _ROW, "name cannot be used here"),
        ("kosong.jsonl", b"", "kosong.jsonl is empty"),
        ("besar.jsonl", _ROW * 21_000, "besar.jsonl has more than 1 MB"),
        ("senarai.xlsx", b"PK\x03\x04", "senarai.xlsx"),
        ("gambar.png", b"\x89PNG", "gambar.png"),
        ("rosak.zip", b"PK\x03\x04 not an archive", "rosak.zip"),
        ("", _ROW, "Choose a file first"),
    ],
)
def test_what_cannot_be_read_is_refused_and_not_kept(web: Web, name: str, content: bytes, says: str) -> None:
    before = sorted(web.home.settings.incoming_dir.iterdir()) if web.home.settings.incoming_dir.exists() else []
    answer = upload(web.client(Role.MAINTAINER), name, content)
    assert answer.status_code == 422
    said = words_of(answer.text)
    assert says in said
    assert "was uploaded" not in said
    after = sorted(web.home.settings.incoming_dir.iterdir()) if web.home.settings.incoming_dir.exists() else []
    assert after == before


def test_no_file_takes_the_place_of_another_even_when_two_come_at_once(web: Web) -> None:
    browsers = [web.client(Role.MAINTAINER, f"m{number}") for number in range(4)]
    answers: list[int] = []

    def send(number: int) -> None:
        answers.append(upload(browsers[number], "sama.txt", b"%d\n" % number * 1000).status_code)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 422, 422, 422]
    kept = set((web.home.settings.incoming_dir / "sama.txt").read_text().split())
    assert len(kept) == 1
    assert "already" in words_of(upload(browsers[0], "sama.txt", b"lain\n").text)


def test_a_form_that_is_sent_twice_keeps_one_file(web: Web) -> None:
    maintainer = web.client(Role.MAINTAINER)
    for _ in range(2):
        assert upload(maintainer, "sekali.txt", b"sekali\n", key="the same key").status_code == 200
    assert "sekali.txt" in names(web)


def test_what_a_killed_upload_left_is_never_offered_and_removed_in_the_end(web: Web) -> None:
    folder = web.home.settings.incoming_dir
    folder.mkdir(exist_ok=True)
    old, new = folder / ".upload-1-lama.txt", folder / ".upload-2-baharu.txt"
    for left, days in ((old, 2), (new, 0)):
        left.write_text("separuh")
        os.utime(left, (time.time() - days * 86_400,) * 2)
    assert upload(web.client(Role.MAINTAINER), "selepas.txt", b"selepas\n").status_code == 200
    assert (old.exists(), new.exists()) == (False, True)
    assert not any("baharu" in name or "lama" in name for name in names(web))
    new.unlink()


def test_more_than_may_be_sent_is_refused_before_it_is_read(web: Web) -> None:
    assert upload(web.client(Role.MAINTAINER), "besar.txt", b"x" * 9_000_000).status_code == 413
    assert "besar.txt" not in names(web)


def test_nobody_else_uploads(web: Web) -> None:
    sent = {"data": {"csrf": "x"}, "files": {"file": ("x.txt", b"x\n")}}
    # the maintainer's form is not one of ours
    for client, status in (
        (web.client(Role.REVIEWER), 403),
        (web.anonymous(), 401),
        (web.client(Role.MAINTAINER), 403),
    ):
        assert client.post(_UPLOAD, **sent).status_code == status
    assert "x.txt" not in names(web)


def test_uploads_can_be_turned_off(server_url: str, template: str, new_home: Path) -> None:
    with new_database(server_url, template) as url, serving_web(new_home, url, upload_most_mb=0) as web:
        page = web.client(Role.MAINTAINER).get(_FORM)
        assert _UPLOAD not in page.text
        assert "put one there first" in words_of(page.text)
