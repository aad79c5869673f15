"""Parts of a home that a person left out with `saring up --without`: nothing starts them until the next `saring up`.

Jobs run by themselves, every minute. Without this note one of them would install and start what somebody left out.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.atomic import write_file
from pipeline.errors import LeftOut
from pipeline.settings import Settings
from saring.services.places import Places

#: the file in the folder of services, with a part on each line
FILE = "left_out"


def left_out(settings: Settings) -> frozenset[str]:
    """Names of the parts that were left out, as `saring up --without` knows them."""
    try:
        lines = (Places(settings.home).services / FILE).read_text(encoding="utf-8").split()
    except OSError:
        # Nobody left anything out, or the home does not exist yet.
        return frozenset()
    return frozenset(lines)


def leave_out(settings: Settings, parts: Iterable[str]) -> None:
    """Record which parts are left out from now on; none: no part is."""
    path = Places(settings.home).services / FILE
    names = sorted(set(parts))
    if names:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_file(path, "".join(f"{name}\n" for name in names))
    else:
        path.unlink(missing_ok=True)


def refuse_left_out(settings: Settings, part: str, name: str) -> None:
    """Do nothing if a part may be started.

    Args:
        settings: the home.
        part: its name for `saring up --without`.
        name: its name for people.

    Raises:
        LeftOut: it was left out.
    """
    if part in left_out(settings):
        raise LeftOut(f"{name} was left out with `saring up --without {part}`: `saring up` starts it")
