"""The tables of the dashboard: accounts, sessions, links, API tokens, the audit log, and figures that take long."""

from __future__ import annotations

import enum
import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.store.tables.core import Base, Json, enum_column


class Role(enum.StrEnum):
    """The role of an account: what it may do. Each role may do what the ones before it may."""

    #: labels texts on pages of their own, and sees nothing else
    VOLUNTEER = "volunteer"
    VIEWER = "viewer"
    REVIEWER = "reviewer"
    MAINTAINER = "maintainer"
    OWNER = "owner"

    @property
    def rank(self) -> int:
        """Place in the order of roles, from 0."""
        return list(Role).index(self)

    def allows(self, needed: Role) -> bool:
        """Return True if this role may do what `needed` may."""
        return self.rank >= needed.rank


class Account(Base):
    """An account of the dashboard: a person, or a program that people answer for."""

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    #: the name to sign in with; two names that differ in case only are the same
    name: Mapped[str]
    #: None: an owner has not given one yet, and the account may do nothing
    role: Mapped[Role | None] = mapped_column(enum_column(Role, "account_role"))
    #: in the form of Argon2; None: the account signs in with a link or with OpenID Connect
    password_hash: Mapped[str | None]
    email: Mapped[str | None]
    #: `en` or `ms`; None: as the browser asks
    language: Mapped[str | None]
    #: `light` or `dark`; None: as the system is
    theme: Mapped[str | None]
    #: the person's user id in Label Studio, which is the version of their rater
    label_studio_user: Mapped[str | None]
    #: issuer and subject of OpenID Connect
    oidc_issuer: Mapped[str | None]
    oidc_subject: Mapped[str | None]
    disabled_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        Index("uq_account_lower_name", func.lower(text("name")), unique=True),
        Index("uq_account_oidc", "oidc_issuer", "oidc_subject", unique=True),
    )


class WebSession(Base):
    """A session of a browser. Only the hash of its token is stored."""

    __tablename__ = "web_session"

    #: SHA-256 of the token
    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), index=True)
    #: browser and system, as the person knows them
    device: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]


class OneTimeLink(Base):
    """A link that works once: it signs its account in, to choose a password."""

    __tablename__ = "one_time_link"

    #: SHA-256 of the token
    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SignInAttempt(Base):
    """A sign-in through an OpenID provider that has begun. It is removed when the browser comes back, or is too old."""

    __tablename__ = "sign_in_attempt"

    #: SHA-256 of the state that the browser brings back
    state_hash: Mapped[bytes] = mapped_column(primary_key=True)
    #: SHA-256 of a cookie: only the browser that began may end it
    browser_hash: Mapped[bytes]
    #: what the provider must sign
    nonce: Mapped[str]
    #: proves to the provider that who began the sign-in ends it (PKCE)
    verifier: Mapped[str]
    #: path to go to afterwards
    next_path: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class ApiToken(Base):
    """A token of a program. Only its hash is stored, so it is shown once, when it is made."""

    __tablename__ = "api_token"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    name: Mapped[str]
    #: its first characters, by which people know it
    prefix: Mapped[str]
    #: SHA-256 of the token
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    #: its role, if that is lower than the account's; what it may do is the lower of both
    role: Mapped[Role] = mapped_column(enum_column(Role, "api_token_role"))
    #: most requests a minute
    per_minute: Mapped[int]
    #: name of the policy of its application; None: `balanced`
    policy: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class ModerationPolicy(Base):
    """A policy of an application: targets, which become thresholds by the figures of the model that serves."""

    __tablename__ = "moderation_policy"

    name: Mapped[str] = mapped_column(primary_key=True)
    #: target of the labels that `labels` does not name, as `precision=0.9`; None: the model's own thresholds
    default_target: Mapped[str | None]
    #: target by label
    labels: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    #: true: the texts that applications ask about under this policy are kept, masked
    store_texts: Mapped[bool] = mapped_column(server_default=text("false"))
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Report(Base):
    """An application's report that a verdict was wrong. What it says of labels is a judgement of kind `report`."""

    __tablename__ = "report"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(index=True)
    #: name of the API token at that time
    application: Mapped[str]
    #: the application's own name of the report; a report that is sent twice is kept once
    reference: Mapped[str]
    text_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("text.id"))
    judgement_id: Mapped[int] = mapped_column(BigInteger)
    #: the reason in the application's words, masked
    reason: Mapped[str | None]
    #: version of the model whose verdict was wrong, if the application says so
    model: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (UniqueConstraint("account_id", "reference"),)


class ShadowModel(Base):
    """The challenger that scores live traffic beside the champion of a purpose."""

    __tablename__ = "shadow_model"

    purpose: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(ForeignKey("model.version"))
    since: Mapped[datetime] = mapped_column(server_default=func.now())


class ShadowCount(Base):
    """Texts of live traffic by what champion and challenger say of one label. A label of no name counts texts."""

    __tablename__ = "shadow_count"

    champion: Mapped[str] = mapped_column(primary_key=True)
    challenger: Mapped[str] = mapped_column(primary_key=True)
    #: empty: all texts are in `both`, and texts that the challenger had no time for in `neither`
    label: Mapped[str] = mapped_column(primary_key=True)
    both: Mapped[int] = mapped_column(BigInteger)
    champion_only: Mapped[int] = mapped_column(BigInteger)
    challenger_only: Mapped[int] = mapped_column(BigInteger)
    neither: Mapped[int] = mapped_column(BigInteger)


class AuditEntry(Base):
    """An act in the dashboard or at the command line of accounts. A row is never changed or removed."""

    __tablename__ = "audit_entry"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: None: the act was done without an account, for example at the command line
    account_id: Mapped[int | None]
    #: name of the account at that time, or the place that the act came from
    who: Mapped[str]
    #: name of the act, for example `queue.drop`
    act: Mapped[str]
    #: values of the act, without secrets and texts
    details: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    #: the entry that this one completes: the outcome of an act
    about: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (Index(None, "act", "id"), Index(None, "account_id", "id"), Index(None, "about"))


class FormKey(Base):
    """The key of a form that was sent. A form that is sent twice has the same key, and is carried out once."""

    __tablename__ = "form_key"

    key: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[int]
    at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    #: address of the page that the act led to; None: it is being carried out, or failed
    outcome: Mapped[str | None]


class Figure(Base):
    """A figure that takes long to compute, as it was computed last."""

    __tablename__ = "figure"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any | None] = mapped_column(JSONB())
    #: time at which its computation began
    as_of: Mapped[datetime]
    #: seconds that it took
    seconds: Mapped[float]
    #: why the last computation failed; None: it did not
    error: Mapped[str | None]
