"""The commands of policies: how strict the moderation endpoint is for an application."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.errors import UsageError
from saring.actions.moderation import policy_figures, remove_policy, set_policy
from saring.cli import output

policies_app = typer.Typer(
    add_completion=False,
    help="Set how strict the moderation endpoint is for an application.",
    no_args_is_help=True,
)


@policies_app.command("list")
def list_command(as_json: output.JsonFlag = False) -> None:
    """Show all policies, with the precision and recall to expect of each.

    The figures are those of the champion on its dev texts.

    Example: saring policies list
    """
    figures = [policy.to_dict() for policy in policy_figures(output.home())]
    output.emit({"policies": figures}, as_json=as_json, say=_say)


@policies_app.command("set")
def set_command(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    default: Annotated[
        str | None,
        typer.Option(help="Target of all other labels: precision=P, recall=R or f1; unset: the model's own."),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help='Target of one label, as "hate: recall=0.9"; repeat it for more.')
    ] = None,
    store_texts: Annotated[
        bool | None,
        typer.Option(
            "--store-texts/--no-store-texts",
            help="Keep the texts that applications ask about, masked; unset: as before, and not for a new policy.",
        ),
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Make a policy, or change it. Applications follow within seconds.

    Example: saring policies set forum --default precision=0.9 --label "self-harm: recall=0.95"
    """
    targets = {}
    for given in label or ():
        key, colon, target = given.rpartition(":")
        if not colon:
            raise UsageError(f'--label {given!r} is not "LABEL: TARGET", for example "hate: recall=0.9"')
        targets[key.strip()] = target.strip()
    ctx = output.home()
    set_policy(ctx, name, default, targets, store_texts=store_texts)
    figures = [policy.to_dict() for policy in policy_figures(ctx) if policy.policy.name == name]
    output.emit({"policies": figures}, as_json=as_json, say=_say)


@policies_app.command("remove")
def remove_command(name: Annotated[str, typer.Argument(metavar="NAME")], as_json: output.JsonFlag = False) -> None:
    """Remove a policy that no API token uses.

    Example: saring policies remove forum
    """
    remove_policy(output.home(), name)
    output.emit({"removed": name}, as_json=as_json, say=lambda row: output.out().print(f"removed {row['removed']}"))


def _say(result: dict[str, Any]) -> None:
    for policy in result["policies"]:
        title = policy["name"] + (" (texts are kept)" if policy["store_texts"] else "")
        table = Table(box=None, title=escape(title), title_justify="left")
        for column in ("label", "target", "threshold", "precision", "recall"):
            table.add_column(column, justify="left" if column in ("label", "target") else "right")
        for row in policy["thresholds"]:
            target = row["target"]
            if not row["reached"]:
                target += " (not reached)" if row["precision"] is not None else " (no figures: train again)"
            values = ["-" if row[name] is None else f"{row[name]:.2f}" for name in ("threshold", "precision", "recall")]
            table.add_row(escape(row["label"]), target, *values)
        output.out().print(table)
        if not policy["thresholds"]:
            output.out().print("  there is no champion yet, so there are no figures", markup=False)
