"""What a process of Saring's brings to work on runs: a context that is made once and noticed to be out of date."""

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
    """A context that is there already, for a process that sends work and does none."""

    home: WorkContext
    stages: Mapping[str, AnyStage]

    def context(self) -> WorkContext:
        """The context."""
        return self.home

    def forget(self) -> None:
        """Keep it: whoever made it looks after it."""


#: which process, and when its settings and taxonomy were last changed
_Stamp = tuple[int, float, float, float]


class WorkEnvironment:
    """The stages that can be spread, and a context for them.

    The context is kept for all tasks of a process, since encoders, models and connections take longer to make than a
    shard may take. It is made anew after a fork, and when the settings file, the raters file or the taxonomy changed.
    """

    def __init__(self, make: Callable[[], Context] = Context) -> None:
        self._make = make
        self._ctx: Context | None = None
        self._stamp: _Stamp | None = None

    @property
    def stages(self) -> Mapping[str, AnyStage]:
        """What can be spread, by name."""
        return stages_for(self.context().settings)

    def context(self) -> Context:
        """What to work with."""
        if self._ctx is None or self._stamp is None or self._stamp != _stamp(self._ctx):
            self.forget()
            ctx = self._make()
            self._ctx, self._stamp = ctx, _stamp(ctx)
        return self._ctx

    def forget(self) -> None:
        """Make the context anew when it is next asked for."""
        if self._ctx is not None and self._stamp is not None:
            # connections that a fork brought along are the parent's to close
            self._ctx.close(theirs=self._stamp[0] != os.getpid())
        self._ctx = None


def _stamp(ctx: Context) -> _Stamp:
    taxonomy = ctx.settings.taxonomy
    changed = (_changed(ctx.settings.env_file), _changed(ctx.settings.raters_file))
    return os.getpid(), *changed, _changed(taxonomy) if taxonomy is not None else 0.0


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
