"""The command that trains a network on texts without labels, before it is trained on labels."""

from __future__ import annotations

from dataclasses import asdict
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.errors import UsageError
from pipeline.learning.unlabelled import read_texts, store_texts
from pipeline.plural import counted
from pipeline.texts.rejects import RejectSink
from saring.actions.training import tell_rejects
from saring.cli import output


def pretrain_command(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder to write the network to.")],
    steps: Annotated[int, typer.Option(min=1, help="Number of steps of the optimiser.")],
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH]...", help="Files with texts. Default: the store's texts.")
    ] = None,
    base: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A Mistral checkpoint to start from. Default: from scratch.")
    ] = None,
    with_store: Annotated[bool, typer.Option("--store", help="Use the store's texts too, with the files.")] = False,
    text_field: Annotated[str, typer.Option("--text-field", help="The field with the text.")] = "text",
    length: Annotated[int, typer.Option(help="Tokens of a text; longer texts are cut.")] = 256,
    mask_share: Annotated[float, typer.Option(help="Share of the tokens that are masked.")] = 0.2,
    mask_token: Annotated[
        str | None, typer.Option(help="Token that replaces masked tokens. Default: the tokenizer's mask token, or _.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Number of texts in a batch.")] = 32,
    accumulate: Annotated[int, typer.Option(min=1, help="Number of batches in a step.")] = 1,
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 5e-4,
    warmup: Annotated[float, typer.Option(min=0, max=1, help="Share of the steps in which the rate rises.")] = 0.06,
    clip: Annotated[float, typer.Option(min=0, help="Largest norm of a gradient; 0: no clipping.")] = 1.0,
    layers: Annotated[int, typer.Option(min=1, help="From scratch: number of layers.")] = 4,
    hidden: Annotated[int, typer.Option(min=64, help="From scratch: width, a multiple of 64.")] = 256,
    vocabulary: Annotated[int, typer.Option(min=300, help="From scratch: number of tokens of the tokenizer.")] = 8_000,
    checkpoint_steps: Annotated[int, typer.Option(min=1, help="Number of steps between two checkpoints.")] = 200,
    seed: Annotated[int | None, typer.Option(help="Seed of all random choices. Default: SARING_SEED.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Train a network on texts without labels: some tokens are masked, and the network learns to predict them.

    Then train it on labels with `saring train --backend transformers --base FOLDER`. After Ctrl-C or a crash, the same
    command continues from the last checkpoint. Texts of a test split or of the frozen test set are left out.

    Example: saring pretrain posts.jsonl.gz --steps 2000 --out networks/small
    """
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise UsageError("pre-training needs torch: pip install 'saring[transformers]'")
    # Torch takes seconds to load, and the help page does not need it.
    from pipeline.models.pretraining.network import Shape
    from pipeline.models.pretraining.pretrain import PretrainConfig, pretrain

    ctx = output.home()
    if with_store and not paths:
        raise UsageError("--store adds the store's texts to files: without files, leave out --store")
    config = PretrainConfig(
        steps=steps,
        base=base,
        shape=Shape(layers=layers, hidden=hidden, vocabulary=vocabulary),
        length=length,
        mask_share=mask_share,
        mask_token=mask_token,
        batch_size=batch,
        accumulate=accumulate,
        learning_rate=rate,
        warmup=warmup,
        clip=clip,
        checkpoint_steps=checkpoint_steps,
        seed=ctx.settings.seed if seed is None else seed,
    )
    rejects = RejectSink()
    with output.progress_bar() as progress:
        texts = chain(
            read_texts(paths or (), rejects, text_field=text_field, progress=progress),
            store_texts(ctx.engine, progress=progress) if with_store or not paths else (),
        )
        report = pretrain(texts, config, out, progress=progress)
    tell_rejects(rejects, output.warn)
    output.emit(asdict(report) | {"rejected": dict(rejects.counts)}, as_json=as_json, say=_say)


def _say(result: dict[str, Any]) -> None:
    out = output.out()
    out.print(
        f"{counted(result['parameters'], 'parameter')}, {counted(result['texts'], 'text')} "
        f"({counted(result['tokens'], 'token')}), {counted(result['steps'], 'step')}",
        soft_wrap=True,
    )
    out.print(
        f"held-out loss of a masked token: {result['loss']:.3f} nats; {result['loss_before']:.3f} before training, "
        f"{result['unigram_loss']:.3f} from token frequencies alone",
        soft_wrap=True,
    )
    if result["loss"] >= result["unigram_loss"]:
        out.print(
            "The network is not better than token frequencies yet: give it more steps or more texts.", style="yellow"
        )
    out.print(f"written to {result['path']}", markup=False, soft_wrap=True)
