"""Ingest as a stage, so that a worker can read a file of the server into the store."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.progress import Progress
from pipeline.runs.stage import Part, Plan, WorkContext
from pipeline.runs.values import to_values
from pipeline.runs.whole import WholeStage
from pipeline.texts.ingest import IngestReport, SourceInfo, ingest
from pipeline.texts.layout import Layout
from pipeline.texts.readers import Format
from saring.actions.incoming import incoming_file

#: as the command names its runs: one of them reads a source at a time
STAGE = "ingest"


@dataclass(frozen=True, slots=True)
class IngestParams:
    """A file of the home's folder of incoming files, and what is known about it."""

    #: path from the folder on
    file: str
    source: str
    #: None: from its name
    format: Format | None = None
    text_field: str = "text"
    id_field: str = "id"
    #: None: as its first bytes show
    delimiter: str | None = None
    encoding: str | None = None
    licence: str | None = None
    url: str | None = None


class IngestStage(WholeStage[IngestParams, IngestReport]):
    """Read a file of the folder of incoming files into the store; the slice is the source.

    A worker that takes over from one that died goes on after the last stored row.
    """

    name = STAGE
    what = "reading"
    params = IngestParams
    report = IngestReport
    #: `ingest` counts rows in the run's record by itself
    in_shards = False

    def plan(self, home: WorkContext, params: IngestParams) -> Plan:
        """A plan with one part.

        Raises:
            InputError: there is no such file.
        """
        incoming_file(home.settings, params.file)
        return Plan(params.source, [Part()], params=to_values(params))

    def call(self, home: WorkContext, params: IngestParams, progress: Progress) -> IngestReport:
        """Read the file."""
        return ingest(
            home.engine,
            [str(incoming_file(home.settings, params.file))],
            SourceInfo(params.source, params.licence, params.url),
            form=params.format,
            layout=Layout(params.delimiter, params.encoding),
            text_field=params.text_field,
            id_field=params.id_field,
            languages=home.settings.languages,
            rejects_dir=home.settings.rejects_dir,
            # A process of a worker cannot have processes of its own.
            workers=0,
            progress=progress,
        )
