"""Pre-train a network on texts without labels, and write it as a folder that a classifier can be trained from."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from pipeline.atomic import make_folder, new_folder, write_file
from pipeline.errors import ModelError, UsageError, first_line
from pipeline.models.backends import file_hash
from pipeline.models.pretraining.mntp import Masker, held_out_loss, unigram_loss
from pipeline.models.pretraining.network import MistralForMaskedNextToken, Shape, load_network, new_network
from pipeline.models.pretraining.texts import divide, texts_hash
from pipeline.models.pretraining.tokens import encode, mask_id_of
from pipeline.models.training.loop import LoopConfig, best_device, run_loop
from pipeline.models.training.order import Rows
from pipeline.models.transformer.base import quiet, train_tokenizer
from pipeline.plural import counted
from pipeline.progress import Progress, silent

#: report in the finished folder; written last
REPORT = "pretraining.json"
#: folder of a pre-training that is under way
_UNDER_WAY = ".pretraining"
_PLAN = "plan.json"


@dataclass(frozen=True, slots=True)
class PretrainConfig:
    """Settings of a pre-training."""

    #: optimiser steps
    steps: int
    #: a Mistral checkpoint's folder to start from; None: a network from scratch
    base: Path | None = None
    #: of a network from scratch
    shape: Shape = field(default_factory=Shape)
    #: largest number of tokens of a text; longer texts are cut
    length: int = 256
    #: share of the tokens that are masked; LLM2Vec takes 0.2 for Llama and 0.8 for Mistral of 7 billion parameters
    mask_share: float = 0.2
    #: None: the tokenizer's own, or `_`
    mask_token: str | None = None
    batch_size: int = 32
    #: batches for one step
    accumulate: int = 1
    learning_rate: float = 5e-4
    warmup: float = 0.06
    clip: float = 1.0
    #: steps between two checkpoints
    checkpoint_steps: int = 200
    seed: int = 20260101


@dataclass(frozen=True, slots=True)
class PretrainReport:
    """Result of a pre-training. Losses are in nats for each masked token of held-out texts."""

    path: Path
    texts: int
    held_out: int
    #: tokens of the texts to learn from
    tokens: int
    parameters: int
    steps: int
    #: steps that an earlier process had done
    resumed_at: int
    #: loss of a prediction from the frequency of each token alone
    unigram_loss: float
    loss_before: float
    loss: float
    #: held-out loss after each pass through the texts
    history: list[float]


def pretrain(texts: Iterable[str], config: PretrainConfig, out: Path, *, progress: Progress = silent) -> PretrainReport:
    """Pre-train by masked next-token prediction (see `mntp`), and write the network with its tokenizer into `out`.

    The network that is written is the one with the lowest held-out loss at the end of a pass. Killed at any moment and
    called again with the same texts and configuration, it goes on; on a CPU the result is the same to the last bit.

    Args:
        texts: repaired and masked; see `texts`.
        config: the settings.
        out: a folder that is empty, does not exist yet, or was left by an interrupted call of this function.
        progress: told of each step.

    Raises:
        UsageError: a setting is out of its range, or `out` holds something else.
        TrainingError: there are too few texts, or the loss is no longer a number.
        ModelError: there is no usable checkpoint to start from.
    """
    _check(config)
    learnt, held_out = divide(texts)
    plan = _plan(config, texts_hash(learnt, held_out))
    if (earlier := _finished(out, plan)) is not None:
        return earlier
    work = _begin(out, plan)
    progress(0, None, f"making the tokenizer for {counted(len(learnt), 'text')}")
    with quiet():
        tokenizer, model = _network(config, learnt, work)
    encoded = encode(tokenizer, learnt, config.length, progress=progress)
    held_out_encoded = encode(tokenizer, held_out, config.length)
    mask_id = mask_id_of(tokenizer, config.mask_token)
    pad_id = cast("int | None", tokenizer.pad_token_id) or 0
    masker = Masker(encoded, mask_id=mask_id, pad_id=pad_id, share=config.mask_share)
    held_out_masker = Masker(held_out_encoded, mask_id=mask_id, pad_id=pad_id, share=config.mask_share)
    device = best_device()
    model.to(cast(Any, device))
    model.train(False)
    before = held_out_loss(model, held_out_masker, held_out_encoded, config.seed)

    def loss_of(rows: Rows) -> Any:
        return masker.batch(rows).loss(model)

    trained = run_loop(
        model,
        encoded.lengths,
        loss_of,
        _loop_config(config, len(encoded.ids)),
        device=device,
        score=lambda: -held_out_loss(model, held_out_masker, held_out_encoded, config.seed),
        checkpoints=work / "checkpoints",
        progress=progress,
        what="pre-training",
    )
    history = [-float(epoch["score"] or 0.0) for epoch in trained.history]
    report = PretrainReport(
        path=out,
        texts=len(learnt),
        held_out=len(held_out),
        tokens=int(encoded.lengths.sum()),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        steps=trained.steps,
        resumed_at=trained.resumed_at,
        unigram_loss=unigram_loss(encoded, held_out_encoded, model.config.vocab_size),
        loss_before=before,
        loss=min(history),
        history=history,
    )
    _finish(out, model, tokenizer, report, plan)
    return report


def _check(config: PretrainConfig) -> None:
    if config.steps < 1:
        raise UsageError("--steps must be 1 or more")
    if not 0 < config.mask_share < 1:
        raise UsageError("--mask-share must lie between 0 and 1")
    if config.length < 8:
        raise UsageError("--length must be 8 or more")
    if config.shape.hidden % 64:
        raise UsageError("--hidden must be a multiple of 64")
    if config.base is not None and not config.base.is_dir():
        raise ModelError(f"{config.base}: there is no checkpoint folder")


def _plan(config: PretrainConfig, texts: str) -> dict[str, Any]:
    """The settings and data that must be the same for an interrupted pre-training to go on."""
    weights = sorted(config.base.glob("*.safetensors")) if config.base is not None else []
    # The number of steps between checkpoints does not change the result.
    settings = {name: value for name, value in asdict(config).items() if name not in ("base", "checkpoint_steps")}
    return {"texts": texts, "base": [file_hash(path) for path in weights], **settings}


def _finished(out: Path, plan: Mapping[str, Any]) -> PretrainReport | None:
    if not (out / REPORT).is_file():
        return None
    document = json.loads((out / REPORT).read_text(encoding="utf-8"))
    if document["plan"] != plan:
        raise UsageError(f"{out} holds another pre-trained network: choose another --out, or remove it")
    return PretrainReport(**document["report"] | {"path": out})


def _begin(out: Path, plan: Mapping[str, Any]) -> Path:
    work = out / _UNDER_WAY
    if (work / _PLAN).is_file():
        if json.loads((work / _PLAN).read_text(encoding="utf-8")) != plan:
            raise UsageError(
                f"{out} holds an interrupted pre-training with other texts or options: "
                "use those to go on with it, or remove the folder"
            )
        return work
    if out.is_dir() and any(path.name != _UNDER_WAY for path in out.iterdir()):
        raise UsageError(f"{out} is not empty: choose another --out")
    make_folder(work)
    _write_json(work / _PLAN, plan)
    return work


def _network(
    config: PretrainConfig, learnt: list[str], work: Path
) -> tuple[PreTrainedTokenizerBase, MistralForMaskedNextToken]:
    if config.base is not None:
        return _tokenizer(config.base), load_network(config.base)
    kept = work / "tokenizer"
    if not kept.is_dir():
        made = train_tokenizer(learnt, config.shape.vocabulary)
        made.model_max_length = config.length
        with new_folder(kept) as building:
            made.save_pretrained(building)
    tokenizer = _tokenizer(kept)
    return tokenizer, new_network(config.shape, tokenizer, config.length, config.seed)


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    try:
        return cast(PreTrainedTokenizerBase, AutoTokenizer.from_pretrained(folder))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: the tokenizer cannot be read ({first_line(error)})") from error


def _loop_config(config: PretrainConfig, texts: int) -> LoopConfig:
    steps_a_pass = math.ceil(math.ceil(texts / config.batch_size) / config.accumulate)
    return LoopConfig(
        epochs=math.ceil(config.steps / steps_a_pass),
        max_steps=config.steps,
        batch_size=config.batch_size,
        accumulate=config.accumulate,
        learning_rate=config.learning_rate,
        warmup=config.warmup,
        clip=config.clip,
        patience=0,
        checkpoint_steps=config.checkpoint_steps,
        seed=config.seed,
    )


def _finish(
    out: Path,
    model: MistralForMaskedNextToken,
    tokenizer: PreTrainedTokenizerBase,
    report: PretrainReport,
    plan: Mapping[str, Any],
) -> None:
    building = out / _UNDER_WAY / "whole"
    shutil.rmtree(building, ignore_errors=True)
    model.config._name_or_path = ""
    with quiet():
        model.save_pretrained(building)
        tokenizer.save_pretrained(building)
    for path in building.iterdir():
        path.replace(out / path.name)
    _write_json(out / REPORT, {"report": asdict(report) | {"path": ""}, "plan": plan})
    shutil.rmtree(out / _UNDER_WAY)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_file(path, json.dumps(content, indent=2) + "\n")
