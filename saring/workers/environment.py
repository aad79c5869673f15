"""The environment of a process that works on runs: a context that is made once, and again when it is out of date."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.runs.stage import WorkContext
from saring.context import Context
from saring.workers.stages import AnyStage, stages_for


@dataclass(frozen=True, slots=True)
class FixedEnvironment:
    """An existing context, for a process that only sends work."""

    home: WorkContext
    stages: Mapping[str, AnyStage]

    def context(self) -> WorkContext:
        """The context."""
        return self.home

    def forget(self) -> None:
        """Do nothing: the maker of the context closes it."""


#: process id, and times of the last change of the settings, the raters and the taxonomy
_Stamp = tuple[int, float, float, float]


class WorkEnvironment:
    """The stages that workers can run, and a context for them.

    The context serves all tasks of a process, because loading encoders and models may take longer than a shard. A new
    context is made after a fork, and after a change of the settings file, the raters file or the taxonomy.
    """

    def __init__(self, make: Callable[[], Context] = Context) -> None:
        self._make = make
        self._ctx: Context | None = None
        self._stamp: _Stamp | None = None

    @property
    def stages(self) -> Mapping[str, AnyStage]:
        """The stages that workers can run, by name."""
        return stages_for(self.context().settings)

    def context(self) -> Context:
        """The context, made again if it is out of date."""
        if self._ctx is None or self._stamp is None or self._stamp != _stamp(self._ctx):
            self.forget()
            ctx = self._make()
            self._ctx, self._stamp = ctx, _stamp(ctx)
        return self._ctx

    def forget(self) -> None:
        """Drop the context, so that the next call makes a new one."""
        if self._ctx is not None and self._stamp is not None:
            # Connections from before a fork belong to the parent process, which closes them.
            self._ctx.close(theirs=self._stamp[0] != os.getpid())
        self._ctx = None


def _stamp(ctx: Context) -> _Stamp:
    taxonomy = ctx.settings.taxonomy_file
    changed = (_changed(ctx.settings.env_file), _changed(ctx.settings.raters_file))
    return os.getpid(), *changed, _changed(taxonomy) if taxonomy is not None else 0.0


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
