"""Accounts in every role, their API tokens, and weeks of acts in the audit log."""

from __future__ import annotations

import numpy as np
from sqlalchemy import insert
from sqlalchemy.orm import Session

from pipeline.store.tables.accounts import AuditEntry, Role
from saring.accounts.api_tokens import make_token
from saring.accounts.people import add_account, set_enabled, set_label_studio_user
from tests.support.big.world import World

#: name, role, and user in Label Studio
_ACCOUNTS = (
    ("aina", Role.OWNER, None),
    ("badrul", Role.MAINTAINER, "2"),
    ("chong", Role.REVIEWER, "3"),
    ("devi", Role.REVIEWER, "4"),
    ("emir-yang-namanya-panjang-sekali-untuk-satu-lajur-yang-sempit-di-telefon", Role.VIEWER, None),
    ("baharu", None, None),
)
_ACTS = (
    ("queue.build", {"size": "300", "uncertain": "50", "random": "20"}),
    ("review.settle", {"label": "hate", "reason": "irony"}),
    ("filter.cut", {"label": "porn", "cut": "0.42", "reason": "<script>document.title = 'broken'</script>"}),
    ("models.promote", {"version": "sfw-linear-20261101-3a20316f", "reason": "better on rare labels"}),
    ("account.preferences", {"theme": "dark"}),
    ("runs.cancel", {"run": "41"}),
)
_ENTRIES = 3_000


def plant_accounts(session: Session, world: World) -> None:
    """Accounts, tokens and entries."""
    rng = np.random.default_rng([world.seed, 9])
    people = []
    for name, role, user in _ACCOUNTS:
        person = add_account(session, name, role, email=f"kotak-{len(people)}@contoh.test")
        if user is not None:
            set_label_studio_user(session, person.id, user)
        people.append(person)
    gone = add_account(session, "farid", Role.REVIEWER)
    set_enabled(session, gone.id, False)
    make_token(session, people[0], "sandaran malam", Role.VIEWER, per_minute=60)
    make_token(session, people[1], "<i>papan</i> pemuka", Role.MAINTAINER, per_minute=600)
    entries = []
    for part in np.sort(rng.random(_ENTRIES)).tolist():
        person = people[int(rng.integers(0, 4))]
        act, details = _ACTS[int(rng.integers(0, len(_ACTS)))]
        entries.append(
            {"at": world.at(part), "account_id": person.id, "who": person.name, "act": act, "details": details}
        )
    session.execute(insert(AuditEntry), entries)
