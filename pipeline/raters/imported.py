"""Import: labelled files in, texts and judgements out. Positive, negative and unknown are kept apart."""

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
    """What an import brought."""

    texts: IngestReport
    judgements: Recorded
    #: judgements that assert and that deny each label
    asserted: Mapping[str, int]
    denied: Mapping[str, int]
    #: rows that say nothing of any label
    silent_rows: int
    #: values that mean nothing in the taxonomy, left out, with how many rows have them
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
    """Read labelled files: each row becomes a text and, if it says anything of a label, one judgement of `rater`.

    The judgement's external reference is the row's id, so a second import of the same file adds nothing, a corrected
    file adds revisions, and a row that says nothing any more takes back what it said. A split that a row names is kept.

    Args:
        engine: the store.
        paths: files or fsspec addresses.
        source: the data set, with its licence.
        mapping: what its values mean.
        rater: in whose name the judgements are written.
        form: what the files hold; None: as their names tell.
        text_field: the field with the text.
        id_field: the field with the row's own id.
        languages: languages in scope.
        rejects_dir: where rejected rows are named.
        progress: told of every batch.

    Raises:
        InputError: a file can't be read at all.
    """
    tally = _Tally()

    def judge(session: Session, run_id: int, rows: Sequence[PreparedText]) -> None:
        who = rater_id(session, rater, {"source": source.name})
        verdicts = []
        for row in rows:
            said = mapping.verdict(row.fields)
            if not said.asserted and not said.denied:
                tally.silent_rows += 1
            tally.asserted.update(said.asserted)
            tally.denied.update(said.denied)
            verdicts.append(
                NewJudgement(
                    row.id,
                    asserted=said.asserted,
                    denied=said.denied,
                    external_ref=f"{source.name}:{row.external_id}",
                    # what an earlier import read from this row is taken back; where there was nothing, nothing is
                    withdrawn=not said.asserted and not said.denied,
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
        # what was imported with another meaning, or in another's name, is not done
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
