"""Texts that applications asked about, read into the store where a policy says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.texts.ingest import SourceInfo, source_id_of
from pipeline.texts.labelled_files import clean
from pipeline.texts.prepare import Options, prepare
from pipeline.texts.readers import Format
from pipeline.texts.write import NO_RUN, write
from saring.context import Context

#: beginning of the names of sources, which end with the application's name
SOURCE = "asked: "


def keep_asked(home: Context, application: str, texts: Sequence[str]) -> Mapping[str, int]:
    """Store texts with the application as their source, as `ingest` does with a file's.

    What is stored was masked before: other than of a file, nobody chose these texts, so what masking takes out is never
    in the store. A text that the application asks about again is stored once.

    Args:
        home: the home with the store.
        application: its name, which names the source.
        texts: as they came, [texts].

    Returns:
        Texts by what became of them: `stored`, `known`, or `unusable`, for example without words or erased on request.

    Raises:
        StoreError: the database cannot be reached.
    """
    name = SOURCE + application
    options = Options(Format.JSONL, languages=home.settings.languages)
    payloads: list[bytes | dict[str, object]] = [{"text": clean(text)} for text in texts]
    prepared = prepare(range(1, len(texts) + 1), payloads, path=name, name=name, options=options)
    # an application gives its texts no ids: each is known by itself, so that one that comes again changes nothing
    rows = [row._replace(external_id=row.id.hex) for row in prepared.rows]
    stored = erased = 0
    if rows:
        with home.begin() as session:
            source = source_id_of(session, SourceInfo(name))
            written = write(session, rows, source_id=source, run_id=NO_RUN, path=name, splits=[None] * len(rows))
            stored = len(written.seen) - written.counts["present"]
            erased = len(written.rejected)
    unusable = len(prepared.rejects) + erased
    return {"stored": stored, "known": len(texts) - stored - unusable, "unusable": unusable}
