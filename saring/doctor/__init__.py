"""Everything that Saring needs, checked one by one. Nothing is started, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline.errors import SaringError
from pipeline.settings import Settings
from saring.doctor import label_studio, machine, notices
from saring.doctor.check import Check, Verdict

__all__ = ["Check", "Verdict", "examine"]


def examine(settings: Settings) -> list[Check]:
    """Check all that an install needs; a check that meets an error is a failed check, not an exception."""
    results: list[Check] = []
    checks: tuple[tuple[str, Callable[[Settings], Iterable[Check]]], ...] = (
        ("Python", machine.python),
        ("packages", machine.packages),
        ("text encoding", machine.text_encoding),
        ("home", machine.home),
        ("disk", machine.disk),
        ("memory", machine.memory),
        ("account", machine.account),
        ("PostgreSQL program", machine.postgres_program),
        ("Valkey program", machine.valkey_program),
        ("services", machine.services),
        ("Label Studio", label_studio.installation),
        ("Label Studio", label_studio.server),
        ("notices", notices.configuration),
        ("taxonomy", machine.taxonomy),
        ("encoder", machine.encoder),
    )
    for name, check in checks:
        try:
            results.extend(check(settings))
        except SaringError as error:
            results.append(Check(name, Verdict.FAIL, str(error)))  # which says what to do
        except OSError as error:
            mend = "check that it exists and that this user may read it"
            results.append(Check(name, Verdict.FAIL, f"{error.filename}: {error.strerror}", mend))
    return results
