"""Applications that ask for verdicts: their tokens, and their policies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from ml_backend.moderation.config import Caller
from pipeline.errors import UsageError
from pipeline.learning import registry
from pipeline.models.artefact import read_manifest
from pipeline.models.policies import BUILT_IN, Policy, PolicyThreshold, apply_policy, parse_policy
from pipeline.models.purposes import LABELS
from pipeline.store.tables.accounts import ApiToken, ModerationPolicy
from saring.accounts.api_tokens import PREFIX, find_token
from saring.context import Context

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,49}")


@dataclass(frozen=True, slots=True)
class PolicyFigures:
    """A policy with what to expect of it from the champion."""

    policy: Policy
    #: true: it comes with Saring and cannot be changed
    built_in: bool
    #: version of the champion; None: there is none
    model: str | None
    thresholds: Mapping[str, PolicyThreshold]

    def to_dict(self) -> dict[str, object]:
        """All of it as plain values."""
        return {
            **self.policy.to_dict(),
            "built_in": self.built_in,
            "model": self.model,
            "thresholds": [asdict(threshold) for threshold in self.thresholds.values()],
        }


def find_caller(home: Context, secret: str) -> Caller | None:
    """The application that an API token belongs to; None: nobody's.

    Raises:
        StoreError: the database cannot be reached.
    """
    if not secret.startswith(PREFIX):
        return None
    with home.begin() as session:
        known = find_token(session, secret)
        if known is None:
            return None
        person, token = known
        return Caller(token.id, person.id, token.name, token.per_minute, token.policy)


def read_policies(home: Context) -> dict[str, Policy]:
    """The home's own policies, by name.

    Raises:
        StoreError: the database cannot be reached.
    """
    with home.begin() as session:
        rows = session.scalars(select(ModerationPolicy).order_by(ModerationPolicy.name))
        return {
            row.name: parse_policy(row.name, row.default_target, row.labels, store_texts=row.store_texts)
            for row in rows
        }


def set_policy(
    home: Context, name: str, default: str | None, labels: Mapping[str, str], *, store_texts: bool | None = None
) -> Policy:
    """Make a policy, or change it.

    Args:
        home: the home with the store.
        name: of the policy.
        default: target of the labels that `labels` does not name: `precision=P`, `recall=R` or `f1`; None: the model's
            own thresholds.
        labels: target by label.
        store_texts: keep the texts that applications ask about, masked; None: as before, and not for a new policy.

    Raises:
        UsageError: the name cannot be one, a target is not valid, or there is no such label.
    """
    if not _NAME.fullmatch(name) or name in BUILT_IN:
        taken = f"; {', '.join(BUILT_IN)} come with Saring" if name in BUILT_IN else ""
        raise UsageError(f"a policy's name is lower-case letters, digits, dots and dashes{taken}: choose another name")
    keys = {}
    for given, target in labels.items():
        key = home.taxonomy.canonical(given)
        if key is None:
            raise UsageError(f"there is no label {given!r}: there are {', '.join(home.taxonomy.keys)}")
        keys[key] = target
    policy = parse_policy(name, default, keys)
    row: dict[str, object] = {"default_target": default, "labels": keys}
    if store_texts is not None:
        row["store_texts"] = store_texts
    with home.begin() as session:
        statement = insert(ModerationPolicy).values(name=name, **row)
        statement = statement.on_conflict_do_update(index_elements=["name"], set_=row)
        kept = session.execute(statement.returning(ModerationPolicy.store_texts)).scalar_one()
    return replace(policy, store_texts=kept)


def remove_policy(home: Context, name: str) -> None:
    """Remove a policy that no token uses.

    Raises:
        UsageError: there is none, or a token uses it.
    """
    with home.begin() as session:
        used = session.scalar(select(ApiToken.name).where(ApiToken.policy == name, ApiToken.revoked_at.is_(None)))
        if used is not None:
            raise UsageError(f"the token {used!r} uses the policy {name}: give it another policy, or revoke it first")
        gone = session.execute(
            delete(ModerationPolicy).where(ModerationPolicy.name == name).returning(ModerationPolicy.name)
        )
        if gone.one_or_none() is None:
            raise UsageError(f"there is no policy {name!r} that can be removed: see `saring policies list`")


def set_token_policy(session: Session, home: Context, token_id: int, name: str | None) -> None:
    """Give an application's token a policy; None: `balanced`.

    Raises:
        UsageError: there is no such policy or token.
    """
    if name is not None and name not in BUILT_IN and name not in read_policies(home):
        raise UsageError(f"there is no policy {name!r}: see `saring policies list`")
    token = session.get(ApiToken, token_id)
    if token is None:
        raise UsageError("there is no such token: see the page of API tokens")
    token.policy = name


def policy_figures(home: Context) -> list[PolicyFigures]:
    """All policies, with the precision and recall that the champion reached with each on its dev texts."""
    own = read_policies(home)
    with home.begin() as session:
        row = registry.champion(session, LABELS)
        path = row.path if row is not None else None
    manifest = read_manifest(Path(path)) if path is not None else None
    figures = []
    for name, policy in sorted({**BUILT_IN, **own}.items()):
        thresholds: Mapping[str, PolicyThreshold] = {}
        if manifest is not None:
            cuts = {label.key: label.threshold for label in manifest.labels}
            thresholds = apply_policy(policy, cuts, manifest.dev_curves)
        version = manifest.version if manifest is not None else None
        figures.append(PolicyFigures(policy, name in BUILT_IN, version, thresholds))
    return figures
