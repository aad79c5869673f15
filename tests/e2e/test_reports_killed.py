"""`saring serve` is killed while applications report: each report is kept once, whatever was acknowledged or not."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from pipeline import store
from pipeline.settings import Settings
from pipeline.store import open_session
from pipeline.store.tables.accounts import Report, Role
from saring.accounts.api_tokens import make_token
from saring.accounts.people import add_account
from saring.home import Home
from tests.support.backend import free_port, serving
from tests.support.waiting import until

_SYLLABLES = [first + second for first in "bcdfghjklmnprstwy" for second in "aeiou"]
_CLIENTS, _EACH, _KILLS = 4, 15, 2


def _text(reference: str) -> str:
    """A text that is no near-duplicate of another one: of those, the queue takes the first only."""
    rng = random.Random(reference)
    words = ["".join(rng.choices(_SYLLABLES, k=3)) for _ in range(8)]
    return f"saya dan {' '.join(words[:4])} yang di {' '.join(words[4:])}"


@pytest.mark.timeout(600)
def test_no_report_is_lost_or_doubled(environment: dict[str, str], database_url: str, new_home: Path) -> None:
    settings = Settings(home=new_home, database_url=database_url)  # type: ignore[arg-type]
    port, acknowledged, over = free_port(), [], threading.Event()
    with Home(settings=settings) as home:
        with home.begin() as session:
            token = make_token(session, add_account(session, "forum", Role.VIEWER), "a forum", Role.VIEWER)[1]

        def report(client: int) -> None:
            """Report until each is acknowledged, as an application that does not want to lose one."""
            headers = {"Authorization": f"Bearer {token}"}
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False) as http:
                for number in range(_EACH):
                    reference = f"{client}-{number}"
                    body = {"text": _text(reference), "reference": reference, "reason": "salah"}
                    while not over.wait(0.02):
                        try:
                            answer = http.post("/v1/reports", json={**body, "labels": {"hate": False}})
                        except httpx.TransportError:
                            continue
                        assert answer.status_code in (201, 503), answer.text
                        if answer.status_code == 201:
                            acknowledged.append((reference, answer.json()["id"]))
                            break

        clients = [threading.Thread(target=report, args=(client,)) for client in range(_CLIENTS)]
        try:
            for kill in range(_KILLS):
                with serving(environment, port) as process:
                    for client in clients if kill == 0 else ():
                        client.start()
                    before = len(acknowledged)
                    until(lambda before=before: len(acknowledged) >= before + 10, "reports are kept")
                    process.kill()
            with serving(environment, port):
                until(lambda: len(acknowledged) == _CLIENTS * _EACH, "all are kept")
        finally:
            over.set()
            for client in clients:
                client.join()
        with open_session(home.engine) as session:
            kept = dict(session.execute(select(Report.reference, Report.id)).all())
            counts = [
                session.scalar(select(func.count()).select_from(table))
                for table in (Report, store.Text, store.Judgement, store.Dispute, store.QueueItem)
            ]
    assert {reference: str(report_id) for reference, report_id in kept.items()} == dict(acknowledged)
    assert counts == [_CLIENTS * _EACH] * 5
