"""Drift: whether the texts that come now are still like those before, and like those that the champion learnt from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.progress import Progress, silent
from pipeline.store.session import open_session
from saring.context import Context

if TYPE_CHECKING:
    from pipeline.drift.measure import DriftConfig, DriftReport
    from pipeline.drift.shifts import Alarm


def drift(
    home: Context,
    config: DriftConfig | None = None,
    *,
    seed: int | None = None,
    now: datetime | None = None,
    progress: Progress = silent,
) -> DriftReport:
    """Measure drift: the mix of labels, scores and languages by week, and the shift of vectors. Nothing is changed.

    Labels and scores are the champion's predictions for a random sample of each week, which do not depend on the texts
    that people happened to judge.

    Args:
        home: the home with the store.
        config: the bounds and limits; None: the defaults.
        seed: seed of every random choice; None: the settings'.
        now: time of the measurement, for the record; None: the present.
        progress: called as the work advances.

    Raises:
        ModelError: the champion's folder is missing or damaged.
    """
    from pipeline.drift.measure import DriftConfig, measure_drift
    from saring.actions.models import load_champion

    model = load_champion(home.engine, home.settings)
    with open_session(home.engine) as session:
        return measure_drift(
            session,
            model,
            config=config or DriftConfig(),
            now=now or datetime.now(UTC),
            seed=home.settings.seed if seed is None else seed,
            progress=progress,
        )


def tell_of_drift(home: Context, report: DriftReport) -> int:
    """Record a notice for each alarm, once in the weeks that it is about; the number of new notices.

    The comparison with the training texts is left out: those are chosen, so they may differ from the first day on.
    """
    from pipeline.notices.kinds import Kind
    from pipeline.notices.record import notify

    since = report.recent_since.date().isoformat() if report.recent_since is not None else ""
    told = 0
    with home.begin() as session:
        for alarm in report.alarms:
            if alarm.kind == "training":
                continue
            event = f"drift:{since}:{alarm.kind}:{alarm.name or ''}"
            subject = f"{alarm.kind} {alarm.name}" if alarm.name is not None else "vectors"
            told += notify(session, Kind.DRIFT, subject, _in_words(alarm), event=event, at=report.measured_at)
    return told


def _in_words(alarm: Alarm) -> str:
    changed = f"from {alarm.before:.3g} to {alarm.now:.3g}; see `saring drift`"
    match alarm.kind:
        case "label":
            return f"the share of texts with the label {alarm.name} changed {changed}"
        case "score":
            return f"the mean score of {alarm.name} changed {changed}"
        case "language":
            return f"the share of the language {alarm.name} changed {changed}"
        case _:
            told = f"a classifier tells recent texts from earlier ones with accuracy {alarm.effect:.2f}"
            return f"{told}; see `saring drift`"
