"""What of the store may leave the house, row by row: texts that a source lets go, and what may be said of them.

A text goes if a source that it was seen in allows it. What a data set said goes if that data set's licence allows it;
what is believed is then resolved from what is left, as if the rest had never been said.
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
from pipeline.store.texts import sample
from pipeline.taxonomy import Taxonomy
from pipeline.texts.labelled import Split

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Withheld:
    """What does not go because of one source."""

    source: str
    licence: str | None
    #: judged texts that were seen here and in no source that allows sharing
    texts: int
    #: verdicts of this data set on texts that do go
    verdicts: int
    why: str
    #: what changes it
    todo: str


@dataclass(slots=True)
class Shareable:
    """What may leave, decided once for an export: call `rows` to read it."""

    session: Session
    taxonomy: Taxonomy
    sources: Mapping[str, KnownSource]
    withheld: Sequence[Withheld]
    test_set: testset.FrozenTest | None
    key: bytes
    #: texts in scope that somebody judged
    judged: int
    #: of these, those that no source lets go
    closed: int
    #: texts left out for other reasons than a licence, by reason
    dropped: Counter[str] = field(default_factory=Counter)

    def rows(self) -> Iterator[Row]:
        """The rows in order of id; what is left out on the way is counted in `dropped`."""
        frozen = testset.truths(self.session, self.test_set.version) if self.test_set is not None else {}
        members = testset.members(self.session)
        seen = 0
        only = _may_be_said(self.session, self.sources)
        for one in decided_texts(self.session, self.taxonomy, only=only, with_judgements=True):
            seen += 1
            split = _split(one, members)
            if split is None:
                self.dropped["waits for the test set"] += 1
                continue
            decisions = _told(one, split, frozen.get(one.id) if one.id in members else None)
            if not decisions:
                self.dropped["nothing is decided that may be shared"] += 1
                continue
            yield self._row(one, split, decisions)
        # of these nothing is left to be said, so that they were not among the decided
        silent = self.judged - self.closed - seen
        if silent:
            self.dropped["nothing is decided that may be shared"] += silent

    def _row(self, one: DecidedText, split: Split, decisions: Mapping[str, Decision]) -> Row:
        names = [name for name in one.sources if name in self.sources]
        return {
            "id": str(one.id),
            "text": one.masked,
            "lang": one.language,
            "labels": [key for key, decision in decisions.items() if decision.value],
            "not_labels": [key for key, decision in decisions.items() if decision.value is False],
            "tier": str(text_tier(decisions)),
            "decisions": [
                {
                    "label": key,
                    "value": decision.value,
                    "tier": str(decision.tier),
                    "raters": self._raters(one.judgements[i].rater for i in decision.judgements),
                }
                for key, decision in decisions.items()
            ],
            "sources": names,
            "licences": sorted({self.sources[name].terms.licence or "by permission" for name in names}),
            "split": split,
            "taxonomy_version": self.taxonomy.version,
        }

    def _raters(self, who: Iterator[RaterRef]) -> list[dict[str, str]]:
        named = {(str(one.kind), self._name(one)) for one in who}
        return [{"kind": kind, "name": name} for kind, name in sorted(named)]

    def _name(self, who: RaterRef) -> str:
        if who.kind is RaterKind.HUMAN:
            return pseudonym(self.key, who)
        return f"{who.name}@{who.version}" if who.version else who.name


def shareable(session: Session, taxonomy: Taxonomy, *, key: bytes, non_commercial: bool = False) -> Shareable:
    """Look at what the licences of the sources let go.

    Args:
        session: an open session; reading goes on in its transaction.
        taxonomy: the labels that are told of.
        key: of the pseudonyms.
        non_commercial: let go what may not be used commercially as well.
    """
    known = list_sources(session)
    allowed = {one.name: one for one in known if one.shared(non_commercial=non_commercial)}
    closed = [one for one in known if one.name not in allowed]
    chosen = sample(None).subquery()
    j = store.Judgement
    of_scope = select(chosen.c.id).where(exists().where(j.text_id == chosen.c.id))
    judged = session.execute(select(func.count()).select_from(of_scope.subquery())).scalar_one()
    open_texts = of_scope.where(chosen.c.id.in_(_may_go(allowed)))
    free = session.execute(select(func.count()).select_from(open_texts.subquery())).scalar_one()
    texts, verdicts = _texts_withheld(session, allowed, closed), _verdicts_withheld(session, allowed)
    withheld = [
        Withheld(one.name, one.licence, texts[one.name], verdicts[one.name], one.terms.why, _todo(one))
        for one in closed
        if texts[one.name] or verdicts[one.name]
    ]
    unnamed = verdicts.keys() - {one.name for one in known}
    withheld += [
        Withheld(
            name,
            None,
            0,
            verdicts[name],
            "its verdicts come from a data set that is no source of the store",
            f"import it again with --source {name}",
        )
        for name in sorted(unnamed)
    ]
    return Shareable(session, taxonomy, allowed, withheld, testset.newest(session), key, judged, judged - free)


def _todo(source: KnownSource) -> str:
    if source.terms.why.endswith("forbids commercial use"):
        return "export with --non-commercial"
    return f'saring sources set "{source.name}" --licence SPDX-ID, or --permitted if whoever holds the rights agreed'


def _split(one: DecidedText, members: frozenset[uuid.UUID]) -> Split | None:
    """As a snapshot has it (pipeline.learning.sets.snapshot): None for what waits for the frozen test set."""
    if one.id in members:
        return "test"
    if not one.trusted:
        return "train"
    split = kept_split(one.id, one.split, SHARE)
    return None if split == "test" and members else split


def _told(one: DecidedText, split: Split, frozen: Truth | None) -> dict[str, Decision]:
    """The decisions that a row holds: held-out texts are told of only where people or data sets decided.

    Of a member of the frozen test set its version is told, as far as those who may be quoted still say the same.
    """
    known = {key: d for key, d in one.decisions.items() if d.tier is not Tier.UNKNOWN}
    if split == "train":
        return known
    known = {key: d for key, d in known.items() if key in one.trusted}
    if frozen is None:
        return known
    return {
        key: d
        for key, d in known.items()
        if (d.value is True and key in frozen.asserted) or (d.value is False and key in frozen.denied)
    }


def _may_go(allowed: Mapping[str, KnownSource]) -> Any:
    """Ids of the texts that were seen in a source that allows sharing."""
    seen = store.TextSource
    return select(seen.text_id).where(seen.source_id.in_([one.id for one in allowed.values()]))


def _may_be_said(session: Session, allowed: Mapping[str, KnownSource]) -> ColumnElement[bool]:
    """The condition that a judgement meets if it may be shared."""
    return and_(~_said_by_closed(session, allowed), store.Judgement.text_id.in_(_may_go(allowed)))


def _said_by_closed(session: Session, allowed: Mapping[str, KnownSource]) -> ColumnElement[bool]:
    """The condition that a judgement meets if it is the word of a data set that does not allow sharing.

    Which data set that is, the import's run says, or the rater where there was none.
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
    """By source, the judged texts in scope that no source lets go."""
    seen, j = store.TextSource, store.Judgement
    chosen = sample(None).subquery()
    rows = session.execute(
        select(seen.source_id, func.count(seen.text_id.distinct()))
        .where(
            seen.source_id.in_([one.id for one in closed]),
            seen.text_id.in_(select(chosen.c.id)),
            exists().where(j.text_id == seen.text_id),
            seen.text_id.not_in(_may_go(allowed)),
        )
        .group_by(seen.source_id)
    )
    names = {one.id: one.name for one in closed}
    return Counter({names[source]: count for source, count in rows})


def _verdicts_withheld(session: Session, allowed: Mapping[str, KnownSource]) -> Counter[str]:
    """By data set, its verdicts that stay here although the text goes."""
    j = store.Judgement
    chosen = sample(None).subquery()
    imports, data_sets = _imports(session), _data_sets(session)
    found: Counter[str] = Counter()
    rows = session.execute(
        select(j.run_id, j.rater_id, func.count())
        .where(
            _said_by_closed(session, allowed),
            j.text_id.in_(_may_go(allowed)),
            j.text_id.in_(select(chosen.c.id)),
        )
        .group_by(j.run_id, j.rater_id)
    )
    for run, rater, count in rows:
        found[imports[run] if run in imports else data_sets[rater]] += count
    return found
