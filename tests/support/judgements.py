"""Judgements of a text, by hand and drawn: any whatever, and such as a ledger could hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import strategies as st

from pipeline.judgement import Decision, Judgement, RaterKind, RaterRef
from pipeline.ledger.consensus.rule import Consensus, LabelModel, Method, Skill, voice_of

#: from the most to the least trusted
TRUST = (RaterKind.HUMAN, RaterKind.EXTERNAL, RaterKind.LLM, RaterKind.BOOTSTRAP, RaterKind.PSEUDO)
LABELS = ("hate", "porn", "racist", "safe for work")
EXCLUDES = {
    "safe for work": frozenset({"hate", "porn", "racist"}),
    "hate": frozenset({"safe for work"}),
    "porn": frozenset({"safe for work"}),
    "racist": frozenset({"safe for work"}),
}


def raters(kinds: tuple[RaterKind, ...] = tuple(RaterKind)) -> st.SearchStrategy[RaterRef]:
    refs = [RaterRef(kind, name, version) for kind in kinds for name in ("a", "b") for version in ("", "1", "2")]
    return st.sampled_from(refs)


#: any set of labels; drawn as one number, which is far quicker than a set
label_sets = st.integers(0, 2 ** len(LABELS) - 1).map(
    lambda bits: frozenset(label for place, label in enumerate(LABELS) if bits >> place & 1)
)


@st.composite
def judgements(draw: st.DrawFn, id_: int | None = None, kinds: tuple[RaterKind, ...] = tuple(RaterKind)) -> Judgement:
    """Any judgement whatever, also such as no ledger would hold."""
    asserted = draw(label_sets)
    return Judgement(
        id=draw(st.integers(0, 12)) if id_ is None else id_,
        rater=draw(raters(kinds)),
        asserted=asserted,
        denied=draw(label_sets) - asserted,
        demoted=draw(label_sets),
        external_ref=draw(st.sampled_from(("", "x", "y"))),
        revision=draw(st.integers(0, 3)) if id_ is None else 0,
        withdrawn=draw(st.booleans()),
        supersedes=draw(st.none() | st.integers(0, 12)) if id_ is None else None,
    )


piles = st.lists(judgements(), max_size=7)


@st.composite
def ledgers(draw: st.DrawFn, kinds: tuple[RaterKind, ...] = tuple(RaterKind)) -> list[Judgement]:
    """What a ledger could hold of one text: ids used once, revisions that count up and supersede."""
    rows: list[Judgement] = []
    last: dict[tuple[RaterRef, str], Judgement] = {}
    for id_ in range(1, draw(st.integers(0, 7)) + 1):
        row = draw(judgements(id_, kinds))
        key = (row.rater, row.external_ref)
        before = last.get(key)
        row = replace(
            row,
            revision=0 if before is None else before.revision + 1,
            supersedes=None if before is None else before.id,
            withdrawn=row.withdrawn and before is not None,
        )
        last[key] = row
        rows.append(row)
    return rows


_shares = st.floats(0.01, 0.99).map(lambda share: round(share, 4))


@st.composite
def consensuses(draw: st.DrawFn, method: Method | None = None) -> Consensus:
    """Any consensus: of some raters on some labels, a few of them of one family."""
    machines = [
        voice_of(RaterRef(kind, name, version))
        for kind in (RaterKind.LLM, RaterKind.BOOTSTRAP)
        for name in ("a", "b")
        for version in ("", "1", "2")
    ]
    skills = st.builds(Skill, _shares, _shares)
    labels = st.dictionaries(
        st.sampled_from(LABELS),
        st.builds(LabelModel, _shares, st.dictionaries(st.sampled_from(machines), skills, max_size=6)),
        max_size=3,
    )
    families = st.sampled_from(({}, {"llm:a": "llm:a+b", "llm:b": "llm:a+b"}))
    return Consensus(method or draw(st.sampled_from(Method)), draw(labels), draw(families))


def said(
    kind: RaterKind,
    id_: int,
    *,
    yes: str = "",
    no: str = "",
    name: str = "a",
    version: str = "",
    **more: object,
) -> Judgement:
    labels = [frozenset(part for part in text.split(",") if part) for text in (yes, no)]
    return Judgement(id_, RaterRef(kind, name, version), *labels, **more)  # type: ignore[arg-type]


def opinions(decisions: Mapping[str, Decision]) -> dict[str, bool | None]:
    return {label: decision.value for label, decision in decisions.items()}
