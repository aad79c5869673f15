"""The commands that exchange tasks and annotations with Label Studio."""

from __future__ import annotations

import typer

from saring.cli.sync_deletions import deletions_command
from saring.cli.sync_exclude import exclude_command, include_command
from saring.cli.sync_pull import pull_command, reconcile_command
from saring.cli.sync_push import predict_ahead_command, push_command, why_command
from saring.cli.sync_quality import quality_command
from saring.cli.sync_setup import setup_command

sync_app = typer.Typer(
    help="Push tasks to Label Studio, and pull annotations from it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
sync_app.command("setup")(setup_command)
sync_app.command("push")(push_command)
sync_app.command("predict")(predict_ahead_command)
sync_app.command("pull")(pull_command)
sync_app.command("reconcile")(reconcile_command)
sync_app.command("why")(why_command)
sync_app.command("quality")(quality_command)
sync_app.command("deletions")(deletions_command)
sync_app.command("exclude")(exclude_command)
sync_app.command("include")(include_command)
