"""Read texts and labelled sets into the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.errors import InputError, UsageError
from pipeline.judgement import ADJUDICATION, RaterKind, RaterRef
from pipeline.progress import Progress, silent
from pipeline.raters.answers import Preset, make_preset, preset_of
from pipeline.raters.imported import ImportReport
from pipeline.raters.imported import import_labelled as import_files
from pipeline.raters.mapping import LabelMapping, load_mapping
from pipeline.texts.fields import columns_of, has, likely_labels, named
from pipeline.texts.ingest import IngestReport, SourceInfo
from pipeline.texts.ingest import ingest as ingest_files
from pipeline.texts.layout import Layout
from pipeline.texts.readers import Format, format_of
from pipeline.texts.unusable import LOOKED_AT, first_rows
from saring.context import Context


def ingest(
    home: Context,
    paths: str | Path | Sequence[str | Path],
    source: str | SourceInfo,
    *,
    form: Format | None = None,
    layout: Layout | None = None,
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
        layout: their encoding and delimiter; None: as their first bytes show.
        text_field: the field with the text; a path with dots leads into nested fields.
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
        layout=layout,
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
    labels_field: str | None = None,
    mapping: Path | None = None,
    kind: RaterKind = RaterKind.EXTERNAL,
    rater: str | None = None,
    rater_field: str | None = None,
    labels_separator: str | None = None,
    preset: str | None = None,
    form: Format | None = None,
    layout: Layout | None = None,
    text_field: str = "text",
    id_field: str = "id",
    progress: Progress = silent,
) -> ImportReport:
    """Read labelled texts into the store and their labels into the ledger.

    Args:
        home: the home with the store.
        paths: files, or addresses such as ``hf://`` and ``s3://``.
        source: the name of the data set, or more about it.
        labels_field: the field with the labels; None: `labels`, or the one of the preset.
        mapping: a YAML file that maps the source's values to labels; None: the values are keys of the taxonomy.
        kind: the kind of rater that judged.
        rater: the rater's name; None: the name of the source.
        rater_field: the field that names the rater of each row; None: all rows are of one rater.
        labels_separator: what stands between several labels of one cell; None: whatever splits it into known labels.
        preset: the tool whose export the files are (see `pipeline.raters.answers`); None: as the first rows show;
            `none`: no tool's.
        form: the format of the files; None: from their names.
        layout: their encoding and delimiter; None: as their first bytes show.
        text_field: the field with the text; a path with dots leads into nested fields.
        id_field: the field with the row's own id, if any.
        progress: called after every batch.

    Raises:
        InputError: a file can't be read at all, has no row that can be used, or has none of the fields with labels.
        UsageError: the mapping is not valid, nothing says which field has the labels, or the rater has a name that is
            kept for reviewers.
    """
    origin = SourceInfo(source) if isinstance(source, str) else source
    author = RaterRef(kind, rater or origin.name)
    if author.adjudicates:
        raise UsageError(
            f"the name {ADJUDICATION!r} is for reviewers who settle disputes: give the rater another name (--rater)"
        )
    files, layout = as_paths(paths), layout or Layout()
    looks = [_Look(path, form or format_of(path), layout) for path in files]
    tool = _tool(preset, labels_field, looks[0])
    mapped = load_mapping(
        mapping,
        home.taxonomy,
        labels_field or (tool.labels_field if tool is not None else "labels"),
        separator=labels_separator,
        rater_field=rater_field,
        preset=tool,
    )
    if preset is None and mapped.reads_state_of_tool():
        # The mapping itself says what accepted and rejected rows mean.
        mapped.preset = None
    for look in looks:
        look.refuse_without_labels(mapped, text_field)
    return import_files(
        home.engine,
        files,
        origin,
        mapped,
        author,
        form=form,
        layout=layout,
        text_field=text_field,
        id_field=id_field,
        languages=home.settings.languages,
        rejects_dir=home.settings.rejects_dir,
        progress=progress,
    )


class _Look:
    """The first rows of a file, and what they show."""

    def __init__(self, path: str, form: Format, layout: Layout) -> None:
        self.path = path
        self.rows = first_rows(path, form, layout)
        #: True: no later row can have another field
        self.settled = form in (Format.CSV, Format.PARQUET) or len(self.rows) < LOOKED_AT

    def refuse_without_labels(self, mapping: LabelMapping, text_field: str) -> None:
        """Check that some row has a field with labels, and the field with the rater if there is one.

        Raises:
            InputError: none has.
        """
        if not self.rows or not self.settled or not self._has(text_field):
            # Without a text the rows cannot be used anyway, and reading them says why.
            return
        columns = columns_of(self.rows)
        if mapping.rater_field is not None and not self._has(mapping.rater_field):
            raise InputError(
                f"{self.path}: there is no column {mapping.rater_field!r} (--rater-field); its columns are "
                f"{named(columns)}"
            )
        tool = mapping.preset.read if mapping.preset is not None else ()
        if any(map(self._has, (mapping.labels_field, mapping.denied_field, *mapping.fields, *tool))):
            return
        guess = likely_labels(columns)
        advice = f"perhaps --labels-field {guess}" if guess else "name the one with the labels with --labels-field"
        raise InputError(
            f"{self.path}: there is no column {mapping.labels_field!r}; its columns are {named(columns)}: {advice}"
        )

    def _has(self, name: str) -> bool:
        return any(has(row, name) for row in self.rows)


def _tool(preset: str | None, labels_field: str | None, look: _Look) -> Preset | None:
    name = preset or preset_of(look.rows)
    return None if name in (None, "none") else make_preset(str(name), labels_field, look.rows)


def as_paths(paths: str | Path | Sequence[str | Path]) -> list[str]:
    """One path or several, as a list of strings."""
    return [str(paths)] if isinstance(paths, str | Path) else [str(path) for path in paths]
