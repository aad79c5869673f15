"""The commands that back up a home into one archive and restore it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from pipeline.errors import UsageError
from pipeline.plural import counted
from saring import backup
from saring.cli import output


def backup_command(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE|FOLDER|URL", help="The place of the backup. In a folder, its name is the date and time."
        ),
    ] = None,
    verify: Annotated[
        str | None,
        typer.Option("--verify", metavar="FILE|URL", help="Check this backup and show what it holds; make no new one."),
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Continue if files that the store refers to are missing.")
    ] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Back up this home into one archive. Services may keep running.

    The archive holds texts and secrets; only you can read it. docs/backup.md lists what is in it and what is not.

    Example: saring backup /mnt/backups/
    """
    if (target is None) == (verify is None):
        raise UsageError("give either a place for the backup, or a backup to check with --verify")
    ctx = output.home()
    if verify is not None:
        with output.progress_bar() as progress:
            verified = backup.verify(verify, progress=progress)
        output.emit(_verified(verified), as_json=as_json, say=_say_verified)
        return
    assert target is not None, "either a target or --verify is given"
    engine = ctx.engine
    with output.progress_bar() as progress:
        saved = backup.back_up(engine, ctx.settings, target, allow_missing=allow_missing, progress=progress)
    ctx.close()
    output.emit(asdict(saved), as_json=as_json, say=_say_saved)


def restore_command(
    source: Annotated[str, typer.Argument(metavar="FILE|URL", help="The backup to restore.")],
    as_json: output.JsonFlag = False,
) -> None:
    """Restore a backup into an empty home (SARING_HOME).

    The backup is checked before anything is written. Afterwards every table is read back and compared with it. If the
    command is interrupted, run it again: it starts from the beginning.

    Example: saring restore saring-20260102T030405Z.tar.zst
    """
    settings = output.home().settings
    with output.progress_bar() as progress:
        restored = backup.restore(settings, source, progress=progress)
    output.emit(asdict(restored), as_json=as_json, say=_say_restored)


def _verified(verified: backup.Verified) -> dict[str, Any]:
    manifest = verified.manifest
    return {
        "archive": verified.archive,
        "whole": True,
        "seal": verified.seal,
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
    _line("The backup holds texts and secrets: keep it where only you can read it.")
    _say_missing(result)


def _say_verified(result: dict[str, Any]) -> None:
    _line(f"{result['archive']} is complete: {_contents(result)}")
    _line(f"made {result['created_at']:%Y-%m-%d %H:%M} UTC by Saring {result['saring']}, schema {result['schema']}")
    _say_missing(result)


def _say_restored(result: dict[str, Any]) -> None:
    _line(f"Restored {result['home']} as of {result['created_at']:%Y-%m-%d %H:%M} UTC: {_contents(result)}")
    _line("Every table was read back: rows and hash are the same as in the backup.")
    _say_missing(result)
    if result["set_taxonomy"] is not None:
        _line(f"The backup used another taxonomy: set SARING_TAXONOMY={result['set_taxonomy']}")
    for name, value in result["set_settings"].items():
        _line(f"SARING_{name.upper()} was {value!r}: set it again if it is still right")
    if result["label_studio"]:
        _line("Next: `saring up`, then `saring sync pull` for annotations made after the backup.")


def _say_missing(result: dict[str, Any]) -> None:
    for name, path in result["missing"].items():
        _line(f"left out: {name}, which was not in {path}")


def _contents(result: dict[str, Any]) -> str:
    rows = counted(sum(result["tables"].values()), "row")
    tables, files = counted(len(result["tables"]), "table"), counted(result["files"], "file")
    return f"{rows} in {tables}, {files}, {'with' if result['label_studio'] else 'without'} Label Studio"


def _line(sentence: str) -> None:
    output.out().print(sentence, soft_wrap=True, markup=False)
