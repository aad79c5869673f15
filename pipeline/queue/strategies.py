"""The strategies there are, by name. A new one is a class with one method, and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.queue.scarce import Scarce
from pipeline.queue.strategy import Random, Strategy
from pipeline.queue.suspect import Suspect
from pipeline.queue.uncertain import Uncertain

STRATEGIES: Mapping[str, Strategy] = {
    "uncertain": Uncertain(),
    "scarce": Scarce(),
    "suspect": Suspect(),
    "random": Random(),
}
