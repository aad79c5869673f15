"""The commands of services: `up`, `down`, `status`, `doctor` and `init`."""

from __future__ import annotations

import enum
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.errors import StoreNotReady
from pipeline.plural import counted
from saring.cli import output
from saring.services import (
    LabelStudioAccess,
    ensure_backend,
    ensure_database,
    ensure_keeper,
    ensure_label_studio,
    ensure_worker,
    leave_out,
    loop_status,
    owner_file,
    service_status,
    start_services,
    stop_services,
)

_COLOURS = {"ok": "green", "ready": "green", "warn": "yellow", "busy": "yellow", "fail": "red", "unreachable": "red"}


class Part(enum.StrEnum):
    """Parts that `saring up` may leave out. All other commands need the database and the broker."""

    LABEL_STUDIO = "label-studio"
    BACKEND = "backend"
    WORKER = "worker"
    KEEPER = "keeper"


def up_command(
    without: Annotated[
        list[Part] | None,
        typer.Option("--without", help="Do not start this service, until the next `up`. May be repeated."),
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Start all services of this home: database, broker, Label Studio, ML backend, workers, scheduler and watchdog.

    The scheduler (beat) sends regular jobs to the workers. The watchdog (keeper) restarts services that stop. The first
    time, Label Studio is installed in its own environment, which takes some minutes and 1 GB. The services run until
    `saring down`. Commands that need the database or the broker start them too. Nothing starts what is left out with
    --without, until you run `saring up` again.

    The dashboard and Label Studio listen on free ports, which are kept. SARING_BACKEND_PORT and
    SARING_LABEL_STUDIO_PORT choose others.

    Example: saring up --without label-studio
    """
    settings = output.home().settings
    left_out = frozenset(without or ())
    access: LabelStudioAccess | None = None
    with output.progress_bar() as progress:
        start_services(settings, progress)
        # Recorded before anything starts: jobs of a running worker look at it.
        leave_out(settings, left_out)
        if Part.LABEL_STUDIO not in left_out:
            access = ensure_label_studio(settings, progress)
        if Part.BACKEND not in left_out:
            ensure_backend(settings, progress)
        if Part.WORKER not in left_out:
            ensure_worker(settings, progress)
        if Part.KEEPER not in left_out:
            ensure_keeper(settings, sorted(left_out), progress)
    result: dict[str, Any] = {
        "home": settings.home,
        "services": [asdict(status) for status in (*service_status(settings), *loop_status(settings))],
        "label_studio": None,
        "dashboard": _dashboard() if Part.BACKEND not in left_out else None,
    }
    if access is not None:
        kept = owner_file(settings) if access.embedded else None
        result["label_studio"] = {"url": access.url, "email": access.email, "password_file": kept}
    output.emit(result, as_json=as_json, say=_say_up)


def down_command(as_json: output.JsonFlag = False) -> None:
    """Stop all services of this home. Workers first finish their current jobs, for a minute at most.

    Your own servers (SARING_DATABASE_URL, SARING_REDIS_URL, LABEL_STUDIO_URL) are not stopped.

    Example: saring down
    """
    stopped = stop_services(output.home().settings)
    output.emit({"stopped": stopped}, as_json=as_json, say=_say_stopped)


def status_command(as_json: output.JsonFlag = False) -> None:
    """Show the state of the work and of the services, what is wrong, and how much the store holds. It starts nothing.

    Example: saring status --json
    """
    settings = output.home().settings
    services = service_status(settings)
    result: dict[str, Any] = {
        "home": settings.home,
        "services": [asdict(status) for status in (*services, *loop_status(settings))],
        "database": None,
        "work": None,
    }
    if services[0].state == "ready":
        # Where nothing runs, nothing is asked of the store.
        from pipeline.store.migrate import current_and_head
        from pipeline.store.overview import count_rows, size_bytes
        from pipeline.store.session import make_engine, open_session
        from saring.actions.attention import needs_attention
        from saring.actions.attention_facts import read_facts
        from saring.actions.encoders import known_spaces
        from saring.actions.outlook import outlook

        engine = make_engine(ensure_database(settings))
        current, head = current_and_head(engine)
        with open_session(engine) as session:
            result["database"] = {
                "bytes": size_bytes(session),
                "schema": current,
                "schema_is_current": current == head,
                "rows": count_rows(session) if current == head else None,
                "encoders": [asdict(space) for space in known_spaces(session, settings)] if current == head else None,
            }
            if current == head:
                result["work"] = asdict(outlook(session, settings))
                items = needs_attention(read_facts(session, settings))
                result["work"]["attention"] = [
                    {"kind": item.kind, "severity": item.severity.name.lower(), "sentence": item.sentence}
                    | {"mend": asdict(item.mend)}
                    for item in items
                ]
        engine.dispose()
    output.emit(result, as_json=as_json, say=_say_status)


def doctor_command(as_json: output.JsonFlag = False) -> None:
    """Check everything that Saring needs, and show how to fix what is wrong.

    The exit status is 1 if something that is needed does not work. It starts nothing.

    Example: saring doctor
    """
    from saring import doctor

    checks = doctor.examine(output.home().settings)
    failed = any(check.verdict is doctor.Verdict.FAIL for check in checks)
    output.emit({"ok": not failed, "checks": [asdict(check) for check in checks]}, as_json=as_json, say=_say_checks)
    if failed:
        raise typer.Exit(1)


def init_command(as_json: output.JsonFlag = False) -> None:
    """Create the home, start the database, and update its schema. You can repeat this safely.

    Example: saring init
    """
    from pipeline.store.migrate import current_and_head, upgrade
    from pipeline.store.session import make_engine
    from saring.backup.moved import follow_home

    settings = output.home().settings
    with output.progress_bar() as progress:
        engine = make_engine(ensure_database(settings, progress))
    before, _ = current_and_head(engine)
    upgrade(engine)
    after, _ = current_and_head(engine)
    followed = follow_home(engine, settings.home)
    engine.dispose()
    result = {"home": settings.home, "schema_before": before, "schema": after, "moved_files": followed}
    output.emit(result, as_json=as_json, say=_say_init)


def _say_services(result: dict[str, Any]) -> None:
    table = Table(box=None)
    for column in ("service", "state", "version", "process", "up for", "where"):
        table.add_column(column, overflow="fold")
    for service in result["services"]:
        state = service["state"]
        table.add_row(
            service["name"],
            f"[{_COLOURS.get(state, 'dim')}]{state}[/]",
            service["version"] or "-",
            str(service["pid"] or "-"),
            "-" if service["uptime_s"] is None else _span(service["uptime_s"]),
            escape(_where(service)),
        )
    output.out().print(f"home {result['home']}", soft_wrap=True, markup=False)
    output.out().print(table)


def _where(service: dict[str, Any]) -> str:
    if service["detail"]:
        return str(service["detail"])
    # A person cannot use the path of a socket, but can use an address.
    return str(service["address"]) if not service["embedded"] or service["address"].startswith("http") else "embedded"


def _dashboard() -> dict[str, Any] | None:
    """The dashboard's address and first link; None where the schema is not this version's."""
    from saring.actions.dashboard import dashboard_access

    try:
        return dashboard_access(output.home())
    except StoreNotReady as error:
        output.warn(f"the dashboard cannot be used yet: {error}")
        return None


def _say_up(result: dict[str, Any]) -> None:
    _say_services(result)
    dashboard, label_studio = result["dashboard"], result["label_studio"]
    if dashboard is not None:
        output.out().print(f"\nDashboard: {dashboard['url']}", soft_wrap=True, markup=False)
        if dashboard["first_link"]:
            line = f"open this once, within 24 hours, to choose the owner's password: {dashboard['first_link']}"
            output.out().print(line, soft_wrap=True, markup=False)
    if label_studio is None:
        return
    output.out().print(f"\nLabel Studio: {label_studio['url']}", soft_wrap=True, markup=False)
    if label_studio["email"]:
        line = f"log in as {label_studio['email']}; the password is in {label_studio['password_file']}"
        output.out().print(line, soft_wrap=True, markup=False)


def _say_stopped(result: dict[str, Any]) -> None:
    *others, last = result["stopped"] or [""]
    names = f"{', '.join(others)} and {last}" if others else last
    output.out().print(f"stopped {names}" if last else "nothing was running", soft_wrap=True)


def _say_work(result: dict[str, Any]) -> None:
    work, out = result["work"], output.out()
    away = [service for service in result["services"] if service["state"] in ("unreachable", "busy")]
    wrong = [f"{each['name']} is {each['state']}: {each['detail'] or 'see `saring doctor`'}" for each in away]
    lines: list[str] = []
    if work is not None:
        wrong += work["wrong"]
        champion = "none yet"
        if work["champion"]:
            champion = f"{work['champion']}, trained {_ago(work['champion_at'])}"
        lines = [
            f"model:         {champion}",
            f"tasks:         {work['open_tasks']:,} open, {work['done_tasks']:,} done, {work['queued']:,} in the queue",
            f"new answers:   {work['answers']:,} since the last training ({_ago(work['trained_at'])})",
            f"next training: {work['next_training']}",
            f"disagreements: {counted(work['disagreements'], 'task')} waiting for another person",
            f"last backup:   {_ago(work['backup_at'])}{f', {backup}' if (backup := work['backup']) else ''}",
        ]
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
    for problem in wrong:
        out.print(f"wrong:         {problem}", markup=False, soft_wrap=True, style="red")
    if all(service["state"] == "stopped" for service in result["services"]):
        out.print("Nothing runs: `saring up` starts everything.", markup=False)
    if lines and not wrong:
        out.print("wrong:         nothing", markup=False)
    for item in work["attention"] if work is not None else ():
        # What is wrong is above, each with its command, and so is the backup.
        if item["severity"] == "wanted" and item["kind"] not in ("no-backup", "old-backup"):
            command = f": `{item['mend']['target']}`" if item["mend"]["kind"] == "command" else ""
            out.print(f"to do:         {item['sentence'].rstrip('.')}{command}", markup=False, soft_wrap=True)
    if lines or wrong:
        out.print()


def _ago(at: datetime | None) -> str:
    return "never" if at is None else f"{_span(max(0.0, (datetime.now(UTC) - at).total_seconds()))} ago"


def _say_status(result: dict[str, Any]) -> None:
    _say_work(result)
    _say_services(result)
    database = result["database"]
    if database is None:
        return
    output.out().print(f"\ndatabase {database['bytes'] / 1e6:.1f} MB, schema {database['schema'] or 'none'}")
    if database["rows"] is None:
        output.out().print("The schema is not the one of this version: run `saring init`.")
        return
    table = Table(box=None)
    table.add_column("table")
    table.add_column("rows", justify="right")
    for name, rows in database["rows"].items():
        table.add_row(name, f"{rows:,}")
    output.out().print(table)
    from saring.actions.encoders import spaces_in_words

    for line in spaces_in_words(database["encoders"]):
        output.out().print(line, markup=False, soft_wrap=True)


def _say_checks(result: dict[str, Any]) -> None:
    table = Table(box=None)
    for column in ("", "check", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for check in result["checks"]:
        verdict = check["verdict"]
        table.add_row(
            f"[{_COLOURS[verdict]}]{verdict}[/]", check["name"], escape(check["found"]), escape(check["mend"])
        )
    output.out().print(table)


def _say_init(result: dict[str, Any]) -> None:
    state = "is up to date" if result["schema_before"] == result["schema"] else f"is now {result['schema']}"
    output.out().print(f"{result['home']} is ready: the schema {state}", soft_wrap=True, markup=False)
    if result["moved_files"]:
        files = counted(result["moved_files"], "file", "files")
        output.out().print(f"The home was moved: the store has the new place of {files}.", markup=False)


def _span(seconds: float) -> str:
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if days >= 1:
        return f"{days:.1f} d"
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{minutes:.0f} min" if minutes >= 1 else f"{seconds:.0f} s"
