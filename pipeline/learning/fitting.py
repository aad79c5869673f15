"""Fit a classifier of the backend that a configuration asks for."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.atomic import make_folder
from pipeline.errors import TrainingError
from pipeline.learning.sets.examples import Examples
from pipeline.models.linear import LinearConfig, fit_linear
from pipeline.models.protocol import Classifier, Encode
from pipeline.models.transformer.config import TransformerConfig
from pipeline.progress import Progress, silent

#: folder of checkpoints, under the folder of the models
CHECKPOINTS = ".training"
#: seconds after which the checkpoints of a killed training are removed
_FORGOTTEN = 14 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Fitted:
    """A classifier, and the configuration to keep with it."""

    classifier: Classifier
    config: Mapping[str, Any]


def fit_linear_on(
    fitting: Examples, config: LinearConfig, *, encode: Encode | None = None, progress: Progress = silent
) -> Fitted:
    """A linear classifier."""
    classifier = fit_linear(fitting.texts, fitting.truth, fitting.labels, config, encode=encode, progress=progress)
    return Fitted(classifier, asdict(config))


def fit_transformer_on(
    fitting: Examples,
    dev: Examples,
    config: TransformerConfig,
    *,
    seed: int,
    checkpoints: Path | None,
    progress: Progress = silent,
) -> Fitted:
    """A transformer classifier.

    Raises:
        TrainingError: torch is not installed, or the training cannot go on.
        ModelError: the base cannot be loaded.
    """
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise TrainingError("--backend transformers needs torch: pip install 'saring[transformers]'")
    from pipeline.models.transformer.finetune import Labelled, fit_transformer

    finetuned = fit_transformer(
        Labelled(fitting.texts, fitting.truth),
        Labelled(dev.texts, dev.truth),
        fitting.labels,
        config,
        seed=seed,
        checkpoints=checkpoints,
        progress=progress,
    )
    # The base is kept by name: the path of a folder may be private.
    kept = asdict(config) | {
        "base": finetuned.base,
        "epochs": config.most_epochs,
        "learning_rate": config.rate,
        "max_length": finetuned.classifier.longest,
    }
    if config.base is not None:
        del kept["scratch"]
    trained = {
        "steps": finetuned.trained.steps,
        "best_epoch": finetuned.trained.best_epoch,
        "epochs_done": finetuned.trained.history,
    }
    return Fitted(finetuned.classifier, kept | trained)


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
