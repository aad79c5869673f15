"""Draw a new queue: texts for people, each with the reason and the inclusion probability."""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy import Engine, func, insert, select, text, update
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.measure.arrays import Booleans, Floats
from pipeline.models.artefact import TrainedModel
from pipeline.plural import counted
from pipeline.progress import Progress, silent
from pipeline.queue.candidates import Candidates
from pipeline.queue.config import QueueConfig, QueueReport
from pipeline.queue.gold import choose_gold, plantable
from pipeline.queue.people import People, centres, what_people_decided
from pipeline.queue.pool import Pool, draw_pool, load_candidates
from pipeline.queue.sampling import Sample, Space, draw, trim
from pipeline.queue.serving_order import harsh_rows, is_harsh, priorities, serving_order
from pipeline.queue.strategies.known import STRATEGIES
from pipeline.queue.strategies.protocol import Chances, Strategy
from pipeline.queue.waiting import lock_queue
from pipeline.runs.record import stage_run
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import PICKED, RANDOM, QueueState
from pipeline.taxonomy import Taxonomy
from pipeline.vectors.encoders.protocol import Vectors

STAGE = "queue"
#: strategy and reason of planted texts, so that nobody can tell them from others
_PLANTED_AS = RANDOM
_PLANTED_REASON = "drawn at random"


def build_queue(
    engine: Engine,
    taxonomy: Taxonomy,
    config: QueueConfig | None = None,
    *,
    model: TrainedModel | None,
    encoder: str,
    seed: int = 0,
    strategies: Mapping[str, Strategy] = STRATEGIES,
    progress: Progress = silent,
) -> QueueReport:
    """Draw a queue in place of the texts that wait and have not been pushed.

    The same store and seed give the same queue. After a push the random numbers change, so that one build does not
    repeat the draw of the last.

    Args:
        engine: the store.
        taxonomy: the labels.
        config: size, mix and limits; None: the defaults.
        model: the champion, if there is one.
        encoder: the space in which texts are near-alike.
        seed: of all random numbers.
        strategies: by the names that the mix may use.
        progress: told of every chunk that is read.

    Raises:
        QueueError: the mix names an unknown strategy.
        RunConflict: another queue is being built.
    """
    how = config or QueueConfig()
    shares = how.shares(strategies.keys())
    params = {"config": asdict(how), "seed": seed, "taxonomy": taxonomy.version}
    with stage_run(engine, STAGE, params=params, progress=progress) as run:
        with open_session(engine) as session:
            generators = _Generators(seed, _pushed(session))
            people = what_people_decided(session, taxonomy)
            shortage = np.array([max(0.0, 1 - people.gold[key] / how.gold_target) for key in taxonomy.keys])
            scarce = [key for key, short in zip(taxonomy.keys, shortage, strict=True) if short > 0]
            pool = draw_pool(session, how.pool, scarce=scarce, seed=int(generators.of("pool").integers(1 << 62)))
            candidates = load_candidates(
                session,
                taxonomy,
                pool,
                model=model,
                encoder=encoder,
                shortage=shortage,
                centres=centres(session, encoder, {key: people.examples[key] for key in scarce}),
                progress=run.advance,
            )
            drawn = _draw(session, taxonomy, how, shares, strategies, candidates, people, encoder, generators)
        with open_session(engine) as session, session.begin():
            replaced, items = _replace(session, drawn.items, run.id)
            notes = (*drawn.notes, *_shortfall(how, pool, drawn, len(items)))
            report = QueueReport(
                run_id=run.id,
                asked=how.size,
                drawn=len(items),
                eligible=pool.eligible,
                candidates=len(candidates),
                replaced=replaced,
                by_strategy=dict(Counter(item["strategy"] for item in items if not item["gold"])),
                by_label=dict(Counter(key for item in items for key in item["expected"])),
                harsh=sum(item["harsh"] for item in items),
                blind=sum(item["blind"] for item in items),
                gold=sum(item["gold"] for item in items),
                near_alike=drawn.sample.thinned,
                without_vector=_without_vector(candidates),
                champion=model.manifest.version if model is not None else None,
                notes=notes,
            )
            run.counts = asdict(report)
            run.save(session)
    return report


@dataclass(frozen=True, slots=True)
class _Generators:
    """A random generator for each use, so that a change in one use does not change the others."""

    seed: int
    pushed: int

    def of(self, use: str) -> np.random.Generator:
        number = int.from_bytes(hashlib.blake2b(use.encode(), digest_size=8).digest(), "big")
        return np.random.default_rng([abs(self.seed), self.pushed, number])


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Queue items to be written, as rows without their run."""

    items: list[dict[str, Any]]
    sample: Sample
    notes: tuple[str, ...]


def _pushed(session: Session) -> int:
    q = store.QueueItem
    return session.execute(select(func.count()).where(q.state == QueueState.PUSHED)).scalar_one()


def _draw(
    session: Session,
    taxonomy: Taxonomy,
    how: QueueConfig,
    shares: Mapping[str, float],
    strategies: Mapping[str, Strategy],
    candidates: Candidates,
    people: People,
    encoder: str,
    generators: _Generators,
) -> _Drawn:
    known = plantable(session, people.known)
    planted = min(round(how.size * how.gold_share), len(known))
    size = how.size - planted
    least = int(np.ceil(size * how.benign_share))
    harsh = harsh_rows(candidates, taxonomy)
    mix = {
        name: strategies[name].weigh(candidates, size * share, generators.of(f"strategy {name}"))
        for name, share in shares.items()
    }
    sample = (
        _sample(candidates, mix, harsh, how, size=size, least=least, generators=generators)
        if len(candidates)
        else _NONE
    )
    taken = candidates.vectors[sample.rows] if candidates.vectors is not None else None
    gold, chance = choose_gold(
        session, known, planted, taken, encoder=encoder, near=how.near, rng=generators.of("gold")
    )
    sample = trim(sample, harsh, size=how.size - len(gold), benign_least=least, rng=generators.of("trim"))
    items = _items(candidates, mix, sample, harsh, generators.of("values"))
    items += [
        {
            "text_id": planted_text.id,
            "strategy": _PLANTED_AS,
            "label": None,
            "reason": _PLANTED_REASON,
            "inclusion_probability": chance,
            "harsh": is_harsh(planted_text.labels, taxonomy),
            "expected": list(planted_text.labels),
            "gold": True,
            "value": float(value),
        }
        for planted_text, value in zip(gold, generators.of("gold values").random(len(gold)), strict=True)
    ]
    values, bad = np.array([item.pop("value") for item in items]), np.array([bool(item["harsh"]) for item in items])
    blind = _exactly(how.blind_share, len(items), generators.of("blind"))
    order = serving_order(values, bad.astype(bool), how.harsh_run)
    served = [
        items[i] | {"priority": float(priority), "blind": bool(blind[i])}
        for i, priority in zip(order.tolist(), priorities(len(items)), strict=True)
    ]
    notes = [chances.note for chances in mix.values() if chances.note]
    if planted > len(gold):
        notes.append(
            f"{counted(planted - len(gold), 'text')} with a known answer could not be planted: "
            "too similar to drawn texts"
        )
    missing = least - int(np.count_nonzero(~harsh[sample.rows]))
    if missing > 0 and len(sample):
        notes.append(
            f"the queue should hold {missing} more harmless {'text' if missing == 1 else 'texts'}; "
            "there are not enough to draw from"
        )
    return _Drawn(served, sample, tuple(notes))


_NONE = Sample(np.zeros(0, np.intp), np.zeros(0), (), np.zeros(0))


def _sample(
    candidates: Candidates,
    mix: Mapping[str, Chances],
    harsh: Booleans,
    how: QueueConfig,
    *,
    size: int,
    least: int,
    generators: _Generators,
) -> Sample:
    """Draw from the candidates; the probabilities are those of being drawn from all eligible texts."""
    space = Space(candidates.vectors, how.near)
    clipped = {name: np.clip(chances.chance, 0, 1) for name, chances in mix.items()}
    sample = draw(clipped, space, harsh, size=size, benign_least=least, rng=generators.of("draw"))
    return replace(sample, probability=sample.probability * candidates.share[sample.rows])


def _items(
    candidates: Candidates, mix: Mapping[str, Chances], sample: Sample, harsh: Booleans, rng: np.random.Generator
) -> list[dict[str, Any]]:
    expected = candidates.expected()
    values = _values(mix, sample, rng)
    items = []
    for row, probability, strategy, value in zip(
        sample.rows.tolist(), sample.probability.tolist(), sample.strategy, values.tolist(), strict=True
    ):
        chances = mix.get(strategy)
        label = int(chances.label[row]) if chances is not None and chances.label is not None else -1
        items.append(
            {
                "text_id": candidates.ids[row],
                "strategy": strategy,
                "label": candidates.labels[label] if label >= 0 else None,
                "reason": chances.reason(row)
                if chances is not None
                else "probably harmless: added so that volunteers do not see only harsh texts",
                # The store holds single precision, where the probability must not round to 0.
                "inclusion_probability": min(1.0, max(probability, 1e-30)),
                "harsh": bool(harsh[row]),
                "expected": [candidates.labels[j] for j in np.flatnonzero(expected[row])],
                "gold": False,
                "value": value,
            }
        )
    return items


def _values(mix: Mapping[str, Chances], sample: Sample, rng: np.random.Generator) -> Floats:
    """Serving value of each drawn text: its rank among the texts of its strategy, so that strategies alternate."""
    values = np.zeros(len(sample))
    names = np.array(sample.strategy)
    for name in dict.fromkeys(sample.strategy):
        own = np.flatnonzero(names == name)
        chances = mix.get(name)
        priority = chances.priority[sample.rows[own]] if chances is not None else rng.random(len(own))
        values[own[np.argsort(priority, kind="stable")]] = (np.arange(len(own)) + 0.5) / len(own)
    return values


def _replace(session: Session, items: list[dict[str, Any]], run_id: int) -> tuple[int, list[dict[str, Any]]]:
    """Write the items in place of those that wait; texts that were pushed or refused meanwhile are left out.

    Texts that a person put into the queue stay, but for those that are drawn: their probability is known now.
    """
    lock_queue(session)
    q = store.QueueItem
    gone = _gone_meanwhile(session, [item["text_id"] for item in items if not item["gold"]])
    kept = [item | {"run_id": run_id} for item in items if item["text_id"] not in gone]
    drawn = q.text_id == func.any([item["text_id"] for item in kept])
    dropped = session.execute(
        update(q)
        .where(q.state == QueueState.QUEUED, (q.strategy != PICKED) | drawn)
        .values(state=QueueState.DROPPED)
        .returning(q.id)
    ).all()
    if kept:
        session.execute(insert(q), kept)
    return len(dropped), kept


def _gone_meanwhile(session: Session, ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    rows = session.execute(
        text("""
            SELECT k.text_id FROM task k JOIN project p ON p.id = k.project_id
            WHERE p.state = 'open' AND k.text_id = ANY(CAST(:ids AS uuid[]))
            UNION SELECT q.text_id FROM queue_item q
            WHERE q.state = 'refused' AND q.text_id = ANY(CAST(:ids AS uuid[]))
        """),
        {"ids": list(ids)},
    )
    return {row[0] for row in rows}


def _shortfall(how: QueueConfig, pool: Pool, drawn: _Drawn, got: int) -> list[str]:
    if got >= how.size:
        return []
    if pool.eligible <= how.size:
        similar = drawn.sample.thinned
        taken = (
            f"all but {similar} very similar {'one' if similar == 1 else 'ones'} were"
            if similar
            else "all of them were"
        )
        return [f"you asked for {counted(how.size, 'text')}; only {pool.eligible} can be queued, and {taken} queued"]
    return [f"you asked for {counted(how.size, 'text')}; the strategies of the mix drew only {got}"]


def _without_vector(candidates: Candidates) -> int:
    vectors: Vectors | None = candidates.vectors
    return len(candidates) if vectors is None else int(np.count_nonzero(~vectors.any(axis=1)))


def _exactly(share: float, count: int, rng: np.random.Generator) -> Booleans:
    """Each of `count` places with the chance `share`, and `share` of them all in number, but for rounding by a coin.

    A coin for each place would make a quarter of a short queue blind now and then.
    """
    chosen = np.zeros(count, dtype=np.bool_)
    chosen[rng.permutation(count)[: int(share * count + rng.random())]] = True
    return chosen
