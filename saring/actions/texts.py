"""Read texts and labelled sets into the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.judgement import RaterKind, RaterRef
from pipeline.progress import Progress, silent
from pipeline.raters.imported import ImportReport
from pipeline.raters.imported import import_labelled as import_files
from pipeline.raters.mapping import load_mapping
from pipeline.texts.ingest import IngestReport, SourceInfo
from pipeline.texts.ingest import ingest as ingest_files
from pipeline.texts.readers import Format
from saring.context import Context


def ingest(
    home: Context,
    paths: str | Path | Sequence[str | Path],
    source: str | SourceInfo,
    *,
    form: Format | None = None,
    text_field: str = "text",
    id_field: str = "id",
    follow: Callable[[], bool] | None = None,
    progress: Progress = silent,
) -> IngestReport:
    """Read texts into the store. They are repaired and masked, and languages and duplicates are detected.

    Reading a file again changes nothing; after an interruption the same call continues.

    Args:
        home: the home with the store.
        paths: files, or addresses such as ``hf://`` and ``s3://``.
        source: the name of the source, or more about it.
        form: the format of the files; None: from their names.
        text_field: the field with the text.
        id_field: the field with the row's own id, if any.
        follow: called at the end of a single file; True: look for more lines.
        progress: called after every batch.

    Raises:
        InputError: a file can't be read at all.
        UsageError: several files are to be followed.
    """
    files = as_paths(paths)
    if follow is not None and len(files) != 1:
        raise UsageError(f"--follow reads a single file, not {len(files)}: name one")
    return ingest_files(
        home.engine,
        files,
        SourceInfo(source) if isinstance(source, str) else source,
        form=form,
        text_field=text_field,
        id_field=id_field,
        languages=home.settings.languages,
        rejects_dir=home.settings.rejects_dir,
        workers=0 if follow is not None else None,
        follow=follow,
        progress=progress,
    )


def import_labelled(
    home: Context,
    paths: str | Path | Sequence[str | Path],
    source: str | SourceInfo,
    *,
    labels_field: str = "labels",
    mapping: Path | None = None,
    kind: RaterKind = RaterKind.EXTERNAL,
    rater: str | None = None,
    form: Format | None = None,
    text_field: str = "text",
    id_field: str = "id",
    progress: Progress = silent,
) -> ImportReport:
    """Read labelled texts into the store and their labels into the ledger.

    Args:
        home: the home with the store.
        paths: files, or addresses such as ``hf://`` and ``s3://``.
        source: the name of the data set, or more about it.
        labels_field: the field with the labels.
        mapping: a YAML file that maps the source's values to labels; None: the values are keys of the taxonomy.
        kind: the kind of rater that judged.
        rater: the rater's name; None: the name of the source.
        form: the format of the files; None: from their names.
        text_field: the field with the text.
        id_field: the field with the row's own id, if any.
        progress: called after every batch.

    Raises:
        InputError: a file or the mapping can't be read.
    """
    origin = SourceInfo(source) if isinstance(source, str) else source
    return import_files(
        home.engine,
        as_paths(paths),
        origin,
        load_mapping(mapping, home.taxonomy, labels_field),
        RaterRef(kind, rater or origin.name),
        form=form,
        text_field=text_field,
        id_field=id_field,
        languages=home.settings.languages,
        rejects_dir=home.settings.rejects_dir,
        progress=progress,
    )


def as_paths(paths: str | Path | Sequence[str | Path]) -> list[str]:
    """One path or several, as a list of strings."""
    return [str(paths)] if isinstance(paths, str | Path) else [str(path) for path in paths]
