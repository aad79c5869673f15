"""Backups: one archive with everything that a home would miss, and the way back from it.

    archive.py      a stream of named pieces with their hashes, and how it is told whole from damaged
    manifest.py     what an archive says of itself
    belongings.py   which files of a home go in, and where they come out
    addresses.py    archives that lie elsewhere
    saving.py       a home to an archive, while everything runs
    restoring.py    an archive to an empty home, all of it or nothing

What goes in and what doesn't, and why: docs/backup.md.
"""

from saring.backup.restoring import Restored, restore
from saring.backup.saving import Saved, back_up
from saring.backup.verifying import Verified, verify

__all__ = ["Restored", "Saved", "Verified", "back_up", "restore", "verify"]
