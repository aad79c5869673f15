"""Import of labelled files: texts and judgements. Asserted, denied and unknown labels are distinguished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from pipeline.judgement import RaterRef
from pipeline.ledger.book import NewJudgement, Recorded, rater_id, record
from pipeline.progress import Progress, silent
from pipeline.raters.mapping import LabelMapping
from pipeline.texts.ingest import IngestReport, SourceInfo, ingest
from pipeline.texts.prepare import PreparedText
from pipeline.texts.readers import Format


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Report of an import."""

    texts: IngestReport
    judgements: Recorded
    #: number of judgements that assert each label, and that deny it
    asserted: Mapping[str, int]
    denied: Mapping[str, int]
    #: rows without a verdict on any label
    silent_rows: int
    #: values that the mapping does not know, with the number of rows that have them
    unknown_values: Mapping[str, int]


@dataclass(slots=True)
class _Tally:
    recorded: Recorded = field(default_factory=Recorded)
    asserted: Counter[str] = field(default_factory=Counter)
    denied: Counter[str] = field(default_factory=Counter)
    silent_rows: int = 0


def import_labelled(
    engine: Engine,
    paths: Sequence[str],
    source: SourceInfo,
    mapping: LabelMapping,
    rater: RaterRef,
    *,
    form: Format | None = None,
    text_field: str = "text",
    id_field: str = "id",
    languages: tuple[str, ...] = ("ms", "id", "en"),
    rejects_dir: Path | None = None,
    progress: Progress = silent,
) -> ImportReport:
    """Read labelled files: each row becomes a text and, if it has a verdict on a label, one judgement of `rater`.

    The judgement's external reference is the row's id. So a second import of the same file adds nothing, a corrected
    file adds revisions, and a row that no longer has a verdict withdraws its judgement. A row's split is kept.

    Args:
        engine: the store.
        paths: files or fsspec addresses.
        source: the data set, with its licence.
        mapping: the meaning of its values.
        rater: the rater of the judgements.
        form: format of the files; None: the format that each name shows.
        text_field: the field with the text.
        id_field: the field with the row's id.
        languages: languages in scope.
        rejects_dir: folder of the list of rejected rows; None: rejects are only counted.
        progress: called after every batch.

    Raises:
        InputError: a file cannot be read at all.
    """
    tally = _Tally()

    def judge(session: Session, run_id: int, rows: Sequence[PreparedText]) -> None:
        who = rater_id(session, rater, {"source": source.name})
        verdicts = []
        for row in rows:
            mapped = mapping.verdict(row.fields)
            if not mapped.asserted and not mapped.denied:
                tally.silent_rows += 1
            tally.asserted.update(mapped.asserted)
            tally.denied.update(mapped.denied)
            verdicts.append(
                NewJudgement(
                    row.id,
                    asserted=mapped.asserted,
                    denied=mapped.denied,
                    external_ref=f"{source.name}:{row.external_id}",
                    # The judgement of an earlier import is withdrawn; where there was none, nothing is written.
                    withdrawn=not mapped.asserted and not mapped.denied,
                )
            )
        tally.recorded += record(session, who, verdicts, taxonomy_version=mapping.taxonomy.version, run_id=run_id)

    texts = ingest(
        engine,
        paths,
        source,
        form=form,
        text_field=text_field,
        id_field=id_field,
        keep=mapping.read,
        languages=languages,
        rejects_dir=rejects_dir,
        on_written=judge,
        stage="import",
        # An import with another mapping or another rater is a different run.
        more_params={"rater": [rater.kind, rater.name, rater.version], "mapping": mapping.fingerprint()},
        progress=progress,
    )
    return ImportReport(
        texts,
        tally.recorded,
        dict(tally.asserted),
        dict(tally.denied),
        tally.silent_rows,
        dict(mapping.unknown.most_common(50)),
    )
