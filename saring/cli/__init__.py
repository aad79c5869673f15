"""The command line. Each command is thin: it reads its arguments, calls one function, and reports."""

from __future__ import annotations

import logging
import sys

import typer
from sqlalchemy.exc import DBAPIError

from pipeline.errors import SaringError
from saring.cli import common

#: what the shell calls a command that was stopped with Ctrl-C
_INTERRUPTED = 130

app = typer.Typer(
    name="saring",
    help="Sieve Malaysian social text into labelled data and a safe-for-work classifier.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _options(
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Log what is done, on standard error."),
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


def main() -> None:
    """Run the command line; failures end in one line that says what and what to do.

    Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    try:
        app()
    except SaringError as error:
        _fail(str(error), error.exit_status)
    except DBAPIError as error:
        _fail(f"the database refused or went away: {_first_line(error.orig)}; see `saring doctor`", 1)
    except OSError as error:
        _fail(f"{error.strerror or error}: {error.filename or 'no file named'}; nothing half-written is used", 1)
    except SystemExit as done:
        if done.code == _INTERRUPTED:
            common.err.print("saring: stopped; the same command goes on from here")
        raise


def _first_line(error: BaseException | None) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0]


def _fail(message: str, status: int) -> None:
    logging.getLogger(__name__).info("traceback of the failure", exc_info=True)
    common.err.print(f"saring: {message}", style="red", markup=False, soft_wrap=True)
    sys.exit(status)
