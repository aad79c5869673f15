"""The page /tokens: how programs sign in."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Form
from fastapi.responses import Response

from pipeline.errors import UsageError
from pipeline.models.policies import BUILT_IN
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from saring.accounts.api_tokens import PER_MINUTE, all_tokens, make_token, revoke_token
from saring.actions.moderation import read_policies, set_token_policy
from saring.web.routing import Pages
from saring.web.visit import Visit, Visitor

pages = Pages("tokens")


@pages.get(role=Role.VIEWER)
def index(visit: Visit) -> Response:
    """One's own tokens; an owner sees all."""
    return visit.page("tokens/index.html", **_values(visit))


@pages.post("/make", role=Role.VIEWER, act="tokens.make")
def make(
    visit: Visit,
    name: Annotated[str, Form()],
    role: Annotated[Role, Form()],
    per_minute: Annotated[int, Form()] = PER_MINUTE,
) -> Response:
    """Make a token, and show it once."""
    _need_browser(visit)
    try:
        with visit.home.begin() as session:
            token, secret = make_token(session, visit.account, name, role, per_minute=per_minute)
    except UsageError as error:
        return visit.wrong(
            str(error), "tokens/index.html", **_values(visit, name=name, role=role, per_minute=per_minute)
        )
    visit.note(token=token.prefix)
    return visit.page("tokens/made.html", token=token, secret=secret)


@pages.post("/{token_id}/revoke", role=Role.VIEWER, act="tokens.revoke")
def revoke(visit: Visit, token_id: int) -> Response:
    """Take a token out of use: one's own, or as an owner anybody's."""
    own_only = None if visit.allows(Role.OWNER) else visit.account.id
    with visit.home.begin() as session:
        revoke_token(session, min(token_id, 2**31 - 1), account_id=own_only)
    return visit.done("/tokens", visit.say("The token is revoked. Programs that use it are refused from now on."))


@pages.post("/{token_id}/policy", role=Role.VIEWER, act="tokens.policy")
def policy(visit: Visit, token_id: int, name: Annotated[str, Form()] = "") -> Response:
    """Give a token's application a policy: one's own token, or as an owner anybody's."""
    own_only = None if visit.allows(Role.OWNER) else visit.account.id
    with visit.home.begin() as session:
        if token_id not in {token.id for token in all_tokens(session, own_only)}:
            raise UsageError("there is no such token")
        set_token_policy(session, visit.home, token_id, name or None)
    return visit.done("/tokens", visit.say("The policy is saved. Applications follow within seconds."))


def _values(visit: Visitor, **typed: object) -> dict[str, Any]:
    with open_session(visit.home.engine) as session:
        tokens = all_tokens(session, None if visit.allows(Role.OWNER) else visit.account.id)
    own = read_policies(visit.home)
    return {
        "tokens": sorted(tokens, key=lambda token: token.revoked_at is not None),
        "policies": sorted({*BUILT_IN, *own}),
        "storing": {name for name, policy in own.items() if policy.store_texts},
        "roles": [role for role in Role if visit.allows(role)],
        "typed": {"name": "", "role": Role.VIEWER, "per_minute": PER_MINUTE, **typed},
    }


def _need_browser(visit: Visitor) -> None:
    """Refuse a program: what a token makes would go on working after the token is revoked."""
    if visit.session_token is None:
        raise UsageError("a token cannot make tokens: sign in with a browser")
