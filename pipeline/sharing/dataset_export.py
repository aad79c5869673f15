"""Write the rows that may be shared as a folder for `datasets.load_dataset`: Parquet shards, a card, and a manifest.

Rows are streamed through files; only signatures of dev and test are kept in memory, to find near-duplicates. The
folder is written whole, or stays as it was.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
from sqlalchemy import Engine

from pipeline.atomic import make_folder, new_folder
from pipeline.errors import InputError, UsageError
from pipeline.learning.sets.balance import Balance
from pipeline.ledger.test_set import FrozenTest
from pipeline.progress import Progress, silent
from pipeline.sharing.dataset_balance import Balancing
from pipeline.sharing.dataset_card import CARD, write_card
from pipeline.sharing.dataset_counts import DatasetCounts
from pipeline.sharing.dataset_files import DATA, Shards, Spool, without
from pipeline.sharing.dataset_rows import Shareable, Withheld, shareable
from pipeline.store.session import open_session
from pipeline.taxonomy import Taxonomy
from pipeline.texts.labelled import SPLITS, Split
from pipeline.texts.set_aside import SetAside

MANIFEST = "dataset.json"
#: version of the manifest's format
FORMAT = 1
ROWS_PER_SHARD = 50_000


@dataclass(frozen=True, slots=True)
class ExportReport:
    """Report of an export: the files, and the texts left out."""

    path: Path
    #: hash of the files with data: the same rows give the same hash
    hash: str
    files: Sequence[str]
    counts: Mapping[str, Any]
    test_set: FrozenTest | None
    #: texts left out because of licences, source by source
    withheld: Sequence[Withheld]
    #: texts left out for other reasons
    dropped: Mapping[str, int]
    #: what the balance of train left out; None: it was not balanced
    balance: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def export_dataset(
    engine: Engine,
    taxonomy: Taxonomy,
    out: Path,
    *,
    key: bytes,
    name: str | None = None,
    words: Mapping[str, str] | None = None,
    non_commercial: bool = False,
    rows_per_shard: int = ROWS_PER_SHARD,
    balance: Balance | None = None,
    progress: Progress = silent,
) -> ExportReport:
    """Write the data set into a folder, in place of an earlier one. The same store gives the same bytes.

    Args:
        engine: the store.
        taxonomy: the labels.
        out: the folder: new, empty, or one that this function wrote.
        key: of people's pseudonyms.
        name: of the data set on the card; None: the name of the folder.
        words: what only a maintainer can say of it, for the card (`maintainer_words`).
        non_commercial: include texts that may not be used commercially.
        rows_per_shard: rows a file has at most.
        balance: of the split train; None: all of it is written.
        progress: told of the rows.

    Raises:
        UsageError: the folder holds something else, or cannot be written to.
        InputError: nothing may be shared; the message gives the reason.
    """
    _check_place(out)
    with ExitStack() as stack:
        try:
            make_folder(out.parent)
            fresh = stack.enter_context(new_folder(out))
        except OSError as error:
            raise UsageError(f"{out}: cannot be written ({error.strerror}): name another folder") from error
        return _write(
            engine, taxonomy, out, fresh, key, name, words or {}, non_commercial, rows_per_shard, balance, progress
        )


def _write(
    engine: Engine,
    taxonomy: Taxonomy,
    out: Path,
    fresh: Path,
    key: bytes,
    name: str | None,
    words: Mapping[str, str],
    non_commercial: bool,
    rows_per_shard: int,
    balance: Balance | None,
    progress: Progress,
) -> ExportReport:
    spools_at = fresh / ".spool"
    spools_at.mkdir()
    with open_session(engine) as session:
        # One snapshot of the store for all reads.
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        what = shareable(session, taxonomy, key=key, non_commercial=non_commercial)
        spools = _spool(what, spools_at, progress)
    counts = DatasetCounts()
    balancing = Balancing(balance, taxonomy.keys) if balance else None
    files, leaking = _shards(spools, fresh / DATA, counts, rows_per_shard, balancing)
    if leaking:
        what.dropped["nearly repeats a text of dev or test"] += leaking
    shutil.rmtree(spools_at)
    if not counts.total:
        raise InputError(_nothing(what))
    digest = _manifest(fresh, files, counts, what)
    # Only sources with rows in the data set.
    sources = [source for source in what.sources.values() if counts.sources[source.name]]
    write_card(
        fresh / CARD,
        name=name or out.name,
        taxonomy=taxonomy,
        counts=counts,
        sources=sources,
        test_set=what.test_set,
        hash_=digest,
        withheld=what.closed,
        words=words,
        balance=balance if balance else None,
    )
    names = [str(path.relative_to(fresh)) for path in files]
    return ExportReport(
        out,
        digest,
        [CARD, MANIFEST, *names],
        counts.to_dict(),
        what.test_set,
        what.withheld,
        dict(what.dropped),
        balancing.told() if balancing is not None else None,
    )


def _spool(what: Shareable, folder: Path, progress: Progress) -> dict[Split, Spool]:
    spools = {split: Spool(folder / split) for split in SPLITS}
    for count, row in enumerate(what.rows(), 1):
        spools[row["split"]].add(row)
        if count % 1_000 == 0:
            progress(count, what.judged, "texts")
    for spool in spools.values():
        spool.close()
    progress(what.judged, what.judged, "texts")
    return spools


def _shards(
    spools: Mapping[Split, Spool],
    folder: Path,
    counts: DatasetCounts,
    rows_per_shard: int,
    balancing: Balancing | None,
) -> tuple[list[Path], int]:
    """Write the splits, the most protected first, without near-duplicates of the splits before."""
    aside = SetAside()
    written: dict[str, Sequence[Path]] = {}
    leaking = 0
    order: tuple[Split, ...] = ("test", "dev", "train")
    for split in order:
        added: list[str] = []
        earlier = None if split == "test" else aside
        own = balancing if split == "train" else None
        if own is not None:
            # What stays of a row depends on all rows.
            for kept, _ in _apart(spools[split], earlier):
                own.look(kept)
        with Shards(folder, split, rows_per_shard) as shards:
            for apart, repeated in _apart(spools[split], earlier):
                leaking += repeated
                kept = apart if own is None else own.keep(apart)
                shards.write(kept)
                counts.add(split, kept)
                if split != "train":
                    added += kept.column("text").to_pylist()
        written[split] = shards.paths
        aside.add(added)
    return [path for split in SPLITS for path in written[split]], leaking


def _apart(spool: Spool, aside: SetAside | None) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Batches without near-duplicates of what was set aside, each with the number of those."""
    for batch in spool.batches():
        kept = batch if aside is None else without(batch, aside.repeated(batch.column("text").to_pylist()))
        yield kept, batch.num_rows - kept.num_rows


def _manifest(folder: Path, files: Sequence[Path], counts: DatasetCounts, what: Shareable) -> str:
    hashes = {str(path.relative_to(folder)): sha256(path) for path in files}
    digest = hashlib.sha256("".join(f"{name} {file_hash}\n" for name, file_hash in hashes.items()).encode()).hexdigest()
    document = {
        "saring_dataset": FORMAT,
        "hash": digest,
        "files": hashes,
        "taxonomy_version": what.taxonomy.version,
        "test_set": what.test_set.to_dict() if what.test_set is not None else None,
        "counts": counts.to_dict(),
    }
    (folder / MANIFEST).write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    return digest


def sha256(path: Path) -> str:
    """The hash of a file's content, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_place(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        raise UsageError(f"{out} holds other files than a data set of Saring: name another folder")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: name a folder")


def _nothing(what: Shareable) -> str:
    if not what.judged:
        return "no text has a decided label: run `saring import` or `saring judge`"
    if what.withheld:
        first = max(what.withheld, key=lambda source: (source.texts, source.verdicts))
        return (
            f"none of the {what.judged:,} judged texts may be shared; source {first.source!r}: {first.why}; "
            f"to change that: {first.todo}; `saring sources list` shows all sources"
        )
    why = "; ".join(f"{count:,}: {reason}" for reason, count in what.dropped.most_common())
    return f"none of the {what.judged:,} judged texts can be shared yet ({why})"
