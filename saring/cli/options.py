"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

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
