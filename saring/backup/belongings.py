"""The files of a home that go into a backup, their names there, and the places that they are restored to.

models/VERSION/...      model folders: those that the registry names, wherever they lie, and the others of the home
snapshots/...           frozen training sets
learnt/VERSION          which texts a model was trained on
label-studio/...        data of the embedded Label Studio: secret key, owner, port, media, exports
backend.json, backend/port    what Label Studio and its webhooks are to tell the ML backend, and where it listens
pseudonyms.key          what people are called by in exported data sets
volunteers.key          what the volunteers' tokens of Label Studio are encrypted with
documentation.yaml      what only the maintainer can say of shared models and data sets
taxonomy.yaml           the taxonomy that was in force
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.errors import BackupError
from pipeline.models.artefact import MANIFEST
from pipeline.settings import Settings
from pipeline.sharing.maintainer_words import FILE as DOCUMENTATION
from pipeline.sharing.pseudonyms import KEY_FILE
from saring.accounts.sealing import KEY_FILE as VOLUNTEERS_KEY
from saring.services import owner_file
from saring.services.label_studio_install import DATABASE

LABEL_STUDIO_DATABASE = f"label-studio/{DATABASE}"
#: settings of Label Studio, of which it writes one itself: the key of its sessions
LABEL_STUDIO_SECRETS = ".env"
_SECRET_KEY = re.compile(r"\s*(SECRET_KEY=[\w\-+/=!@#$%^&*().,:;?~|<>]*\s*)?")
TAXONOMY = "taxonomy.yaml"
_SINGLE = ("backend.json", KEY_FILE, VOLUNTEERS_KEY, DOCUMENTATION, TAXONOMY)
#: The entries of Label Studio's folder that are data. What else there is is made anew at each start, and some of it is
#: code: a backup that was forged must not bring it.
_OF_LABEL_STUDIO = (DATABASE, LABEL_STUDIO_SECRETS, ".config/label-studio/user_id", "owner.json", "port")
_FOLDERS = ("export", "media")


@dataclass(frozen=True, slots=True)
class Belonging:
    """A file that goes in."""

    name: str
    path: Path
    #: a row of the store speaks of it, so without it the backup would not be whole
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Registered:
    """The store's records of files."""

    #: version to folder
    models: Mapping[str, str]
    #: id to file
    snapshots: Mapping[int, str]

    def moved(self, home: Path) -> Registered:
        """The same, where a backup brings them in another home."""
        return Registered(
            {version: str(place(home, f"models/{version}")) for version in self.models},
            {number: str(place(home, f"snapshots/{Path(path).name}")) for number, path in self.snapshots.items()},
        )

    def missing(self) -> dict[str, str]:
        """The missing files, named for a person, with the places where they should be."""
        models = {f"model {v}": path for v, path in self.models.items() if not (Path(path) / MANIFEST).is_file()}
        snapshots = {f"snapshot {n}": path for n, path in self.snapshots.items() if not Path(path).is_file()}
        return models | snapshots


def place(home: Path, name: str) -> Path:
    """The place in a home that a file of a backup is restored to.

    Raises:
        BackupError: no backup has a file of that name.
    """
    root, *rest = PurePosixPath(name).parts
    if (root == "models" and rest) or (root in ("snapshots", "learnt") and len(rest) == 1):
        return home.joinpath(root, *rest)
    if root == "label-studio" and ("/".join(rest) in _OF_LABEL_STUDIO or (len(rest) > 1 and rest[0] in _FOLDERS)):
        return home.joinpath("services", root, *rest)
    if name == "backend/port":
        return home.joinpath("services", root, *rest)
    if name in _SINGLE:
        return home / name
    raise BackupError(f"the backup holds {name!r}, which this version has no place for: install a newer one")


def check_secrets(path: Path) -> None:
    """See that restored settings of Label Studio hold its secret key and nothing else.

    Raises:
        BackupError: they hold more, which could change what the server runs.
    """
    try:
        written = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        written = "\0"
    if not _SECRET_KEY.fullmatch(written):
        raise BackupError(
            f"the backup's label-studio/{path.name} holds more than SECRET_KEY: do not restore it unless you know who "
            "made it; put other settings into the environment of `saring up`"
        )


def occupied(home: Path) -> Path | None:
    """Something in a home that a restored backup would lie beside or upon; None in an empty one."""
    for folder in (home / "models", home / "snapshots", home / "learnt", home / "services" / "label-studio"):
        entry = next(iter(sorted(folder.iterdir())), None) if folder.is_dir() else None
        if entry is not None:
            return entry
    singles = (*(home / name for name in _SINGLE if name != TAXONOMY), home / "services" / "backend" / "port")
    return next((path for path in singles if path.exists()), None)


def belongings(settings: Settings, registered: Registered) -> Iterator[Belonging]:
    """Every file that goes in, once, but for the taxonomy and the database of Label Studio."""
    for version, folder in registered.models.items():
        yield from _below(Path(folder), f"models/{version}", needed=True)
    frozen = {Path(path).name: Path(path) for path in registered.snapshots.values()}
    for name, path in frozen.items():
        yield Belonging(f"snapshots/{name}", path, needed=True)
    for other in _entries(settings.models_dir):
        if other.name not in registered.models:
            yield from _below(other, f"models/{other.name}")
    for path in _entries(settings.snapshots_dir):
        if path.name not in frozen and path.is_file():
            yield Belonging(f"snapshots/{path.name}", path)
    for path in _entries(settings.learnt_dir):
        if path.is_file():
            yield Belonging(f"learnt/{path.name}", path)
    if has_label_studio(settings):
        for name in sorted((*_OF_LABEL_STUDIO, *_FOLDERS)):
            if name != DATABASE:
                yield from _below(label_studio_folder(settings) / name, f"label-studio/{name}")
    for name in ("backend.json", "backend/port", KEY_FILE, VOLUNTEERS_KEY, DOCUMENTATION):
        if (path := place(settings.home, name)).is_file():
            yield Belonging(name, path)


def label_studio_folder(settings: Settings) -> Path:
    """The folder of the embedded Label Studio's data."""
    return owner_file(settings).parent


def has_label_studio(settings: Settings) -> bool:
    """True where this home's own Label Studio is in use and has data."""
    return settings.label_studio_url is None and (label_studio_folder(settings) / DATABASE).is_file()


def copy_sqlite(source: Path, copy: Path) -> None:
    """Copy a SQLite database as it is at one moment, while others may write to it.

    Raises:
        BackupError: it cannot be read, or is damaged.
    """
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=60)) as database,
            closing(sqlite3.connect(copy)) as made,
        ):
            # in one step: between two, another process's writing would have it begin anew
            database.backup(made, pages=-1)
            # a copy is one file, and has no other beside it
            made.execute("PRAGMA journal_mode = DELETE")
            verdict = made.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise BackupError(f"{source} cannot be copied ({error}): see `saring doctor`") from error
    if verdict != "ok":
        raise BackupError(f"{source} is damaged ({verdict}): mend it with `sqlite3 {source.name} .recover`")


def _entries(folder: Path) -> list[Path]:
    """The entries of a folder, without those that are being written."""
    return sorted(path for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []


def _below(path: Path, name: str, *, needed: bool = False) -> Iterator[Belonging]:
    """A file, or all files below a folder, in order. Links to files are followed, links to folders are not."""
    if path.is_file():
        yield Belonging(name, path, needed)
    for folder, folders, files in os.walk(path):
        folders.sort()
        inner = Path(folder).relative_to(path).as_posix()
        for file in sorted(files):
            yield Belonging(str(PurePosixPath(name, inner, file)), Path(folder, file), needed)
