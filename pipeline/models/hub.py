"""Models by name: a folder on this machine, or a name on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import ModelError

#: seconds until the Hub counts as unreachable
_TIMEOUT = 10.0


def model_place(name: str, *, revision: str | None = None) -> str:
    """The folder of that name, or the name itself where the Hub or its cache has such a model.

    Without this check, loading would try for a minute where there is no network, or where the name of a folder is
    mistyped.

    Raises:
        ModelError: neither a folder nor a model of the Hub's; the message names what was looked for.
    """
    import httpx2
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(folder)
    try:
        try:
            snapshot_download(name, revision=revision, local_files_only=True)
        except LocalEntryNotFoundError:
            HfApi().model_info(name, revision=revision, timeout=_TIMEOUT)
    except RevisionNotFoundError as error:
        raise ModelError(f"the Hugging Face Hub has no revision {revision!r} of {name!r}") from error
    except GatedRepoError as error:
        raise ModelError(
            f"{name!r} on the Hugging Face Hub needs an account with access: ask for it there and set HF_TOKEN"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"there is no folder {name!r}, and the Hugging Face Hub has no such model (a private one needs HF_TOKEN)"
        ) from error
    except ValueError as error:
        # The Hub has no names of this form.
        raise ModelError(f"there is no folder {name!r}") from error
    except (OSError, httpx2.HTTPError) as error:
        raise ModelError(
            f"there is no folder {name!r}, the Hugging Face cache has no such model, and the Hub cannot be reached: "
            "give the path of its folder, or download it where there is a network"
        ) from error
    return name
