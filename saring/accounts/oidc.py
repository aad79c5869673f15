"""Sign in through an OpenID provider: the authorization code flow with PKCE (OpenID Connect Core 1.0, RFC 7636).

State, nonce and verifier of a sign-in are in the store, and only the browser that began it may end it. The provider's
signature, issuer, audience, times and nonce are checked.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import httpx2

from pipeline.errors import SaringError, UsageError, first_line
from pipeline.settings import Settings
from pipeline.store.tables.accounts import Role

#: signatures that are believed: those with a public key
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
_TIMEOUT = 10.0
#: seconds that the provider's clock may differ from ours
_LEEWAY = 60
#: bytes of a document of the provider
_LARGEST = 1 << 20


class ProviderAway(SaringError):
    """The OpenID provider does not answer, or not as it should: try again, or sign in with a password."""


class SignInRefused(SaringError):
    """The sign-in through the OpenID provider is not valid: begin again."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Claims of the provider about a person."""

    issuer: str
    subject: str
    #: name that they would like to have
    name: str
    email: str | None
    groups: Sequence[str]


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenID provider, as it describes itself."""

    settings: Settings
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    #: way in which the dashboard shows its secret
    secret_by: str

    def address(self, *, redirect: str, state: str, nonce: str, verifier: str) -> str:
        """The address at the provider where the person signs in.

        Args:
            redirect: address of ours that the browser is sent back to.
            state: comes back with the browser.
            nonce: comes back in the signed token.
            verifier: of PKCE.
        """
        with self._client(redirect) as client:
            url, _ = client.create_authorization_url(
                self.authorization_endpoint, state=state, nonce=nonce, code_verifier=verifier
            )
        return str(url)

    def claims(self, *, code: str, redirect: str, nonce: str, verifier: str) -> Claims:
        """Exchange a code for the signed token, and check it.

        Raises:
            ProviderAway: the provider cannot be asked.
            SignInRefused: it refuses the code, or the token is not valid.
        """
        from authlib.integrations.base_client import OAuthError

        try:
            with self._client(redirect) as client:
                token = client.fetch_token(
                    self.token_endpoint, grant_type="authorization_code", code=code, code_verifier=verifier
                )
            # without the token that the provider just gave
            with httpx.Client(timeout=_TIMEOUT) as plain:
                keys = _document(plain.get(self.jwks_uri))
        except OAuthError as error:
            raise SignInRefused(f"the provider refuses the code ({_word(error.error)}): begin again") from error
        except (httpx.HTTPError, httpx2.HTTPError) as error:
            # Authlib asks with either of them
            raise ProviderAway(f"the provider does not answer: {first_line(error)}") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise ProviderAway("the provider does not answer as OpenID Connect asks") from error
        signed = token.get("id_token") if isinstance(token, Mapping) else None
        if not isinstance(signed, str):
            raise SignInRefused("the provider gave no id_token: it may not know the scope `openid`")
        return self._checked(signed, keys, nonce)

    def _checked(self, signed: str, keys: Mapping[str, Any], nonce: str) -> Claims:
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        client_id = self.settings.oidc_client_id
        assert client_id is not None
        wanted = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            known = [key for key in keys.get("keys", []) if isinstance(key, dict) and key.get("use", "sig") == "sig"]
            signed_claims = jwt.decode(signed, KeySet.import_key_set({"keys": known}), algorithms=_ALGORITHMS).claims
            wanted.validate(signed_claims)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise SignInRefused(f"the provider's token is not valid ({type(error).__name__}): begin again") from error
        several = isinstance(signed_claims["aud"], list) and len(signed_claims["aud"]) > 1
        if (several or "azp" in signed_claims) and signed_claims.get("azp") != client_id:
            raise SignInRefused("the provider's token was made for another program: begin again")
        return _person(signed_claims, self.settings.oidc_role_claim)

    def _client(self, redirect: str) -> Any:
        from authlib.integrations.httpx_client import OAuth2Client

        secret = self.settings.oidc_client_secret
        return OAuth2Client(
            client_id=self.settings.oidc_client_id,
            client_secret=secret.get_secret_value() if secret is not None else None,
            token_endpoint_auth_method=self.secret_by if secret is not None else "none",
            scope=self.settings.oidc_scopes,
            redirect_uri=redirect,
            code_challenge_method="S256",
            timeout=_TIMEOUT,
        )


def is_configured(settings: Settings) -> bool:
    """Return True if people may sign in through a provider."""
    return settings.oidc_issuer is not None and settings.oidc_client_id is not None


def find_provider(settings: Settings) -> Provider:
    """Ask the provider to describe itself (OpenID Connect Discovery 1.0).

    Raises:
        UsageError: no provider is set, its address is not https, or the package for it is missing.
        ProviderAway: it does not answer, or not as it should.
    """
    issuer = settings.oidc_issuer
    if issuer is None or settings.oidc_client_id is None:
        raise UsageError("no OpenID provider is set: give SARING_OIDC_ISSUER and SARING_OIDC_CLIENT_ID")
    if not _is_safe(issuer):
        raise UsageError("SARING_OIDC_ISSUER must begin with https://, unless it is on this machine")
    try:
        import authlib  # noqa: F401
        import joserfc  # noqa: F401
    except ImportError as error:
        raise UsageError('signing in through a provider needs a package: pip install "saring[oidc]"') from error
    try:
        with httpx.Client(timeout=_TIMEOUT) as client:
            about = _document(client.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration"))
    except httpx.HTTPError as error:
        raise ProviderAway(f"the provider does not answer: {first_line(error)}") from error
    except ValueError as error:
        raise ProviderAway("the provider does not describe itself as OpenID Connect asks") from error
    if about.get("issuer") != issuer:
        raise ProviderAway("the provider names itself otherwise: SARING_OIDC_ISSUER must be exactly its own name")
    authorization, token, keys = (
        str(about.get(name, "")) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
    )
    if not all(map(_is_safe, (authorization, token, keys))):
        raise ProviderAway("the provider gives addresses that are missing, or not https")
    ways = about.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    by_post = "client_secret_basic" not in ways and "client_secret_post" in ways
    way = "client_secret_post" if by_post else "client_secret_basic"
    return Provider(settings, issuer, authorization, token, keys, way)


def role_of(claims: Claims, settings: Settings) -> Role | None:
    """The role that a person's groups give: the highest of them; None: none of them does."""
    pairs = (pair.rpartition("=") for pair in settings.oidc_roles)
    roles = [Role(role) for group, _, role in pairs if group in claims.groups]
    return max(roles, key=lambda role: role.rank, default=None)


def _person(signed_claims: Mapping[str, Any], claim: str | None) -> Claims:
    def words(name: str) -> str:
        value = signed_claims.get(name)
        return value if isinstance(value, str) else ""

    email = words("email") if signed_claims.get("email_verified", True) is not False else ""
    groups = signed_claims.get(claim, []) if claim is not None else []
    groups = [groups] if isinstance(groups, str) else groups
    return Claims(
        signed_claims["iss"],
        signed_claims["sub"],
        words("preferred_username") or email.partition("@")[0] or words("name"),
        email[:254] or None,
        tuple(group for group in groups if isinstance(group, str)) if isinstance(groups, list) else (),
    )


def _document(answer: httpx.Response) -> dict[str, Any]:
    answer.raise_for_status()
    if len(answer.content) > _LARGEST:
        raise ValueError("too large")
    read = answer.json()
    if not isinstance(read, dict):
        raise TypeError("not an object")
    return read


def _is_safe(address: str) -> bool:
    """Return True if nobody on the way can read or change what is sent to an address."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host)
    if parts.scheme != "http":
        return False
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _word(value: object) -> str:
    return "".join(letter for letter in str(value) if letter.isalnum() or letter in "_-")[:40]
