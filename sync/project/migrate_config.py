"""From the label config that a project has to the one that the taxonomy asks for, or why not."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import LabelStudioError
from pipeline.preannotation.label_studio_format import LABELS, read_config
from pipeline.store.tables.human_loop import AnnotationState
from pipeline.taxonomy import Taxonomy
from sync.api.client import LabelStudio
from sync.project.label_config import label_changes
from sync.project.seal import is_sealed

#: lines of a difference that are shown
_LINES, _WIDTH = 6, 80


@dataclass(frozen=True, slots=True)
class Migration:
    """The changes of a label config, as raters see them."""

    #: labels that the project shows so far
    shown: tuple[str, ...]
    added: tuple[str, ...]
    #: old name to key: what was ticked under the old name is read as the key
    renamed: Mapping[str, str]
    #: labels that go although annotations may use them
    dropped: tuple[str, ...]

    def __str__(self) -> str:
        parts = [
            f"added {', '.join(self.added)}" if self.added else "",
            f"renamed {', '.join(f'{old} to {new}' for old, new in self.renamed.items())}" if self.renamed else "",
            f"dropped {', '.join(self.dropped)}" if self.dropped else "",
        ]
        return "; ".join(part for part in parts if part) or "wording or looks"


def plan(
    old: str,
    new: str,
    taxonomy: Taxonomy,
    uses: Mapping[str, int],
    *,
    force: bool,
    drop_labels: bool,
) -> Migration:
    """Compare two label configs, and tell the way from `old` to `new`.

    Args:
        uses: annotations and drafts that use a label.
        force: whether a config that somebody edited by hand may be overwritten.
        drop_labels: whether labels that are used may go.

    Raises:
        LabelStudioError: it was edited by hand, or labels that are used would go; the message says what to do.
    """
    if not force and not is_sealed(old):
        raise LabelStudioError(
            f"the label config was edited by hand ({_difference(old, new)}): bring what you need into the taxonomy, "
            "then run `saring sync setup --force`, which overwrites it"
        )
    config = read_config(old)
    shown = config.labels if config is not None else ()
    added, gone = label_changes(shown, taxonomy.keys)
    renamed = {name: key for name in gone if (key := taxonomy.canonical(name)) is not None}
    dropped = tuple(name for name in gone if name not in renamed)
    lost = {name: uses[name] for name in dropped if uses.get(name)}
    if lost and not drop_labels:
        counts = ", ".join(f"{name!r} ({count})" for name, count in sorted(lost.items()))
        raise LabelStudioError(
            f"the taxonomy no longer has labels that annotations or drafts use: {counts}; put them back, name them "
            "among the aliases of the label that takes their place, or run `saring sync setup --drop-labels`"
        )
    return Migration(shown, tuple(key for key in added if key not in renamed.values()), renamed, dropped)


def uses_of_labels(session: Session, client: LabelStudio, project: store.Project) -> dict[str, int]:
    """Annotations and drafts that use each label, by its name there; the greater of the server's count and ours."""
    a = store.Annotation
    label = func.unnest(a.chosen).label("label")
    ours = (
        select(label)
        .where(a.project_id == project.id, a.state.in_([AnnotationState.SUBMITTED, AnnotationState.UNDECIDED]))
        .subquery()
    )
    counted = session.execute(select(ours.c.label, func.count()).group_by(ours.c.label))
    counts = Counter({str(name): int(count) for name, count in counted})
    summary = client.summary(project.label_studio_id)
    theirs: Counter[str] = Counter()
    for field in ("created_labels", "created_labels_drafts"):
        uses = (summary.get(field) or {}).get(LABELS)
        theirs.update(uses if isinstance(uses, dict) else {})
    return dict(counts | theirs)


def _difference(theirs: str, ours: str) -> str:
    """The first lines that differ, on one line."""
    lines = list(difflib.unified_diff(_stripped(ours), _stripped(theirs), lineterm="", n=0))[2:]
    changed = [f"{line[0]} {line[1:].strip()[:_WIDTH]}" for line in lines if line[0] in "+-"]
    changed = [line for line in changed if "saring-" not in line or "className" not in line]
    more = f" and {len(changed) - _LINES} more" if len(changed) > _LINES else ""
    return " | ".join(changed[:_LINES]) + more if changed else "its seal only"


def _stripped(config: str) -> Sequence[str]:
    return [line.strip() for line in config.strip().splitlines()]
