"""The kinds of notices."""

from __future__ import annotations

import enum


class Kind(enum.StrEnum):
    """Subject matter of a notice."""

    #: a run failed, or ended with parked shards; subject: the stage
    RUN_FAILED = "run-failed"
    #: a new model did not pass the gate; subject: the purpose
    GATE_REJECTED = "gate-rejected"
    #: no text is left for people; subject: `queue`
    QUEUE_EMPTY = "queue-empty"
    #: what comes in is no longer like what the model was trained on; subject: what drifted
    DRIFT = "drift"
    #: little room is left on the disk of the home; subject: the machine
    DISK_LOW = "disk-low"


#: kinds that stand for a state: it begins, and it ends
LASTING = frozenset({Kind.QUEUE_EMPTY, Kind.DISK_LOW})
