"""The interface for programs: a home, with its actions as methods."""

from saring.home.filters import Filters
from saring.home.home import Home
from saring.home.label_studio import LabelStudio
from saring.home.queue import Queue

__all__ = ["Filters", "Home", "LabelStudio", "Queue"]
