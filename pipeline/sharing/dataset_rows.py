"""Rows that may be shared: texts whose sources allow it, and the labels that may be shared with them.

A text is shared if a source that it was seen in allows it. Judgements of a data set are shared if its licence allows
it; decisions are then made from the shared judgements alone.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, func, or_, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import Decision, RaterKind, RaterRef, Tier
from pipeline.ledger import test_set as testset
from pipeline.ledger.decisions import DecidedText, decided_texts
from pipeline.ledger.held_out import SHARE, kept_split
from pipeline.ledger.resolve import text_tier
from pipeline.ledger.test_set import Truth
from pipeline.sharing.pseudonyms import pseudonym
from pipeline.sharing.sources import KnownSource, list_sources
from pipeline.store.public_ids import PublicIds
from pipeline.store.texts import sample
from pipeline.taxonomy import Taxonomy
from pipeline.texts.labelled import Split

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Withheld:
    """Texts and verdicts that are left out because of one source."""

    source: str
    licence: str | None
    #: number of judged texts that were seen here and in no source that allows sharing
    texts: int
    #: number of verdicts of this data set on texts that are shared
    verdicts: int
    why: str
    #: the command that changes it
    todo: str


@dataclass(slots=True)
class Shareable:
    """The rows that may be shared, decided once for an export: call `rows` to read them."""

    session: Session
    taxonomy: Taxonomy
    sources: Mapping[str, KnownSource]
    withheld: Sequence[Withheld]
    test_set: testset.FrozenTest | None
    key: bytes
    #: ids that may be shown
    ids: PublicIds
    #: number of judged texts in scope
    judged: int
    #: number of these that no source allows to share
    closed: int
    #: texts left out for other reasons than a licence, by reason
    dropped: Counter[str] = field(default_factory=Counter)

    def rows(self) -> Iterator[Row]:
        """Read the rows, in no order that may be shown; rows that are left out are counted in `dropped`."""
        frozen = testset.truths(self.session, self.test_set.version) if self.test_set is not None else {}
        members = testset.members(self.session)
        seen = 0
        only = _shared_judgements(self.session, self.sources)
        for text in decided_texts(self.session, self.taxonomy, only=only, with_judgements=True):
            seen += 1
            split = _split(text, members)
            if split is None:
                self.dropped["waits for the test set"] += 1
                continue
            decisions = _decisions_of(text, split, frozen.get(text.id) if text.id in members else None)
            if not decisions:
                self.dropped["nothing is decided that may be shared"] += 1
                continue
            yield self._row(text, split, decisions)
        # Texts without any judgement that may be shared are not among the decided texts.
        undecided = self.judged - self.closed - seen
        if undecided:
            self.dropped["nothing is decided that may be shared"] += undecided

    def _row(self, text: DecidedText, split: Split, decisions: Mapping[str, Decision]) -> Row:
        names = [name for name in text.sources if name in self.sources]
        return {
            "id": str(self.ids.of(text.id)),
            "text": text.masked,
            "lang": text.language,
            "labels": [key for key, decision in decisions.items() if decision.value],
            "not_labels": [key for key, decision in decisions.items() if decision.value is False],
            "tier": str(text_tier(decisions)),
            "decisions": [
                {
                    "label": key,
                    "value": decision.value,
                    "tier": str(decision.tier),
                    "raters": self._raters(text.judgements[i].rater for i in decision.judgements),
                }
                for key, decision in decisions.items()
            ],
            "sources": names,
            "licences": sorted({self.sources[name].terms.licence or "by permission" for name in names}),
            "split": split,
            "taxonomy_version": self.taxonomy.version,
        }

    def _raters(self, raters: Iterator[RaterRef]) -> list[dict[str, str]]:
        named = {(str(rater.kind), self._name(rater)) for rater in raters}
        return [{"kind": kind, "name": name} for kind, name in sorted(named)]

    def _name(self, rater: RaterRef) -> str:
        if rater.kind is RaterKind.HUMAN:
            return pseudonym(self.key, rater)
        return f"{rater.name}@{rater.version}" if rater.version else rater.name


def shareable(session: Session, taxonomy: Taxonomy, *, key: bytes, non_commercial: bool = False) -> Shareable:
    """Find the texts and judgements that the licences of the sources allow to share.

    Args:
        session: an open session; reading goes on in its transaction.
        taxonomy: the labels to share.
        key: of the pseudonyms.
        non_commercial: include texts that may not be used commercially.
    """
    known = list_sources(session)
    allowed = {source.name: source for source in known if source.shared(non_commercial=non_commercial)}
    closed = [source for source in known if source.name not in allowed]
    chosen = sample(None).subquery()
    j = store.Judgement
    of_scope = select(chosen.c.id).where(exists().where(j.text_id == chosen.c.id))
    judged = session.execute(select(func.count()).select_from(of_scope.subquery())).scalar_one()
    open_texts = of_scope.where(chosen.c.id.in_(_shared_texts(allowed)))
    free = session.execute(select(func.count()).select_from(open_texts.subquery())).scalar_one()
    texts, verdicts = _texts_withheld(session, allowed, closed), _verdicts_withheld(session, allowed)
    withheld = [
        Withheld(
            source.name, source.licence, texts[source.name], verdicts[source.name], source.terms.why, _todo(source)
        )
        for source in closed
        if texts[source.name] or verdicts[source.name]
    ]
    unnamed = verdicts.keys() - {source.name for source in known}
    withheld += [
        Withheld(
            name,
            None,
            0,
            verdicts[name],
            "its verdicts come from a data set that is not a source of the store",
            f"import it again with --source {name}",
        )
        for name in sorted(unnamed)
    ]
    return Shareable(
        session,
        taxonomy,
        allowed,
        withheld,
        testset.newest(session),
        key,
        PublicIds.of_store(session),
        judged,
        judged - free,
    )


def _todo(source: KnownSource) -> str:
    if source.terms.why.endswith("forbids commercial use"):
        return "export with --non-commercial"
    return f'saring sources set "{source.name}" --licence SPDX-ID, or --permitted if the owner of the rights agreed'


def _split(text: DecidedText, members: frozenset[uuid.UUID]) -> Split | None:
    """The split as in a snapshot (pipeline.learning.sets.snapshot): None for a text that waits for the test set."""
    if text.id in members:
        return "test"
    if not text.trusted:
        return "train"
    split = kept_split(text.id, text.split, SHARE)
    return None if split == "test" and members else split


def _decisions_of(text: DecidedText, split: Split, frozen: Truth | None) -> dict[str, Decision]:
    """The decisions of a row; held-out texts have only decisions by people or data sets.

    A member of the frozen test set has the labels of its version, where judgements that may be shared still agree.
    """
    known = {key: d for key, d in text.decisions.items() if d.tier is not Tier.UNKNOWN}
    if split == "train":
        return known
    known = {key: d for key, d in known.items() if key in text.trusted}
    if frozen is None:
        return known
    return {
        key: d
        for key, d in known.items()
        if (d.value is True and key in frozen.asserted) or (d.value is False and key in frozen.denied)
    }


def _shared_texts(allowed: Mapping[str, KnownSource]) -> Any:
    """Ids of the texts that were seen in a source that allows sharing."""
    seen = store.TextSource
    return select(seen.text_id).where(seen.source_id.in_([source.id for source in allowed.values()]))


def _shared_judgements(session: Session, allowed: Mapping[str, KnownSource]) -> ColumnElement[bool]:
    """The condition of judgements that may be shared."""
    return and_(~_closed_judgements(session, allowed), store.Judgement.text_id.in_(_shared_texts(allowed)))


def _closed_judgements(session: Session, allowed: Mapping[str, KnownSource]) -> ColumnElement[bool]:
    """The condition of judgements from a data set that does not allow sharing.

    The run of the import names the data set, or the rater where there was no import.
    """
    j = store.Judgement
    runs = _imports(session)
    closed = [run for run, source in runs.items() if source not in allowed]
    raters = [rater for rater, source in _data_sets(session).items() if source not in allowed]
    no_import = or_(j.run_id.is_(None), j.run_id.not_in(list(runs)))
    return or_(
        and_(j.run_id.is_not(None), j.run_id.in_(closed)) if closed else false(),
        and_(j.rater_id.in_(raters), no_import) if raters else false(),
    )


def _imports(session: Session) -> dict[int, str]:
    r = store.Run
    rows = session.execute(select(r.id, r.params["source"].astext).where(r.stage == "import"))
    return {run: source or "" for run, source in rows}


def _data_sets(session: Session) -> dict[int, str]:
    r = store.Rater
    rows = session.execute(select(r.id, r.name, r.details["source"].astext).where(r.kind == RaterKind.EXTERNAL))
    return {rater: source or name for rater, name, source in rows}


def _texts_withheld(
    session: Session, allowed: Mapping[str, KnownSource], closed: Sequence[KnownSource]
) -> Counter[str]:
    """By source, the number of judged texts in scope that no source allows to share."""
    seen, j = store.TextSource, store.Judgement
    chosen = sample(None).subquery()
    rows = session.execute(
        select(seen.source_id, func.count(seen.text_id.distinct()))
        .where(
            seen.source_id.in_([source.id for source in closed]),
            seen.text_id.in_(select(chosen.c.id)),
            exists().where(j.text_id == seen.text_id),
            seen.text_id.not_in(_shared_texts(allowed)),
        )
        .group_by(seen.source_id)
    )
    names = {source.id: source.name for source in closed}
    return Counter({names[source]: count for source, count in rows})


def _verdicts_withheld(session: Session, allowed: Mapping[str, KnownSource]) -> Counter[str]:
    """By data set, the number of its verdicts that are not shared although the text is."""
    j = store.Judgement
    chosen = sample(None).subquery()
    imports, data_sets = _imports(session), _data_sets(session)
    verdicts: Counter[str] = Counter()
    rows = session.execute(
        select(j.run_id, j.rater_id, func.count())
        .where(
            _closed_judgements(session, allowed),
            j.text_id.in_(_shared_texts(allowed)),
            j.text_id.in_(select(chosen.c.id)),
        )
        .group_by(j.run_id, j.rater_id)
    )
    for run, rater, count in rows:
        verdicts[imports[run] if run in imports else data_sets[rater]] += count
    return verdicts
