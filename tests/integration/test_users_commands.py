"""The commands of accounts that do what the pages do: sessions, tokens, the log."""

from __future__ import annotations

import json

from sqlalchemy import Engine

from pipeline.store import open_session
from pipeline.store.tables.accounts import Role
from saring.accounts.api_tokens import find_token
from saring.accounts.people import add_account
from saring.accounts.sessions import begin_session, find_session
from tests.support.commands import answered, refused, typed


def test_a_token_is_made_shown_once_and_revoked(engine: Engine, environment: dict[str, str]) -> None:
    with open_session(engine) as session, session.begin():
        add_account(session, "aina", Role.REVIEWER)
    words = ("users", "make-token", "aina", "--for", "skrip malam", "--role", "reviewer", "--json")
    made = answered(typed(environment, *words))
    with open_session(engine) as session, session.begin():
        found = find_token(session, made["token"])
    assert found is not None and (found[0].name, found[0].role) == ("aina", Role.REVIEWER)
    too_much = typed(environment, "users", "make-token", "aina", "--for", "x", "--role", "owner")
    assert "cannot do more than its account" in refused(too_much, 2)
    listed = typed(environment, "users", "tokens", "--json")
    [token] = answered(listed)["tokens"]
    assert made["token"] not in listed.stdout
    assert (token["account"], token["revoked_at"]) == ("aina", None)
    answered(typed(environment, "users", "revoke-token", str(token["id"]), "--json"))
    with open_session(engine) as session, session.begin():
        assert find_token(session, made["token"]) is None
    assert "there is no such token" in refused(typed(environment, "users", "revoke-token", "99"), 2)
    shown = typed(environment, "users", "log", "--act", "tokens", "--json").stdout
    assert [json.loads(line)["act"] for line in shown.splitlines()] == ["tokens.revoke", "tokens.make"]
    assert made["token"] not in shown


def test_an_account_is_signed_out_everywhere(engine: Engine, environment: dict[str, str]) -> None:
    with open_session(engine) as session, session.begin():
        person = add_account(session, "wei", Role.VIEWER)
        tokens = [begin_session(session, person.id, "") for _ in range(2)]
    assert answered(typed(environment, "users", "sign-out", "wei", "--json")) == {"name": "wei", "sessions": 2}
    with open_session(engine) as session, session.begin():
        assert [find_session(session, token) for token in tokens] == [None, None]
