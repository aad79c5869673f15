"""The commands of accounts: who may open the dashboard, and what each may do there."""

from __future__ import annotations

import sys
from dataclasses import asdict
from itertools import islice
from typing import Annotated, Any

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from pipeline.errors import UsageError
from pipeline.plural import counted
from pipeline.store.tables.accounts import Role
from saring.accounts.api_tokens import PER_MINUTE, all_tokens, make_token, revoke_token
from saring.accounts.audit import every_entry, write_entry
from saring.accounts.links import new_link
from saring.accounts.people import (
    Person,
    all_accounts,
    by_name,
    end_sessions,
    set_enabled,
    set_label_studio_user,
    set_role,
)
from saring.accounts.volunteers import add_person
from saring.actions.dashboard import dashboard_url
from saring.cli import output

users_app = typer.Typer(
    add_completion=False, help="Manage the accounts of the dashboard and their roles.", no_args_is_help=True
)

_Name = Annotated[str, typer.Argument(metavar="NAME")]


@users_app.command("list")
def list_command(as_json: output.JsonFlag = False) -> None:
    """Show all accounts with their roles.

    Example: saring users list
    """
    with output.home().begin() as session:
        accounts = [_values(person) for person in all_accounts(session)]
    output.emit({"accounts": accounts}, as_json=as_json, say=_say)


@users_app.command("add")
def add_command(
    name: _Name,
    role: Annotated[Role, typer.Option(help="The role of the account.")] = Role.VIEWER,
    as_json: output.JsonFlag = False,
) -> None:
    """Add an account, and print a link that works once: its person chooses a password with it.

    Example: saring users add aina --role reviewer
    """
    ctx = output.home()
    with ctx.begin() as session:
        person = add_person(session, name, role)
        token = new_link(session, person.id)
        write_entry(session, "users.add", {"name": name, "role": str(role)})
    _say_link({**_values(person), "link": f"{dashboard_url(ctx)}/welcome/{token}"}, as_json)


@users_app.command("link")
def link_command(name: _Name, as_json: output.JsonFlag = False) -> None:
    """Print a link that works once, for 24 hours, to choose a new password with.

    Example: saring users link aina
    """
    ctx = output.home()
    with ctx.begin() as session:
        person = by_name(session, name)
        if person.disabled_at is not None:
            raise UsageError(f"{person.name} is disabled: run `saring users enable {person.name}` first")
        token = new_link(session, person.id)
        write_entry(session, "users.link", {"name": person.name})
    _say_link({**_values(person), "link": f"{dashboard_url(ctx)}/welcome/{token}"}, as_json)


@users_app.command("role")
def role_command(
    name: _Name, role: Annotated[Role, typer.Argument(metavar="ROLE")], as_json: output.JsonFlag = False
) -> None:
    """Change the role of an account: viewer, reviewer, maintainer or owner.

    Example: saring users role aina maintainer
    """
    with output.home().begin() as session:
        person = set_role(session, by_name(session, name).id, role)
        write_entry(session, "users.role", {"name": person.name, "role": str(role)})
    output.emit(_values(person), as_json=as_json, say=lambda row: _say({"accounts": [row]}))


@users_app.command("disable")
def disable_command(name: _Name, as_json: output.JsonFlag = False) -> None:
    """Let an account sign in no more; its sessions and tokens stop working.

    Example: saring users disable aina
    """
    _enable(name, False, as_json)


@users_app.command("enable")
def enable_command(name: _Name, as_json: output.JsonFlag = False) -> None:
    """Let a disabled account sign in again.

    Example: saring users enable aina
    """
    _enable(name, True, as_json)


@users_app.command("label-studio")
def label_studio_command(
    name: _Name,
    user: Annotated[str, typer.Argument(metavar="ID", help='User id in Label Studio; "" removes it.')],
    as_json: output.JsonFlag = False,
) -> None:
    """Note which user of Label Studio an account is: nobody settles a dispute about their own answer.

    Example: saring users label-studio aina 7
    """
    with output.home().begin() as session:
        person = set_label_studio_user(session, by_name(session, name).id, user or None)
        write_entry(session, "users.label_studio", {"name": person.name, "user": user})
    output.emit(_values(person), as_json=as_json, say=lambda row: _say({"accounts": [row]}))


@users_app.command("sign-out")
def sign_out_command(name: _Name, as_json: output.JsonFlag = False) -> None:
    """End all sessions of an account: its person has to sign in again everywhere.

    Example: saring users sign-out aina
    """
    with output.home().begin() as session:
        person = by_name(session, name)
        ended = end_sessions(session, person.id)
        write_entry(session, "users.sign_out", {"name": person.name, "sessions": ended})
    output.emit(
        {"name": person.name, "sessions": ended},
        as_json=as_json,
        say=lambda row: output.out().print(f"{row['name']}: {counted(row['sessions'], 'session')} ended", markup=False),
    )


@users_app.command("tokens")
def tokens_command(as_json: output.JsonFlag = False) -> None:
    """Show the API tokens of all accounts, without the tokens themselves.

    Example: saring users tokens
    """
    with output.home().begin() as session:
        tokens = [asdict(token) for token in all_tokens(session)]
    output.emit({"tokens": tokens}, as_json=as_json, say=_say_tokens)


@users_app.command("make-token")
def make_token_command(
    name: _Name,
    uses: Annotated[str, typer.Option("--for", help="The program that uses it.")],
    role: Annotated[Role, typer.Option(help="The role of the token, at most that of its account.")] = Role.VIEWER,
    per_minute: Annotated[int, typer.Option(min=1, max=1_000_000, help="Requests a minute.")] = PER_MINUTE,
    as_json: output.JsonFlag = False,
) -> None:
    """Make an API token of an account, and print it. It is not stored, so it is printed once.

    Example: saring users make-token aina --for "nightly export"
    """
    with output.home().begin() as session:
        token, secret = make_token(session, by_name(session, name), uses, role, per_minute=per_minute)
        write_entry(
            session, "tokens.make", {"name": uses, "role": str(role), "token": token.prefix, "of": token.account}
        )
    output.emit(
        asdict(token) | {"token": secret},
        as_json=as_json,
        say=lambda row: output.out().print(row["token"], markup=False, soft_wrap=True),
    )


@users_app.command("revoke-token")
def revoke_token_command(
    token: Annotated[int, typer.Argument(metavar="ID", help="As `saring users tokens` shows it.")],
    as_json: output.JsonFlag = False,
) -> None:
    """Take an API token out of use for ever.

    Example: saring users revoke-token 3
    """
    with output.home().begin() as session:
        revoke_token(session, token)
        write_entry(session, "tokens.revoke", {"token_id": token})
    output.emit({"revoked": token}, as_json=as_json, say=lambda _: output.out().print("revoked"))


@users_app.command("log")
def log_command(
    act: Annotated[str | None, typer.Option(help="Only this act, or acts that begin with it.")] = None,
    name: Annotated[str | None, typer.Option("--who", help="Only acts of this account.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The number of entries to show; all, if not given.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Show the audit log, newest first. With --json it is one JSON object a line.

    Example: saring users log --act users
    """
    with output.home().begin() as session:
        account = by_name(session, name).id if name is not None else None
        for entry in islice(every_entry(session, act=act, account_id=account), limit):
            if as_json:
                sys.stdout.write(orjson.dumps(asdict(entry)).decode() + "\n")
            else:
                values = ", ".join(f"{key}={value}" for key, value in entry.details.items())
                line = f"{entry.at:%Y-%m-%d %H:%M}  {entry.who}  {entry.act}  {values}"
                output.out().print(line, markup=False, soft_wrap=True)


def _enable(name: str, enabled: bool, as_json: bool) -> None:
    with output.home().begin() as session:
        person = set_enabled(session, by_name(session, name).id, enabled)
        write_entry(session, "users.enable" if enabled else "users.disable", {"name": person.name})
    output.emit(_values(person), as_json=as_json, say=lambda row: _say({"accounts": [row]}))


def _values(person: Person) -> dict[str, Any]:
    values = asdict(person)
    values["label_studio_user"] = values.pop("rater")
    return values


def _say_link(result: dict[str, Any], as_json: bool) -> None:
    def say(row: dict[str, Any]) -> None:
        output.out().print(f"{row['name']} ({row['role']}) opens this once, within 24 hours:", markup=False)
        output.out().print(row["link"], markup=False, soft_wrap=True)

    output.emit(result, as_json=as_json, say=say)


def _say_tokens(result: dict[str, Any]) -> None:
    if not result["tokens"]:
        output.out().print("There are no API tokens yet.", markup=False)
        return
    table = Table(box=None)
    for column in ("id", "account", "used by", "token", "role", "last used", "state"):
        table.add_column(column, overflow="fold")
    for row in result["tokens"]:
        table.add_row(
            str(row["id"]),
            escape(row["account"]),
            escape(row["name"]),
            f"{row['prefix']}…",
            row["role"],
            f"{row['last_used_at']:%Y-%m-%d %H:%M}" if row["last_used_at"] else "never",
            "revoked" if row["revoked_at"] else "active",
        )
    output.out(least_width=100).print(table)


def _say(result: dict[str, Any]) -> None:
    if not result["accounts"]:
        output.out().print("There are no accounts yet: `saring up` prints a link for the first owner.", markup=False)
        return
    table = Table(box=None)
    for column in ("name", "role", "password", "Label Studio user", "state"):
        table.add_column(column, overflow="fold")
    for row in result["accounts"]:
        table.add_row(
            escape(row["name"]),
            row["role"] or "-",
            "set" if row["has_password"] else "not yet",
            row["label_studio_user"] or "-",
            "disabled" if row["disabled_at"] else "active",
        )
    output.out().print(table)
