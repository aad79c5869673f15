"""`saring ingest` and `saring import`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.judgement import RaterKind
from pipeline.raters.imported import ImportReport
from pipeline.texts.ingest import IngestReport, SourceInfo
from pipeline.texts.layout import Layout
from pipeline.texts.readers import Format, wait_for_more
from saring.cli import output

_FOLLOW_SECONDS = 1.0

Paths = Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, or addresses such as hf:// and s3://.")]
SourceName = Annotated[str, typer.Option("--source", help="A name for the source of these texts.")]
FormatOption = Annotated[
    Format | None, typer.Option("--format", help="Format of the files. Default: from their names.")
]
TextField = Annotated[
    str, typer.Option("--text-field", help="The field or column with the text; dots lead into nested fields.")
]
IdField = Annotated[str, typer.Option("--id-field", help="The field or column with the row's id, if it has one.")]
Delimiter = Annotated[
    str | None,
    typer.Option("--delimiter", help="The separator of the columns of CSV: a character, or tab. Default: found."),
]
Encoding = Annotated[
    str | None, typer.Option("--encoding", help="Encoding of text files, such as cp1252 or utf-16. Default: found.")
]
Licence = Annotated[str | None, typer.Option("--licence", help="The licence of the texts, for example CC-BY-4.0.")]
Url = Annotated[str | None, typer.Option("--url", help="Web address of the source.")]


def ingest_command(
    paths: Paths,
    source: SourceName,
    form: FormatOption = None,
    text_field: TextField = "text",
    id_field: IdField = "id",
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    licence: Licence = None,
    url: Url = None,
    follow: Annotated[bool, typer.Option("--follow", help="At the end of the file, wait for more lines.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Read texts into the store. Broken characters are repaired, personal data is masked, duplicates are found.

    Files are JSON (lines, or one list), CSV, Parquet or plain text, and may be compressed. Reading a file again changes
    nothing. After an interruption the same command continues.

    Example: saring ingest posts.jsonl.gz --source forum-2026
    """
    with output.progress_bar() as progress:
        report = output.home().ingest(
            paths,
            source=SourceInfo(source, licence, url),
            form=form,
            layout=Layout(delimiter, encoding),
            text_field=text_field,
            id_field=id_field,
            follow=wait_for_more(_FOLLOW_SECONDS) if follow else None,
            progress=progress,
        )
    output.emit(asdict(report), as_json=as_json, say=lambda _: say_ingested(report))


def import_command(
    paths: Paths,
    source: SourceName,
    labels_field: Annotated[
        str | None,
        typer.Option("--labels-field", help="The field with the labels. Default: labels, or that of the preset."),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option("--map", metavar="FILE", help="A YAML file that maps the source's values to labels."),
    ] = None,
    kind: Annotated[
        Literal["external", "human", "llm"],
        typer.Option(help="The kind of rater: a data set (external), people, or a language model."),
    ] = "external",
    rater: Annotated[str | None, typer.Option(help="The rater's name. Default: the name of the source.")] = None,
    rater_field: Annotated[
        str | None, typer.Option("--rater-field", help="The field that names the annotator: each is a rater.")
    ] = None,
    labels_separator: Annotated[
        str | None, typer.Option("--labels-separator", help="The separator of the labels in one cell, such as ;")
    ] = None,
    preset: Annotated[
        Literal["prodigy", "argilla", "doccano", "label-studio", "none"] | None,
        typer.Option(help="The tool that exported the file. Default: as its first rows show."),
    ] = None,
    form: FormatOption = None,
    text_field: TextField = "text",
    id_field: IdField = "id",
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    licence: Licence = None,
    url: Url = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Read labelled texts into the store and their labels into the ledger.

    Without --map, the labels field holds labels of the taxonomy, and the field `not_labels` labels that the text does
    not have. A label in neither field is unknown, not negative. Labels outside the taxonomy are reported and left out.

    Example: saring import labelled.csv --source demo --labels-field class --map demo.yaml --licence CC-BY-4.0
    """
    with output.progress_bar() as progress:
        report = output.home().import_labelled(
            paths,
            source=SourceInfo(source, licence, url),
            labels_field=labels_field,
            mapping=mapping,
            kind=RaterKind(kind),
            rater=rater,
            rater_field=rater_field,
            labels_separator=labels_separator,
            preset=preset,
            form=form,
            layout=Layout(delimiter, encoding),
            text_field=text_field,
            id_field=id_field,
            progress=progress,
        )
    output.emit(asdict(report), as_json=as_json, say=lambda _: _say_imported(report))


def say_ingested(report: IngestReport) -> None:
    """Print the counts of rows, languages and rejected rows for a person."""
    rows = {
        "rows read": report.rows,
        "new texts": report.new,
        "exact duplicates": report.exact_duplicates,
        "near-duplicates": report.near_duplicates,
        "already in the store": report.present,
        **{f"rejected: {reason}": count for reason, count in sorted(report.rejected.items())},
    }
    output.say_counts("", rows, "rows")
    out = output.out()
    if report.out_of_scope:
        out.print(f"new texts in other languages: {report.out_of_scope:,} (kept, but not judged)")
    languages = sorted(report.languages.items(), key=lambda language: -language[1])[:8]
    if languages:
        out.print(f"languages: {', '.join(f'{name} {count:,}' for name, count in languages)}", markup=False)
    if report.rounded_ids:
        out.print(
            f"ids that a spreadsheet has rounded (such as 1.78E+18): {report.rounded_ids:,}; these rows are known by "
            "their lines. Format the column as text and save the file again to keep its ids",
            soft_wrap=True,
        )
    if report.rejected.get("not UTF-8"):
        out.print(
            "Some rows are not UTF-8: name the file's encoding with --encoding, for example cp1252", soft_wrap=True
        )
    if report.rejected.get("missing field"):
        out.print(
            "Some rows do not have the text field: give its name with --text-field (and the id's with --id-field)",
            soft_wrap=True,
        )
    if report.rejects_file:
        out.print(f"rejected rows, with reasons: {report.rejects_file}", markup=False, soft_wrap=True)


def _say_imported(report: ImportReport) -> None:
    say_ingested(report.texts)
    table = Table(box=None)
    table.add_column("label")
    table.add_column("asserted", justify="right")
    table.add_column("denied", justify="right")
    for label in sorted({*report.asserted, *report.denied}):
        table.add_row(escape(label), f"{report.asserted.get(label, 0):,}", f"{report.denied.get(label, 0):,}")
    out = output.out()
    out.print(table)
    judgements = report.judgements
    out.print(
        f"judgements: {judgements.new:,} new, {judgements.revised:,} changed, {judgements.repeated:,} already known"
    )
    if report.raters > 1:
        out.print(f"raters: {report.raters:,}")
    if report.silent_rows:
        out.print(f"rows without a label: {report.silent_rows:,}")
    if report.silent_rows and not (report.asserted or report.denied or report.unknown_values):
        out.print("No row has a label: give the name of the field with the labels with --labels-field")
    if report.unknown_values:
        named = ", ".join(f"{value} ({count})" for value, count in list(report.unknown_values.items())[:10])
        out.print(f"left out, not in the taxonomy or the mapping: {named}", markup=False, soft_wrap=True)
        if not (report.asserted or report.denied):
            out.print(
                "No row has a label: say what the values mean with --map, or what separates them with "
                "--labels-separator",
                soft_wrap=True,
            )
