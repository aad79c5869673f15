"""An archive that somebody forged: whole by its hashes, and refused for what it would bring."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.store.transfer import known_revisions
from saring.backup.archive import is_inside, writing
from saring.backup.manifest import LARGEST_MANIFEST, MANIFEST, SEAL, File, Manifest
from tests.support.commands import answered, refused, typed


def forged(to: Path, name: str, content: bytes = b"print('here')\n", *, spaces: int = 0) -> Path:
    """A whole archive with one file."""
    manifest = Manifest(
        saring="0.1.0",
        created_at=datetime.now(UTC),
        schema_revision=known_revisions()[-1],
        taxonomy_version="t",
        label_studio=False,
        settings={},
        tables=(),
        files=(File(name=name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest()),),
        missing={},
    )
    written = manifest.model_dump_json().encode() + b" " * spaces
    with writing(to) as archive:
        archive.add(name, content)
        archive.add(MANIFEST, written)
        archive.add(SEAL, hashlib.sha256(written).hexdigest().encode())
    return to


@pytest.mark.parametrize(
    "name",
    [
        "label-studio/settings/saring_label_studio_settings.py",
        "label-studio/settings/sitecustomize.py",
        "label-studio/.local/lib/python3.11/site-packages/usercustomize.py",
        "label-studio/media",
        "label-studio/owner.json/x",
        "backend/program.py",
        "snapshots/folder/x.parquet",
        "worker/settings.py",
        ".restoring-files",
    ],
)
def test_a_file_that_no_backup_has_is_refused(
    environment: dict[str, str], new_home: Path, tmp_path: Path, name: str
) -> None:
    archive = forged(tmp_path / "forged.tar.zst", name)
    said = refused(typed(environment, "restore", str(archive)))
    assert repr(name) in said
    assert not any(path.suffix == ".py" for path in new_home.rglob("*"))


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "models/../../x", "models//x", "models/./x", "", ".", "a\\b", "C:/x", "x\n"]
)
def test_a_name_that_leads_out_of_the_home_is_none(name: str) -> None:
    assert not is_inside(name)


@pytest.mark.parametrize("name", ["models/a/model.json", "label-studio/.env", "label-studio/media/upload/gambar é.png"])
def test_a_name_of_a_backup_is_one(name: str) -> None:
    assert is_inside(name)


@pytest.mark.parametrize(
    ("content", "good"),
    [
        (b"\nSECRET_KEY=4nGgA-_=\n", True),
        (b"SECRET_KEY=a\nDJANGO_SETTINGS_MODULE=evil\n", False),
        (b"export PATH=/tmp/evil\n", False),
        (b"\xff\xfe", False),
    ],
)
def test_settings_of_label_studio_are_its_secret_key_and_nothing_else(
    environment: dict[str, str], new_home: Path, tmp_path: Path, content: bytes, good: bool
) -> None:
    archive = forged(tmp_path / "forged.tar.zst", "label-studio/.env", content)
    done = typed(environment, "restore", str(archive), "--json")
    secrets = new_home / "services" / "label-studio" / ".env"
    if good:
        answered(done)
        assert secrets.read_bytes() == content
        assert secrets.stat().st_mode & 0o777 == 0o600
    else:
        assert "holds more than SECRET_KEY" in refused(done)
        assert not secrets.exists()


def test_a_manifest_of_no_reasonable_size_is_not_read(
    environment: dict[str, str], new_home: Path, tmp_path: Path
) -> None:
    archive = forged(tmp_path / "forged.tar.zst", "taxonomy.yaml", spaces=LARGEST_MANIFEST)
    assert archive.stat().st_size < 1_000_000
    assert "which no backup's has: refused" in refused(typed(environment, "restore", str(archive)))
    assert list(new_home.iterdir()) == []
