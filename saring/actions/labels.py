"""Labels as people write them."""

from __future__ import annotations

from pipeline.errors import UsageError
from saring.context import Context


def require_label(home: Context, name: str) -> str:
    """The key of the label with this name.

    Raises:
        UsageError: there is no such label.
    """
    key = home.taxonomy.canonical(name)
    if key is None:
        raise UsageError(f"no label is called {name!r}; the labels are {', '.join(home.taxonomy.keys)}")
    return key
