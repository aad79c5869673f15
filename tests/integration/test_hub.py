"""A folder goes to the Hub whole, and what goes wrong is said in a line without the token."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from pydantic import SecretStr

from pipeline.errors import HubError, HubRefused, UsageError
from pipeline.sharing.hub import push_folder
from tests.support.hub_server import OWNER, READER, WRITER, HubStub

#: huggingface_hub hands files to its HTTP library in a way that this now calls old
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\n---\n# a model\n")
    (tmp_path / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "notes.txt").write_text("nota")
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_arrives_whole_and_again_when_it_changed(
    hub: HubStub, folder: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    pushed = push_folder(folder, "saringan", "model", True, SecretStr(WRITER), endpoint=hub.url, message="first")
    assert (pushed.repo, pushed.private) == (f"{OWNER}/saringan", True)
    assert pushed.url == f"{hub.url}/{OWNER}/saringan"
    repository = hub.repositories["model", pushed.repo]
    assert repository.files == content(folder)
    (folder / "sub" / "notes.txt").rename(folder / "sub" / "note.txt")
    push_folder(folder, pushed.repo, "model", True, SecretStr(WRITER), endpoint=hub.url, stale=["sub/*"])
    assert repository.files == content(folder)
    assert repository.commits[0] == "first"
    assert WRITER not in caplog.text + "".join(capfd.readouterr())


def test_a_data_set_is_a_repository_of_its_own_kind(hub: HubStub, folder: Path) -> None:
    pushed = push_folder(folder, f"{OWNER}/teks", "dataset", False, SecretStr(WRITER), endpoint=hub.url)
    assert not pushed.private
    assert hub.repositories["dataset", pushed.repo].files == content(folder)


def test_what_is_to_be_private_never_goes_to_a_public_repository(hub: HubStub, folder: Path) -> None:
    push_folder(folder, f"{OWNER}/terbuka", "model", False, SecretStr(WRITER), endpoint=hub.url)
    (folder / "secret.txt").write_text("rahsia")
    with pytest.raises(HubError, match="public already, so nothing was sent"):
        push_folder(folder, f"{OWNER}/terbuka", "model", True, SecretStr(WRITER), endpoint=hub.url)
    assert "secret.txt" not in hub.repositories["model", f"{OWNER}/terbuka"].files


@pytest.mark.parametrize(
    ("token", "expected", "said"),
    [
        (None, UsageError, "HF_TOKEN"),
        ("  ", UsageError, "HF_TOKEN"),
        ("hf_unknown9876543210", HubRefused, "401"),
        (READER, HubRefused, "403"),
    ],
)
def test_without_the_right_token_one_line_says_so(
    hub: HubStub, folder: Path, token: str | None, expected: type[Exception], said: str
) -> None:
    secret = None if token is None else SecretStr(token)
    with pytest.raises(expected, match=said) as raised:
        push_folder(folder, f"{OWNER}/saringan", "model", False, secret, endpoint=hub.url)
    assert "\n" not in str(raised.value)
    if token is not None and token.strip():
        assert token not in str(raised.value)


def test_a_name_that_is_none_is_wrong_usage(hub: HubStub, folder: Path) -> None:
    with pytest.raises(UsageError, match="not a valid name on the Hub"):
        push_folder(folder, "a/b/c", "model", False, SecretStr(WRITER), endpoint=hub.url)
    assert hub.paths == []


def test_a_hub_that_fails_for_a_moment_is_asked_again(hub: HubStub, folder: Path) -> None:
    hub.failing["/preupload/"] = [503]
    pushed = push_folder(folder, f"{OWNER}/saringan", "model", False, SecretStr(WRITER), endpoint=hub.url)
    assert hub.repositories["model", pushed.repo].files == content(folder)


@pytest.mark.parametrize(("where", "status"), [("/commit/", 500), ("/objects/", 400), ("/repos/create", 500)])
def test_a_hub_that_fails_is_told_in_a_line_and_commits_nothing(
    hub: HubStub, folder: Path, where: str, status: int
) -> None:
    hub.failing[where] = [status] * 20
    with pytest.raises(HubError, match=str(status)) as raised:
        push_folder(folder, f"{OWNER}/saringan", "model", False, SecretStr(WRITER), endpoint=hub.url)
    assert "\n" not in str(raised.value)
    assert any(where in path for path in hub.paths)
    assert not any(repository.files for repository in hub.repositories.values())


def test_nobody_there_is_told_in_a_line(hub: HubStub, folder: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    with pytest.raises(HubError, match="cannot be reached") as raised:
        push_folder(folder, f"{OWNER}/saringan", "model", False, SecretStr(WRITER), endpoint=nowhere)
    assert "\n" not in str(raised.value)


def test_an_offline_client_says_what_to_unset(hub: HubStub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE"):
        push_folder(folder, f"{OWNER}/saringan", "model", False, SecretStr(WRITER), endpoint=hub.url)
    assert hub.paths == []
