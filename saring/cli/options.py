"""Options that several commands share."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from pipeline.errors import UsageError

Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="Use only a random sample with this number of texts.")
]
MaxTokens = Annotated[int | None, typer.Option(min=1, help="Stop before a language model uses more tokens than this.")]
MaxCost = Annotated[float | None, typer.Option(min=0, help="Stop before a language model costs more than this.")]
LabelOption = Annotated[list[str] | None, typer.Option("--label", help="Only this label. May be repeated.")]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="VERSION|PATH", help="The model. Default: the champion, else the newest."),
]
ProjectOption = Annotated[
    int | None, typer.Option("--project", metavar="ID", help="The project's id in Label Studio. Default: all.")
]


def parse_text_id(value: str) -> uuid.UUID:
    """The id of a text, as somebody typed it.

    Raises:
        UsageError: it is none.
    """
    try:
        return uuid.UUID(value)
    except ValueError:
        raise UsageError(f"{value!r} is not the id of a text; see `saring queue show` or `saring search`") from None


def parse_mix(value: str) -> dict[str, float]:
    """The shares that `--mix` names.

    Raises:
        UsageError: it is not NAME=SHARE, with commas between.
    """
    mix: dict[str, float] = {}
    for part in value.split(","):
        name, _, share = (piece.strip() for piece in part.partition("="))
        try:
            mix_share = float(share)
        except ValueError:
            raise UsageError(f"--mix: {part.strip()!r} is not NAME=SHARE, for example uncertain=0.4") from None
        if not name or name in mix:
            raise UsageError(f"--mix: give each strategy a name, once, not {value!r}")
        mix[name] = mix_share
    return mix
