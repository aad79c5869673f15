"""Commands that are loaded when they are called: `saring status` does not wait for the packages of training."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

#: Commands in the order of the help page, each with the `module:name` of its function or of a Typer with subcommands.
COMMANDS: Mapping[str, str] = {
    "init": "saring.cli.services:init_command",
    "doctor": "saring.cli.services:doctor_command",
    "up": "saring.cli.services:up_command",
    "down": "saring.cli.services:down_command",
    "status": "saring.cli.services:status_command",
    "demo": "saring.cli.demo:demo_command",
    "taxonomy": "saring.cli.taxonomy:taxonomy_app",
    "ingest": "saring.cli.ingest:ingest_command",
    "import": "saring.cli.ingest:import_command",
    "judge": "saring.cli.judge:judge_command",
    "raters": "saring.cli.raters:raters_app",
    "embed": "saring.cli.embed:embed_command",
    "encoders": "saring.cli.encoders:encoders_app",
    "translate": "saring.cli.translate:translate_command",
    "filter": "saring.cli.filter:filter_app",
    "pseudolabel": "saring.cli.pseudolabel:pseudolabel_command",
    "pretrain": "saring.cli.pretrain:pretrain_command",
    "train": "saring.cli.train:train_command",
    "evaluate": "saring.cli.evaluate:evaluate_command",
    "predict": "saring.cli.predict:predict_command",
    "models": "saring.cli.models:models_app",
    "probes": "saring.cli.probes:probes_app",
    "dataset": "saring.cli.dataset:dataset_app",
    "sources": "saring.cli.sources:sources_app",
    "erase": "saring.cli.erase:erase_command",
    "explore": "saring.cli.explore:explore_command",
    "drift": "saring.cli.drift:drift_command",
    "search": "saring.cli.search:search_command",
    "run": "saring.cli.run:run_command",
    "queue": "saring.cli.queue:queue_app",
    "review": "saring.cli.review:review_app",
    "audit": "saring.cli.audit:audit_command",
    "sync": "saring.cli.sync:sync_app",
    "serve": "saring.cli.serve:serve_command",
    "users": "saring.cli.users:users_app",
    "policies": "saring.cli.policies:policies_app",
    "worker": "saring.cli.worker:worker_command",
    "beat": "saring.cli.worker:beat_command",
    "keep": "saring.cli.worker:keep_command",
    "runs": "saring.cli.runs:runs_app",
    "schedule": "saring.cli.schedule:schedule_app",
    "notices": "saring.cli.notices:notices_app",
    "backup": "saring.cli.backup:backup_command",
    "restore": "saring.cli.backup:restore_command",
}


#: groups of the help page, in its order; a command of no group goes into the first
PANELS: Mapping[str, tuple[str, ...]] = {
    "Begin": ("init", "demo", "taxonomy", "doctor", "status"),
    "Texts and labels": ("ingest", "import", "sources", "erase", "translate", "embed", "encoders", "judge", "raters"),
    "Filter and learn": (
        *("run", "filter", "pseudolabel", "pretrain", "train", "evaluate", "predict", "models", "probes"),
    ),
    "People": ("queue", "review", "audit", "sync", "users"),
    "Look and share": ("search", "explore", "drift", "dataset", "policies"),
    "Services and upkeep": (
        *("up", "down", "serve", "worker", "beat", "keep", "runs", "schedule", "notices", "backup", "restore"),
    ),
}


def _panel_of(name: str) -> str | None:
    return next((panel for panel, names in PANELS.items() if name in names), None)


#: key in a context's `meta`: only the help texts of commands are needed
_LISTING = "saring.listing"


def help_of(target: str) -> str:
    """The help text of a `module:name`, read from the module's source.

    Of a function it is the docstring; of a Typer its `help`, or the docstring of its callback.
    """
    module, _, name = target.partition(":")
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None, f"no module {module}"
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and (node.name == name or _is_callback_of(node, name)):
            return ast.get_docstring(node) or ""
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and ast.unparse(node.targets[0]) == name:
            for keyword in node.value.keywords:
                if keyword.arg == "help" and isinstance(keyword.value, ast.Constant):
                    return str(keyword.value.value)
    return ""


def _is_callback_of(node: ast.FunctionDef, app: str) -> bool:
    return any(ast.unparse(decorator).startswith(f"{app}.callback(") for decorator in node.decorator_list)


class LazyGroup(TyperGroup):
    """A group with its own commands, then the commands of `later`, which are imported when they are called."""

    later: Mapping[str, str] = COMMANDS

    def list_commands(self, ctx: Any) -> list[str]:
        """Every command, in order; on the help page in the order of its groups."""
        names = [*super().list_commands(ctx), *self.later]
        if ctx is not None and ctx.meta.get(_LISTING) and self.later is COMMANDS:
            names.sort(key=[name for panel in PANELS.values() for name in panel].index)
        return names

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page without loading any command: loading all of them takes seconds."""
        ctx.meta[_LISTING] = True
        super().format_help(ctx, formatter)

    def get_command(self, ctx: Any, name: str) -> Any:
        """The command of that name, loaded now; None if there is none."""
        if name not in self.later:
            return super().get_command(ctx, name)
        if ctx.meta.get(_LISTING):
            return TyperCommand(name, help=help_of(self.later[name]), rich_help_panel=_panel_of(name))
        module, _, attribute = self.later[name].partition(":")
        target = getattr(import_module(module), attribute)
        if not isinstance(target, typer.Typer):
            app = typer.Typer(
                add_completion=False, rich_markup_mode="rich", context_settings={"help_option_names": ["-h", "--help"]}
            )
            app.command(name)(target)
            target = app
        command = typer.main.get_command(target)
        command.name = name
        return command
