"""The configuration of notices, and whether they arrive."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from pipeline.notices.config import notices_config
from pipeline.notices.kinds import Kind
from pipeline.plural import counted
from pipeline.settings import Settings
from saring.actions.notices import failed_lately
from saring.doctor.check import Check, Verdict

_LATELY = timedelta(days=1)


def configuration(settings: Settings) -> Iterable[Check]:
    """The file of the channels."""
    config = notices_config(settings)
    if not config.channels:
        yield Check("notices", Verdict.OK, f"recorded and sent nowhere ({settings.notices_file} describes no channel)")
        return
    channels = ", ".join(f"{name} ({channel.type})" for name, channel in config.channels.items())
    silent = [kind.value for kind in Kind if not config.channels_of(kind)]
    yield Check("notices", Verdict.OK, channels + (f"; sent nowhere: {', '.join(silent)}" if silent else ""))


def deliveries(session: Session) -> Iterable[Check]:
    """Notices that did not arrive."""
    for channel, count in failed_lately(session, datetime.now(UTC) - _LATELY).items():
        count_words = f"{counted(count, 'notice')} not sent through {channel} in a day"
        mend = f"see `saring notices list`; try `saring notices test --channel {channel}`"
        yield Check("notices sent", Verdict.WARN, count_words, mend)
