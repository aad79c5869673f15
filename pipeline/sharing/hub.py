"""Send a folder to the Hugging Face Hub, as one repository of a model or a data set.

Needs the extra `hub`. The token goes to the Hub and nowhere else: no message and no log holds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr

from pipeline.errors import HubError, HubRefused, UsageError, first_line

RepoType = Literal["model", "dataset"]
PUBLIC_HUB = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class Pushed:
    """The repository on the Hub after a push."""

    #: `OWNER/NAME`, completed by the Hub
    repo: str
    #: address for people
    url: str
    #: the commit that holds the folder
    commit: str
    private: bool


def push_folder(
    folder: Path,
    repo: str,
    repo_type: RepoType,
    private: bool,
    token: SecretStr | None,
    *,
    endpoint: str | None = None,
    message: str | None = None,
    stale: Sequence[str] = (),
) -> Pushed:
    """Send all files of a folder as one upload; the repository is made if there is none.

    A second call sends only what changed. With `private`, a repository that is public already gets nothing.

    Args:
        folder: to be sent.
        repo: `OWNER/NAME`, or `NAME` under the token's account.
        repo_type: kind of the repository.
        private: only its owner may see the repository.
        token: one that may write there, from https://huggingface.co/settings/tokens.
        endpoint: another Hub than the public one.
        message: of the commit.
        stale: glob patterns of files to delete from the repository if the folder has none of that name.

    Raises:
        UsageError: there is no token, or the name is not valid.
        HubRefused: the Hub does not accept the token, or the token may not write there.
        HubError: the Hub cannot be reached, fails, or refuses the upload.
    """
    if token is None or not token.get_secret_value().strip():
        raise UsageError("no token for the Hugging Face Hub: set HF_TOKEN to a token that may write")
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no folder to push")
    with _in_one_line(repo, endpoint or PUBLIC_HUB, token):
        api = _api(token, endpoint)
        made = api.create_repo(repo, repo_type=repo_type, private=private or None, exist_ok=True)
        repo_id = made.repo_id
        is_private = bool(api.repo_info(repo_id, repo_type=repo_type).private)
        if private and not is_private:
            raise HubError(
                f"{made} is public already, so nothing was sent: make it private on the Hub, or choose another name"
            )
        commit = api.upload_folder(
            folder_path=folder,
            repo_id=repo_id,
            repo_type=repo_type,
            commit_message=message or f"Upload {folder.name}",
            delete_patterns=list(stale) or None,
        )
        return Pushed(repo_id, str(made), commit.oid, is_private)


def _api(token: SecretStr, endpoint: str | None) -> Any:
    try:
        # The import is slow, and the extra is needed for sharing only.
        from huggingface_hub import HfApi
    except ImportError as error:
        raise UsageError("pushing needs huggingface_hub: pip install 'saring[hub]'") from error
    return HfApi(endpoint=endpoint, token=token.get_secret_value().strip(), library_name="saring")


@contextmanager
def _in_one_line(repo: str, endpoint: str, token: SecretStr) -> Iterator[None]:
    """Turn errors of the client into one line without the token."""
    from huggingface_hub import errors

    # The base class of the HTTP library, which differs between releases.
    http_error: type[Exception] = errors.HTTPError  # type: ignore[attr-defined]
    secret = token.get_secret_value().strip()
    try:
        yield
    except errors.HFValidationError as error:
        raise UsageError(
            f"--repo {repo!r} is not a valid name on the Hub: {first_line(error, hidden=secret)}"
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise HubError("HF_HUB_OFFLINE is set, so nothing was sent: unset it") from error
    except (http_error, OSError, ValueError, RuntimeError) as error:
        # The error of a failed upload is wrapped in a RuntimeError.
        cause = error.__cause__ if type(error) is RuntimeError and error.__cause__ is not None else error
        status = getattr(getattr(cause, "response", None), "status_code", None)
        detail = first_line(cause, hidden=secret)
        if status == 401:
            raise HubRefused(f"{endpoint} does not accept the token (401): check HF_TOKEN") from error
        if status == 403:
            raise HubRefused(
                f"{endpoint}: the token may not write to {repo!r} (403): give it that right, or check the name"
            ) from error
        if status is not None:
            raise HubError(f"{endpoint} answered {status} for {repo!r}: {detail}; try again later") from error
        if isinstance(cause, http_error):
            raise HubError(f"{endpoint} cannot be reached ({detail}): check the network and HF_ENDPOINT") from error
        raise HubError(f"{repo!r} could not be pushed to {endpoint}: {detail}") from error
