"""The configuration of the backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from pipeline.backend_credentials import BackendCredentials
from pipeline.models.artefact import TrainedModel
from pipeline.taxonomy import Taxonomy

#: takes the name of a job and its arguments
SendJob = Callable[[str, Mapping[str, Any]], None]
#: jobs that wait in the broker, by queue; raises SaringError where it is away
QueueDepths = Callable[[], Mapping[str, int]]
#: takes where predictions came from, and how many did
Tally = Callable[[str, int], None]
#: loads the model that lies in a folder
LoadModel = Callable[[Path], TrainedModel]


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits on requests."""

    #: bytes of a request; Label Studio sends 12,000 tasks in 8 million
    body: int = 64 << 20
    #: seconds that a request may take to arrive
    arrival: float = 60.0
    #: bytes of the head of a request: its address and its fields
    head: int = 32 << 10
    #: seconds until the head of a request has arrived, counted from its first byte, or from the connection
    head_seconds: float = 10.0
    #: seconds that a connection may do nothing after an answer
    idle: int = 5
    #: wrong passwords from one address: so many at once, and so many a minute
    tries: int = 10
    #: tasks up to which a request is answered together with others
    small: int = 16
    #: seconds that a small request waits for others
    gather: float = 0.002
    #: tasks of small requests that are answered together
    together: int = 64
    #: tasks of a large request that are answered in one go
    chunk: int = 128
    #: bytes beyond which only the ids in an event are kept
    event: int = 256 << 10
    #: seconds between two looks at which model is champion
    poll: float = 2.0
    #: seconds that what the store and the broker said of themselves is shown again to those who scrape
    fresh: float = 5.0
    #: seconds before a champion that could not be loaded is tried again
    retry: float = 30.0


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """Everything that the backend is made with."""

    engine: Engine
    taxonomy: Taxonomy
    credentials: BackendCredentials
    load_model: LoadModel
    send_job: SendJob
    #: None: nobody asks the broker
    queue_depths: QueueDepths | None = None
    #: of the champion that serves
    purpose: str = "sfw"
    limits: Limits = field(default_factory=Limits)
