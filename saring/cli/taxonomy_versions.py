"""The commands on versions of the taxonomy: which were used here, and how two of them differ."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from pipeline.plural import counted
from saring.actions.guidelines import judgements_by_version, taxonomy_change, taxonomy_versions
from saring.cli import output

#: how words that went and came are marked on a terminal and in a file
_MARKS = {"same": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}


def versions_command(as_json: output.JsonFlag = False) -> None:
    """Show the versions of the taxonomy that were used here, with the judgements made under each.

    Example: saring taxonomy versions
    """
    home = output.home()
    uses = {entry["version"]: entry for entry in judgements_by_version(home)["versions"]}
    kept = {version.version: version for version in taxonomy_versions(home)}
    versions = []
    for version in dict.fromkeys([*kept, *uses]):
        known, use = kept.get(version), uses.get(version)
        versions.append(
            {
                "version": version,
                "current": known is not None and known.current,
                "kept": known is not None,
                "first_seen": known.first_seen if known is not None else None,
                "judgements": use["judgements"] if use is not None else 0,
                "first": use["first"] if use is not None else None,
                "last": use["last"] if use is not None else None,
            }
        )
    output.emit({"versions": versions}, as_json=as_json, say=_say_versions)


def changes_command(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A version of `saring taxonomy versions`.")],
    after: Annotated[str | None, typer.Argument(metavar="[AFTER]", help="Default: the one in force.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Show the differences between two versions of the taxonomy: labels, words of definitions, examples.

    Example: saring taxonomy changes 1f2e3d4c5b6a7988
    """
    change = taxonomy_change(output.home(), before, after)
    output.emit(asdict(change), as_json=as_json, say=_say_change)


def _say_versions(result: dict[str, Any]) -> None:
    out = output.out(least_width=90)
    table = Table(box=None)
    for column in ("version", "first used", "last judgement", "content"):
        table.add_column(column)
    table.add_column("judgements", justify="right")
    for version in result["versions"]:
        table.add_row(
            version["version"],
            str(version["first_seen"] or version["first"] or "-")[:10],
            str(version["last"] or "-")[:10],
            "in force" if version["current"] else "kept" if version["kept"] else "not kept",
            f"{version['judgements']:,}",
        )
    out.print(table)


def _say_change(result: dict[str, Any]) -> None:
    out = output.out()
    for name in ("added", "removed"):
        if result[name]:
            out.print(f"{counted(len(result[name]), 'label')} {name}: {', '.join(result[name])}", markup=False)
    if result["reordered"]:
        out.print("the labels stand in another order", markup=False)
    for label in result["changed"]:
        out.print(label["key"], markup=False, style="bold")
        for words in label["words"]:
            text = " ".join(_MARKS[piece["kind"]].format(piece["text"]) for piece in words["pieces"])
            out.print(f"  {words['field']}, {words['of']}: {text}", markup=False, soft_wrap=True)
        for change in label["lists"]:
            named = f"{change['field']}, {change['of']}" if change["of"] else change["field"]
            entries = [f"+ {entry}" for entry in change["added"]] + [f"- {entry}" for entry in change["removed"]]
            out.print(f"  {named}: {'; '.join(entries)}", markup=False, soft_wrap=True)
    if not (result["added"] or result["removed"] or result["changed"] or result["reordered"]):
        out.print("No label differs: the files differ in comments or layout only.", markup=False)
