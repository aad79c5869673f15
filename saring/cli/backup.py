"""The commands that bring everything into one archive, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from pipeline.errors import UsageError
from saring import backup
from saring.cli import output


def backup_command(
    target: Annotated[
        str | None,
        typer.Argument(metavar="FILE|FOLDER|URL", help="Where to write it; in a folder, it is named after the time."),
    ] = None,
    verify: Annotated[
        str | None,
        typer.Option("--verify", metavar="FILE|URL", help="Make none: say whether this one is whole, and what it is."),
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Go on without files that the store speaks of and that are gone.")
    ] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Bring everything that this home would miss into one archive, while everything runs.

    It holds texts and secrets, and is readable by you alone. docs/backup.md says what is in it and what is not.

    Example: saring backup /mnt/backups/
    """
    if (target is None) == (verify is None):
        raise UsageError("name where to write a backup, or one to look at with --verify")
    ctx = output.home()
    if verify is not None:
        with output.progress_bar() as progress:
            seen = backup.verify(verify, progress=progress)
        output.emit(_verified(seen), as_json=as_json, say=_say_verified)
        return
    assert target is not None, "one of the two is given"
    engine = ctx.engine
    with output.progress_bar() as progress:
        done = backup.back_up(engine, ctx.settings, target, allow_missing=allow_missing, progress=progress)
    ctx.close()
    output.emit(asdict(done), as_json=as_json, say=_say_saved)


def restore_command(
    source: Annotated[str, typer.Argument(metavar="FILE|URL", help="A backup.")],
    as_json: output.JsonFlag = False,
) -> None:
    """Fill the home in force (SARING_HOME), which must be empty, from a backup.

    The backup is checked before anything is written; afterwards every table is read back and compared with it. If it is
    interrupted, the same command begins anew.

    Example: saring restore saring-20260102T030405Z.tar.zst
    """
    settings = output.home().settings
    with output.progress_bar() as progress:
        done = backup.restore(settings, source, progress=progress)
    output.emit(asdict(done), as_json=as_json, say=_say_restored)


def _verified(seen: backup.Verified) -> dict[str, Any]:
    manifest = seen.manifest
    return {
        "archive": seen.archive,
        "whole": True,
        "seal": seen.seal,
        "created_at": manifest.created_at,
        "saring": manifest.saring,
        "schema": manifest.schema_revision,
        "tables": {table.name: table.rows for table in manifest.tables},
        "files": len(manifest.files),
        "label_studio": manifest.label_studio,
        "missing": manifest.missing,
    }


def _say_saved(result: dict[str, Any]) -> None:
    _line(f"{result['archive']}: {result['bytes'] / 1e6:.1f} MB, {_contents(result)}")
    _line("it holds texts and secrets: keep it where only you can read it")
    _say_missing(result)


def _say_verified(result: dict[str, Any]) -> None:
    _line(f"{result['archive']} is whole: {_contents(result)}")
    _line(f"made {result['created_at']:%Y-%m-%d %H:%M} UTC by Saring {result['saring']}, schema {result['schema']}")
    _say_missing(result)


def _say_restored(result: dict[str, Any]) -> None:
    _line(f"{result['home']} is as it was on {result['created_at']:%Y-%m-%d at %H:%M} UTC: {_contents(result)}")
    _line("every table was read back: its rows and its hash are those of the backup")
    _say_missing(result)
    if result["set_taxonomy"] is not None:
        _line(f"another taxonomy was in force: set SARING_TAXONOMY={result['set_taxonomy']}")
    for name, value in result["set_settings"].items():
        _line(f"SARING_{name.upper()} was {value!r}: set it again if it still holds")
    if result["label_studio"]:
        _line("next: `saring up`, then `saring sync pull` for what Label Studio knows more")


def _say_missing(result: dict[str, Any]) -> None:
    for what, path in result["missing"].items():
        _line(f"left out: {what}, which was not in {path}")


def _contents(result: dict[str, Any]) -> str:
    rows = f"{sum(result['tables'].values()):,} rows in {len(result['tables'])} tables, {result['files']:,} files"
    return f"{rows}, {'with' if result['label_studio'] else 'without'} Label Studio"


def _line(words: str) -> None:
    output.out().print(words, soft_wrap=True, markup=False)
