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
from pipeline.texts.readers import Format, wait_for_more
from saring.cli import output

_FOLLOW_SECONDS = 1.0

Paths = Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, or addresses such as hf:// and s3://.")]
SourceName = Annotated[str, typer.Option("--source", help="What to call where these texts come from.")]
FormatOption = Annotated[Format | None, typer.Option("--format", help="What the files hold. Default: by their names.")]
TextField = Annotated[str, typer.Option("--text-field", help="The field with the text.")]
IdField = Annotated[str, typer.Option("--id-field", help="The field with the row's own id, if any.")]
Licence = Annotated[str | None, typer.Option("--licence", help="The licence of the texts.")]
Url = Annotated[str | None, typer.Option("--url", help="Where the source can be found.")]


def ingest_command(
    paths: Paths,
    source: SourceName,
    form: FormatOption = None,
    text_field: TextField = "text",
    id_field: IdField = "id",
    licence: Licence = None,
    url: Url = None,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for more lines at the end of the file.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Read texts into the store: repaired, masked, told by language, duplicates found.

    JSON lines, CSV, Parquet or plain text, plain or compressed. Reading a file again changes nothing; an interrupted
    one goes on where it stopped.

    Example: saring ingest posts.jsonl.gz --source forum-2026
    """
    with output.progress_bar() as progress:
        report = output.home().ingest(
            paths,
            source=SourceInfo(source, licence, url),
            form=form,
            text_field=text_field,
            id_field=id_field,
            follow=wait_for_more(_FOLLOW_SECONDS) if follow else None,
            progress=progress,
        )
    output.emit(asdict(report), as_json=as_json, say=lambda _: say_ingested(report))


def import_command(
    paths: Paths,
    source: SourceName,
    labels_field: Annotated[str, typer.Option("--labels-field", help="The field with the labels.")],
    mapping: Annotated[
        Path | None, typer.Option("--map", metavar="FILE", help="What the source's values mean (YAML).")
    ] = None,
    kind: Annotated[Literal["external", "human", "llm"], typer.Option(help="Who judged.")] = "external",
    rater: Annotated[str | None, typer.Option(help="The rater's name. Default: the source.")] = None,
    form: FormatOption = None,
    text_field: TextField = "text",
    id_field: IdField = "id",
    licence: Licence = None,
    url: Url = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Read labelled texts into the store and their labels into the ledger.

    Without --map, the labels field holds labels of the taxonomy, and a field `not_labels` those that are denied. A
    label in neither is unknown, not negative. Labels outside the taxonomy are reported and left out.

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
            form=form,
            text_field=text_field,
            id_field=id_field,
            progress=progress,
        )
    output.emit(asdict(report), as_json=as_json, say=lambda _: _say_imported(report))


def say_ingested(report: IngestReport) -> None:
    rows = {
        "rows read": report.rows,
        "new texts": report.new,
        "exact duplicates": report.exact_duplicates,
        "near-duplicates": report.near_duplicates,
        "seen in an earlier run": report.present,
        **{f"rejected: {reason}": count for reason, count in sorted(report.rejected.items())},
    }
    output.say_counts("", rows, "rows")
    out = output.out()
    if report.out_of_scope:
        out.print(f"{report.out_of_scope:,} of the new texts are in languages out of scope: kept, not judged")
    found = ", ".join(f"{name} {count:,}" for name, count in sorted(report.languages.items(), key=lambda x: -x[1])[:8])
    if found:
        out.print(f"languages: {found}", markup=False)
    if report.rejected.get("missing field"):
        out.print("missing field: --text-field names the field with the text, --id-field the one with the id")
    if report.rejects_file:
        out.print(f"what was rejected and why: {report.rejects_file}", markup=False, soft_wrap=True)


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
    done = report.judgements
    out.print(f"judgements: {done.new:,} new, {done.revised:,} revised, {done.repeated:,} known")
    if report.silent_rows:
        out.print(f"{report.silent_rows:,} rows say nothing of any label")
    if report.silent_rows and not (report.asserted or report.denied or report.unknown_values):
        out.print("no row has a label: --labels-field names the field that holds them")
    if report.unknown_values:
        named = ", ".join(f"{value} ({count})" for value, count in list(report.unknown_values.items())[:10])
        out.print(f"outside the taxonomy or the mapping, left out: {named}", markup=False, soft_wrap=True)
