"""Saring: label Malaysian social text with people and machines, and train a classifier from it.

`Home` is a home folder with all actions as methods. `load_model` needs neither a home nor a database. Names are
imported when they are first used, so `import saring` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.errors import SaringError
    from pipeline.filters.cuts import Cut
    from pipeline.judgement import RaterKind
    from pipeline.learning.predict import Prediction
    from pipeline.learning.pseudolabel import PseudoConfig
    from pipeline.progress import Progress
    from pipeline.queue.config import QueueConfig, QueueReport
    from pipeline.raters.imported import ImportReport
    from pipeline.raters.judge import JudgeReport
    from pipeline.runs.executor import Executor, Inline
    from pipeline.settings import Settings, load_settings
    from pipeline.taxonomy import Taxonomy, load_taxonomy
    from pipeline.texts.ingest import IngestReport, SourceInfo
    from saring.actions.filtering import Filtered
    from saring.actions.training import Trained
    from saring.home import Home
    from saring.model import Model, load_model
    from saring.workers.executor import Workers

__all__ = [
    "Cut",
    "Executor",
    "Filtered",
    "Home",
    "ImportReport",
    "IngestReport",
    "Inline",
    "JudgeReport",
    "Model",
    "Prediction",
    "Progress",
    "PseudoConfig",
    "QueueConfig",
    "QueueReport",
    "RaterKind",
    "SaringError",
    "Settings",
    "SourceInfo",
    "Taxonomy",
    "Trained",
    "Workers",
    "load_model",
    "load_settings",
    "load_taxonomy",
]

_MODULES = {
    "Cut": "pipeline.filters.cuts",
    "Executor": "pipeline.runs.executor",
    "Filtered": "saring.actions.filtering",
    "Home": "saring.home",
    "ImportReport": "pipeline.raters.imported",
    "IngestReport": "pipeline.texts.ingest",
    "Inline": "pipeline.runs.executor",
    "JudgeReport": "pipeline.raters.judge",
    "Model": "saring.model",
    "Prediction": "pipeline.learning.predict",
    "Progress": "pipeline.progress",
    "PseudoConfig": "pipeline.learning.pseudolabel",
    "QueueConfig": "pipeline.queue.config",
    "QueueReport": "pipeline.queue.config",
    "RaterKind": "pipeline.judgement",
    "SaringError": "pipeline.errors",
    "Settings": "pipeline.settings",
    "SourceInfo": "pipeline.texts.ingest",
    "Taxonomy": "pipeline.taxonomy",
    "Trained": "saring.actions.training",
    "Workers": "saring.workers.executor",
    "load_model": "saring.model",
    "load_settings": "pipeline.settings",
    "load_taxonomy": "pipeline.taxonomy",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
