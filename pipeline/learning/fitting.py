"""Fit a classifier of the backend that a configuration asks for."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from pipeline.atomic import make_folder
from pipeline.errors import TrainingError
from pipeline.learning.sets.examples import Examples
from pipeline.measure.arrays import Scores
from pipeline.models.linear import LinearClassifier, LinearConfig, fit_linear
from pipeline.models.protocol import Classifier, Encode
from pipeline.models.transformer.config import TransformerConfig
from pipeline.plural import counted
from pipeline.progress import Progress, silent

if TYPE_CHECKING:
    from pipeline.models.transformer.finetune import Finetuned

#: folder of checkpoints, under the folder of the models
CHECKPOINTS = ".training"
#: seconds after which the checkpoints of a killed training are removed
_FORGOTTEN = 14 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Fitted:
    """A classifier, and the configuration to keep with it."""

    classifier: Classifier
    config: Mapping[str, Any]
    #: its decisions on the dev texts, if they are known already: [texts, labels]
    dev_decisions: Scores | None = None
    #: those of its network, if something else stands beside that: [texts, labels]
    network_decisions: Scores | None = None
    #: texts that it learnt from, and what it left out, in words; empty: it learnt from all
    left_out: str = ""


def fit_linear_on(
    fitting: Examples,
    config: LinearConfig,
    *,
    encode: Encode | None = None,
    encode_learnt: Encode | None = None,
    progress: Progress = silent,
) -> Fitted:
    """A linear classifier; see `fit_linear`."""
    return Fitted(_linear(fitting, config, encode, encode_learnt, progress), asdict(config))


def fit_transformer_on(
    fitting: Examples,
    dev: Examples,
    config: TransformerConfig,
    *,
    linear: LinearConfig,
    seed: int,
    checkpoints: Path | None,
    encode: Encode | None = None,
    encode_learnt: Encode | None = None,
    test: int = 0,
    began: float | None = None,
    progress: Progress = silent,
    clock: Callable[[], float] = time.monotonic,
) -> Fitted:
    """A transformer classifier, with one of n-grams beside it if the configuration says so.

    Args:
        fitting: the training texts.
        dev: held-out texts that choose the best epoch and the weights of the parts.
        config: of the network.
        linear: of the n-grams.
        seed: of the network.
        checkpoints: folder of the checkpoints.
        encode: gives vectors to the n-grams, if `linear.encoder` is set.
        encode_learnt: gives those of the training texts; see `fit_linear`.
        test: held-out texts that are scored in the end, for which a budget keeps time.
        began: when the budget began; None: now.
        progress: told of each step.
        clock: seconds.

    Raises:
        TrainingError: torch is not installed, or the training cannot go on.
        ModelError: the base cannot be loaded.
    """
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise TrainingError("--backend transformers needs torch: pip install 'saring[transformers]'")
    from pipeline.models.transformer.combined import CombinedClassifier, fit_mixture, mix
    from pipeline.models.transformer.finetune import Labelled, fit_transformer

    began = clock() if began is None else began
    ngrams = None
    if config.chosen("ngrams"):
        ngrams = _linear(fitting, linear, encode, encode_learnt, progress)
        progress(0, None, "training")
        ngrams_say = ngrams.decisions(dev.texts)
    left = config if config.budget is None else replace(config, budget=config.budget - (clock() - began))
    finetuned = fit_transformer(
        Labelled(fitting.texts, fitting.truth, fitting.sources),
        Labelled(dev.texts, dev.truth),
        fitting.labels,
        left,
        seed=seed,
        checkpoints=checkpoints,
        scored_later=len(dev) + test,
        progress=progress,
        clock=clock,
    )
    # The base is kept by name: the path of a folder may be private.
    kept = asdict(config) | {
        "base": finetuned.base,
        "epochs": config.most_epochs if finetuned.plan is None else finetuned.plan.epochs,
        "batch_size": config.batch,
        "learning_rate": config.rate,
        "max_length": finetuned.classifier.longest,
        "layer_decay": config.decay,
        "freeze_layers": config.frozen[0] if finetuned.plan is None else finetuned.plan.frozen,
        **{name: config.chosen(name) for name in ("ngrams", "freeze_words", "balance", "half")},
    }
    if config.base is not None:
        del kept["scratch"]
    trained = {
        "steps": finetuned.trained.steps,
        "best_epoch": finetuned.trained.best_epoch,
        "epochs_done": finetuned.trained.history,
        "texts": finetuned.texts,
    }
    progress(0, None, f"scoring {counted(len(dev), 'text')}")
    network_says = finetuned.classifier.decisions(dev.texts)
    left_out = _left_out(finetuned, len(fitting))
    if ngrams is None:
        return Fitted(finetuned.classifier, kept | trained, network_says, left_out=left_out)
    mixture = fit_mixture(ngrams_say, network_says, dev.truth)
    combined = CombinedClassifier(finetuned.classifier, ngrams, mixture)
    settings = {"ngrams": asdict(linear)}
    return Fitted(
        combined, kept | trained | settings, mix(mixture, ngrams_say, network_says), network_says, left_out=left_out
    )


def _linear(
    fitting: Examples,
    config: LinearConfig,
    encode: Encode | None,
    encode_learnt: Encode | None,
    progress: Progress,
) -> LinearClassifier:
    return fit_linear(
        fitting.texts,
        fitting.truth,
        fitting.labels,
        config,
        encode=encode,
        encode_learnt=encode_learnt,
        sources=fitting.sources,
        progress=progress,
    )


def _left_out(finetuned: Finetuned, texts: int) -> str:
    """Name what a budget left out, in words."""
    if finetuned.plan is None:
        return ""
    parts = [f"the network learnt from {finetuned.texts:,} of {counted(texts, 'text')}"]
    parts.append(f"{counted(finetuned.plan.epochs, 'time')} each, cut at {finetuned.plan.length} tokens")
    if finetuned.plan.frozen:
        parts.append(f"its lower {finetuned.plan.frozen} layers stayed as they were")
    if finetuned.trained.out_of_time:
        parts.append("and was stopped before its last step")
    return ", ".join(parts)


@contextmanager
def checkpoints_of(
    models_dir: Path, config: TransformerConfig, seed: int, fitting: Examples, dev: Examples
) -> Iterator[Path]:
    """The folder of the checkpoints of this very training, to be used by one process at a time.

    The same texts, labels and configuration give the same folder, so that the same command goes on where it was killed.
    It is removed when the block ends without an error.

    Raises:
        TrainingError: another process does this training.
    """
    root = models_dir / CHECKPOINTS
    make_folder(root)
    folder = root / _fingerprint(config, seed, fitting, dev)
    _forget(root, time.time)
    lock = FileLock(folder.with_suffix(".lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise TrainingError("another process is doing the same training: wait for it to end") from error
    try:
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        lock.release()


def _fingerprint(config: TransformerConfig, seed: int, fitting: Examples, dev: Examples) -> str:
    digest = hashlib.blake2b(digest_size=12)
    digest.update(json.dumps([asdict(config), seed, fitting.labels]).encode())
    for part in (fitting, dev):
        for id_ in part.ids:
            digest.update(id_.bytes)
        digest.update(part.truth.tobytes())
    return digest.hexdigest()


def _forget(root: Path, clock: Callable[[], float]) -> None:
    for path in root.iterdir():
        if clock() - path.stat().st_mtime > _FORGOTTEN:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
