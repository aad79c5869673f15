"""The command line. Each command is thin: it reads its arguments, calls one function, and reports."""

from __future__ import annotations

import gc
import logging
import os
import sys
from typing import TYPE_CHECKING

import typer

from pipeline.errors import SaringError
from saring.cli import output
from saring.cli.lazy import LazyGroup

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

#: new objects between two garbage collections: imports make a hundred thousand objects, and few are garbage
_NEW_OBJECTS = 20_000
#: exit status of a command that was stopped with Ctrl-C
_INTERRUPTED = 130

app = typer.Typer(
    name="saring",
    cls=LazyGroup,
    help="Label Malaysian social text with people and machines, and train a classifier from it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            installed = version("saring")
        except PackageNotFoundError:
            installed = "unknown"
        typer.echo(f"saring {installed}")
        raise typer.Exit


@app.callback()
def _options(
    _: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version."),
    verbose: int = typer.Option(0, "--verbose", "-v", count=True, help="Log on standard error; -vv logs more."),
) -> None:
    logging.basicConfig(
        level=(logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)],
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


def main() -> None:
    """Run the command line; a failure ends in one line that says what is wrong and what to do.

    Exit status: 0 finished, 1 failed, 2 wrong usage, 130 interrupted.
    """
    gc.set_threshold(_NEW_OBJECTS)
    try:
        app()
    except SaringError as error:
        _fail(str(error), error, error.exit_status)
    except _database_errors() as error:
        _fail(f"the database refused the request or stopped: {_first_line(error.orig)}; see `saring doctor`", error)
    except BrokenPipeError:
        # The reader of our output has closed it. Nothing more can be written there, not even when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.strerror or error}: {error.filename or 'no file named'}; incomplete files are not used", error)
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            output.err.print("saring: stopped; run the same command to continue")
        raise


def _database_errors() -> tuple[type[DBAPIError], ...]:
    """The errors of the database's client; none where it was never imported."""
    return (sys.modules["sqlalchemy.exc"].DBAPIError,) if "sqlalchemy.exc" in sys.modules else ()


def _first_line(error: BaseException | None) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0]


def _fail(message: str, error: BaseException, status: int = 1) -> None:
    # The traceback may quote rows, so it is shown only when debugging is asked for.
    logging.getLogger(__name__).debug("the command failed", exc_info=error)
    output.err.print(f"saring: {message}", style="red", markup=False, soft_wrap=True)
    sys.exit(status)
