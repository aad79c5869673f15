"""Licences that allow sharing texts (docs/sharing.md has the rule in words).

Sharing a text needs a permission. A licence that is not known to allow sharing counts as closed.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass


class Sharing(enum.StrEnum):
    """Permission to share under a licence."""

    OPEN = "open"
    #: open, but not for commercial use
    NON_COMMERCIAL = "non-commercial"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of a source's licence."""

    sharing: Sharing
    #: its SPDX identifier, or the text as it was written
    licence: str | None
    #: its name on the Hub; None where the Hub has none
    hub: str | None
    #: the reason why it is not shared, in words; empty if it is open
    why: str = ""


# SPDX identifier to the Hub's name. All allow sharing a changed copy, some under the same licence only.
_OPEN = {
    "0BSD": None,
    "AGPL-3.0": "agpl-3.0",
    "Apache-2.0": "apache-2.0",
    "BSD-2-Clause": "bsd-2-clause",
    "BSD-3-Clause": "bsd-3-clause",
    "CC0-1.0": "cc0-1.0",
    "CDLA-Permissive-1.0": "cdla-permissive-1.0",
    "CDLA-Permissive-2.0": "cdla-permissive-2.0",
    "CDLA-Sharing-1.0": "cdla-sharing-1.0",
    "GPL-2.0": "gpl-2.0",
    "GPL-3.0": "gpl-3.0",
    "ISC": "isc",
    "LGPL-3.0": "lgpl-3.0",
    "MIT": "mit",
    "MIT-0": None,
    "ODC-By-1.0": "odc-by",
    "ODbL-1.0": "odbl",
    "PDDL-1.0": "pddl",
    "Unlicense": "unlicense",
    "Zlib": "zlib",
}
_BY_NAME = {name.casefold(): name for name in _OPEN}
_OTHER_NAMES = {
    "cc0": "CC0-1.0",
    "apache-2": "Apache-2.0",
    "odbl": "ODbL-1.0",
    "pddl": "PDDL-1.0",
    "odc-by": "ODC-By-1.0",
}
_CREATIVE = re.compile(r"cc-by(?P<nc>-nc)?(?P<more>-sa|-nd)?-(?P<version>[1-4]\.[05])(?P<port>-[a-z]{2,3})?")
#: Creative Commons licences that the Hub has a name for
_HUB_CREATIVE = frozenset(
    {
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
    }
)


def terms_of(licence: str | None, *, permitted: bool = False) -> Terms:
    """The terms of a licence; SPDX identifiers in any case, and usual spellings such as "CC BY 4.0".

    Args:
        licence: as it was written.
        permitted: the owner of the rights allowed sharing, whatever the licence says.
    """
    written = " ".join((licence or "").split())
    terms = _known(written)
    if terms.sharing is Sharing.CLOSED and permitted:
        return Terms(Sharing.OPEN, terms.licence, None)
    return terms


def _known(written: str) -> Terms:
    if written.casefold() in ("", "none", "unknown"):
        return Terms(Sharing.CLOSED, None, None, "no licence is known")
    plain = re.sub(r"[\s_/]+", "-", written.casefold())
    plain = re.sub(r"-licen[cs]e(?=-|$)|^the-", "", plain)
    name = _OTHER_NAMES.get(plain) or _BY_NAME.get(re.sub(r"-(only|or-later)$", "", plain))
    if name is not None:
        return Terms(Sharing.OPEN, name, _OPEN[name])
    creative = _CREATIVE.fullmatch(plain)
    if creative is None:
        return Terms(
            Sharing.CLOSED, written, None, f"{written!r} is not among the licences that are known to allow sharing"
        )
    spdx = plain.upper()
    if creative["more"] == "-nd":
        return Terms(
            Sharing.CLOSED,
            spdx,
            None,
            f"{spdx} forbids changed copies, and masked texts with labels are changed copies",
        )
    unported = plain.removesuffix(creative["port"] or "")
    hub = unported if unported in _HUB_CREATIVE else None
    if creative["nc"]:
        return Terms(Sharing.NON_COMMERCIAL, spdx, hub, f"{spdx} forbids commercial use")
    return Terms(Sharing.OPEN, spdx, hub)
