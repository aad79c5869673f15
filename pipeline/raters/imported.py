"""Import of labelled files: texts and judgements. Asserted, denied and unknown labels are distinguished."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from pipeline.judgement import RaterRef
from pipeline.ledger.book import NewJudgement, Recorded, rater_id, record
from pipeline.ledger.taxonomies import keep_taxonomy
from pipeline.progress import Progress, silent
from pipeline.raters.mapping import LabelMapping, MappedRow
from pipeline.texts.ingest import IngestReport, SourceInfo, ingest
from pipeline.texts.layout import Layout
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
    #: raters whose judgements these are: several where rows name theirs
    raters: int = 1


@dataclass(slots=True)
class _Tally:
    recorded: Recorded = field(default_factory=Recorded)
    asserted: Counter[str] = field(default_factory=Counter)
    denied: Counter[str] = field(default_factory=Counter)
    silent_rows: int = 0
    raters: set[RaterRef] = field(default_factory=set)


class _Repeats:
    """The rows of one id and one rater within one import, told apart by what they say.

    The first verdict is known by the row's id, a different one by the id and a number. So rows of one file never
    revise each other, while a row that changed since the last import does revise its judgement.
    """

    def __init__(self) -> None:
        self._verdicts: dict[int, tuple[int, ...]] = {}

    def reference(self, rater: RaterRef, row: PreparedText, verdict: MappedRow) -> str:
        """The row's part of the external reference of a verdict."""
        # Hashes take a fraction of the memory of the names, and a file may have millions of rows.
        place = hash((rater, row.external_id, row.key))
        content = hash((verdict.asserted, verdict.denied))
        before = self._verdicts.get(place, ())
        if content not in before:
            before = self._verdicts[place] = (*before, content)
        number = before.index(content)
        return row.external_id if number == 0 else f"{row.external_id}#{number + 1}"


def import_labelled(
    engine: Engine,
    paths: Sequence[str],
    source: SourceInfo,
    mapping: LabelMapping,
    rater: RaterRef,
    *,
    form: Format | None = None,
    layout: Layout | None = None,
    text_field: str = "text",
    id_field: str = "id",
    languages: tuple[str, ...] = ("ms", "id", "en"),
    rejects_dir: Path | None = None,
    progress: Progress = silent,
) -> ImportReport:
    """Read labelled files: each row becomes a text and, if it has a verdict on a label, one judgement of `rater`.

    If the mapping finds the rater in the row, or several answers, each is the judgement of a rater of its own.

    The judgement's external reference is the row's id. So a second import of the same file adds nothing, a corrected
    file adds revisions, and a row that no longer has a verdict withdraws its judgement. Rows of one file
    with the same id that say different things are judgements beside each other. A row's split is kept.

    Args:
        engine: the store.
        paths: files or fsspec addresses.
        source: the data set, with its licence.
        mapping: the meaning of its values.
        rater: the rater of the judgements; where rows name theirs, its kind.
        form: format of the files; None: the format that each name shows.
        layout: encoding and delimiter; see `ingest`.
        text_field: the field with the text.
        id_field: the field with the row's id.
        languages: languages in scope.
        rejects_dir: folder of the list of rejected rows; None: rejects are only counted.
        progress: called after every batch.

    Raises:
        InputError: a file cannot be read at all.
    """
    tally, repeats = _Tally(), _Repeats()

    def verdicts_of(rows: Sequence[PreparedText]) -> Mapping[RaterRef, Sequence[NewJudgement]]:
        verdicts: defaultdict[RaterRef, list[NewJudgement]] = defaultdict(list)
        for row in rows:
            voices = mapping.voices(row.fields)
            if not any(voice.verdict.asserted or voice.verdict.denied for voice in voices):
                tally.silent_rows += 1
            for voice in voices:
                mapped, who = voice.verdict, _rater_of(rater, voice.rater, source.name)
                verdicts[who].append(
                    NewJudgement(
                        row.id,
                        asserted=mapped.asserted,
                        denied=mapped.denied,
                        external_ref=f"{source.name}:{repeats.reference(who, row, mapped)}",
                        # The judgement of an earlier import is withdrawn; where there was none, nothing is written.
                        withdrawn=not mapped.asserted and not mapped.denied,
                    )
                )
        return verdicts

    def judge(session: Session, run_id: int, rows: Sequence[PreparedText]) -> None:
        keep_taxonomy(session, mapping.taxonomy)
        # In the order of their names, so that two imports cannot wait for each other.
        for who, verdicts in sorted(verdicts_of(rows).items()):
            tally.raters.add(who)
            for verdict in verdicts:
                tally.asserted.update(verdict.asserted)
                tally.denied.update(verdict.denied)
            tally.recorded += record(
                session,
                rater_id(session, who, {"source": source.name}),
                verdicts,
                taxonomy_version=mapping.taxonomy.version,
                run_id=run_id,
            )

    def passed(rows: Sequence[PreparedText]) -> None:
        silent_before = tally.silent_rows
        verdicts_of(rows)
        tally.silent_rows = silent_before

    texts = ingest(
        engine,
        paths,
        source,
        form=form,
        layout=layout,
        text_field=text_field,
        id_field=id_field,
        keep=mapping.read,
        languages=languages,
        rejects_dir=rejects_dir,
        on_written=judge,
        on_passed=passed,
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
        len(tally.raters),
    )


def _rater_of(rater: RaterRef, named: str | None, source: str) -> RaterRef:
    """The rater that a row names, of the kind of `rater`; without a name `rater` itself.

    The number of an account says nothing outside its tool, so the name of the source stands before it.
    """
    if named is None:
        return rater
    if rater.name != source:
        return RaterRef(rater.kind, f"{rater.name}/{named}", rater.version)
    # Numbers are accounts elsewhere, and one name is that of our reviewers.
    ambiguous = named.isdecimal() or RaterRef(rater.kind, named).adjudicates
    return RaterRef(rater.kind, f"{source}/{named}" if ambiguous else named, rater.version)
