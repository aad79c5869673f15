"""The strategies by name. A new one is a class with one method, and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.queue.strategies.protocol import Random, Strategy
from pipeline.queue.strategies.scarce import Scarce
from pipeline.queue.strategies.suspect import Suspect
from pipeline.queue.strategies.uncertain import Uncertain

STRATEGIES: Mapping[str, Strategy] = {
    "uncertain": Uncertain(),
    "scarce": Scarce(),
    "suspect": Suspect(),
    "random": Random(),
}
