"""Send an exported data set to the Hugging Face Hub, if it is unchanged since its export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from pydantic import SecretStr

from pipeline.errors import InputError
from pipeline.sharing.dataset_card import CARD
from pipeline.sharing.dataset_export import FORMAT, MANIFEST, sha256
from pipeline.sharing.dataset_files import DATA
from pipeline.sharing.hub import Pushed, push_folder


def push_dataset(
    folder: Path, repo: str, *, private: bool, token: SecretStr | None, endpoint: str | None = None
) -> Pushed:
    """Check the folder against its manifest, and send it as one commit. The card may have been edited.

    Shards of an earlier push are deleted from the repository if the folder has none of that name.

    Args:
        folder: what `export_dataset` wrote.
        repo: `OWNER/NAME`, or `NAME` under the token's account.
        private: only its owner may see the repository.
        token: one that may write there.
        endpoint: another Hub than the public one.

    Raises:
        InputError: it is not an exported data set, or its data were changed or lost since.
        UsageError, HubError: see `push_folder`.
    """
    document = check_folder(folder)
    rows, digest = document["counts"]["rows"], document["hash"][:12]
    return push_folder(
        folder,
        repo,
        "dataset",
        private,
        token,
        endpoint=endpoint,
        message=f"{rows:,} rows, data {digest}",
        stale=[f"{DATA}/*.parquet"],
    )


def check_folder(folder: Path) -> dict[str, Any]:
    """Check that a folder holds exactly the unchanged files of an exported data set; return its manifest.

    Raises:
        InputError: a file is missing, changed, or does not belong there.
    """
    path = folder / MANIFEST
    again = "export it again with `saring dataset export`"
    if not path.is_file():
        raise InputError(f"{folder}: there is no data set of Saring ({MANIFEST} is missing); {again}")
    try:
        document: dict[str, Any] = orjson.loads(path.read_bytes())
        files, known = dict(document["files"]), document["saring_dataset"] == FORMAT
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: this is not a manifest of Saring; {again}") from error
    if not known:
        raise InputError(f"{path}: written by another version of Saring; {again}")
    expected = {CARD, MANIFEST, *files}
    there = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    if lost := sorted(expected - there):
        raise InputError(f"{folder}: {lost[0]} is missing; {again}")
    if more := sorted(there - expected):
        # This file would be sent with the rest.
        raise InputError(f"{folder}: {more[0]} is not part of the data set; remove it, or {again}")
    for name, digest in files.items():
        if sha256(folder / name) != digest:
            raise InputError(f"{folder / name}: changed since it was exported; {again}")
    return document
