"""Speed of the review in a large store: the next text, a settlement, the pages; and how long the search for disputes
takes.

Writes made-up texts, each judged by two language models, some by two people, into a store of its own, and prints JSON
lines:

- `find`: the stage `review`, without and with models for suspected labels.
- `peer`: the peer of `next`: the next disagreement is looked for in the ledger when it is asked for, by one query.
- `next`, `settle`, `history`: the actions, each many times.
- `page`: server time of the pages, with a signed-in reviewer.

    python benchmarks/review.py --texts 1000000
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# not this folder, where `ml_backend` is a script
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _measure import emit, temporary_store
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from pipeline.review.find import FindConfig, find_disputes
from pipeline.settings import Settings
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from pipeline.store.tables.review import DisputeKind
from pipeline.taxonomy import load_taxonomy
from saring.accounts.people import add_account, by_name
from saring.accounts.sessions import begin_session
from saring.actions import review
from saring.actions.text_history import history
from saring.home import Home
from saring.web.app import create_web

#: one text in so many is judged by two people; a third of those pairs disagrees
_BY_PEOPLE = 20
_PEER = text("""
    SELECT text_id FROM current_judgement, unnest(asserted || denied) AS label WHERE kind = 'human'
    GROUP BY text_id, label HAVING bool_or(label = ANY(asserted)) AND bool_or(label = ANY(denied))
    ORDER BY count(*) DESC, text_id LIMIT 1
""")
_PLANT = (
    """INSERT INTO text (id, body, masked, language)
       SELECT md5(i::text)::uuid, 'b' || i,
           (ARRAY['pagi kedai ikan', 'bola gol pasukan', 'harga murah pasar', 'filem lagu cerita'])[1 + i % 4] || ' '
           || CASE WHEN i % 3 = 0 THEN 'lucah cabul ' ELSE 'makan minum ' END || md5((i * 7)::text), 'ms'
       FROM generate_series(1, :texts) AS i""",
    """INSERT INTO rater (kind, name, version) VALUES ('llm', 'one', '1'), ('llm', 'two', '1'),
       ('human', 'label-studio', '1'), ('human', 'label-studio', '2')""",
    """INSERT INTO judgement (rater_id, text_id, asserted, denied, taxonomy_version)
       SELECT r.id, md5(i::text)::uuid,
           CASE WHEN (i % 3 = 0) <> (i % 97 = r.id) THEN ARRAY['porn'] ELSE ARRAY[]::text[] END,
           CASE WHEN (i % 3 = 0) <> (i % 97 = r.id) THEN ARRAY[]::text[] ELSE ARRAY['porn'] END, 't'
       FROM generate_series(1, :texts) AS i, rater r WHERE r.kind = 'llm'""",
    """INSERT INTO judgement (rater_id, text_id, asserted, denied, taxonomy_version)
       SELECT r.id, md5(i::text)::uuid,
           CASE WHEN r.version = '2' OR i % 3 = 0 THEN ARRAY['porn'] ELSE ARRAY[]::text[] END,
           CASE WHEN r.version = '2' OR i % 3 = 0 THEN ARRAY[]::text[] ELSE ARRAY['porn'] END, 't'
       FROM generate_series(1, :texts, :people) AS i, rater r WHERE r.kind = 'human'""",
    "ANALYZE",
)


def main() -> None:
    """Measure, and print JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--suspects", action="store_true", help="search for suspected labels as well")
    options = parser.parse_args()
    with temporary_store() as (engine, _), tempfile.TemporaryDirectory() as folder:
        _plant(engine, options.texts)
        for suspects in (False, True) if options.suspects else (False,):
            began = time.perf_counter()
            report = find_disputes(engine, load_taxonomy(), FindConfig(suspects))
            seconds = time.perf_counter() - began
            emit("find", {"suspects": suspects, "seconds": seconds, "waiting": dict(report.waiting)})
        with open_session(engine) as session:
            _emit_times("peer", options.texts, _times(lambda: session.execute(_PEER).all(), 5))
        url = engine.url.render_as_string(hide_password=False)
        with (
            Home(settings=Settings(home=Path(folder), database_url=url)) as home,
            TestClient(create_web(home)) as client,
        ):
            _actions(home, options.texts, options.times)
            with home.begin() as session:
                token = begin_session(session, by_name(session, "mei").id, "benchmark")
            client.cookies.set("saring_session", token)
            with open_session(engine) as session:
                judged = session.scalar(text("SELECT text_id FROM dispute LIMIT 1"))
            paths = ["/review", *(f"/review/{kind}" for kind in DisputeKind), "/review/disagreement/next"]
            for path in (*paths, f"/texts/{review.public_id(home, judged)}"):
                client.get(path)
                name = "/texts/ID" if path.startswith("/texts/") else path
                _emit_times("page", options.texts, _times(lambda path=path: client.get(path), options.times), path=name)


def _actions(home: Home, texts: int, times: int) -> None:
    with home.begin() as session:
        account = add_account(session, "mei", Role.REVIEWER) and by_name(session, "mei").id
    reviewer = review.reviewer_of(home, account)
    items = []

    def following() -> None:
        item = review.next_item(home, DisputeKind.DISAGREEMENT, reviewer, without=[item.text_id for item in items])
        assert item is not None
        items.append(item)

    _emit_times("next", texts, _times(following, times))
    chosen = {item.text_id: item for item in items}
    waiting = iter(chosen.values())

    def settle() -> None:
        item = next(waiting)
        review.settle(home, item.text_id, reviewer, yes=["porn"], ground="definition", shown=item.fingerprint)
        following()

    _emit_times("settle and next", texts, _times(settle, len(chosen)))
    _emit_times("undo", texts, _times(lambda: review.undo(home, reviewer), len(chosen)))
    _emit_times("history", texts, _times(lambda: history(home, items[0].text_id), times))


def _times(work: Callable[[], object], times: int) -> list[float]:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - began))
    return taken


def _emit_times(name: str, texts: int, taken: list[float], **more: object) -> None:
    taken = sorted(taken)
    p95 = taken[int(0.95 * (len(taken) - 1))]
    emit(name, {"texts": texts, "median_ms": statistics.median(taken), "p95_ms": p95, **more})


def _plant(engine: Engine, texts: int) -> None:
    with open_session(engine) as session, session.begin():
        for statement in _PLANT:
            values = {"texts": texts, "people": _BY_PEOPLE}
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            session.execute(text(statement), used)


if __name__ == "__main__":
    main()
