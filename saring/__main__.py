"""`python -m saring` is `saring`."""

from __future__ import annotations

from saring.cli import main

if __name__ == "__main__":
    main()
