"""Load, measure and use models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import InputError
from pipeline.models.artefact import TrainedModel
from pipeline.models.find import folder_of, list_folders, newest, open_model
from pipeline.models.protocol import Encode
from pipeline.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pipeline.learning.evaluate import Evaluation
    from pipeline.learning.gate.report import Rows
    from pipeline.learning.sets.examples import Examples
    from pipeline.taxonomy import Taxonomy
    from pipeline.texts.rejects import RejectSink
    from saring.context import Context

PURPOSE = "sfw"


def load_champion(engine: Engine, settings: Settings, purpose: str = PURPOSE) -> TrainedModel | None:
    """The champion of a purpose; None when there is none yet.

    Raises:
        ModelError: its folder is missing or damaged.
    """
    folder = champion_folder(engine, purpose)
    return None if folder is None else load_folder(folder, settings)


def champion_folder(engine: Engine, purpose: str = PURPOSE) -> Path | None:
    """The folder of the champion of a purpose; None when there is none yet."""
    from pipeline.learning.registry import champion
    from pipeline.store.session import open_session

    with open_session(engine) as session:
        model = champion(session, purpose)
    return None if model is None else Path(model.path)


def load_folder(folder: Path, settings: Settings) -> TrainedModel:
    """The model in a folder, with the encoder that it was trained with.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    from pipeline.vectors.encoders.make import encoders_of

    return open_model(folder, encoders_of(settings))


def encode_of(settings: Settings, encoder: str | None) -> Encode | None:
    """The function that computes an encoder's vectors; None if no encoder is named."""
    if encoder is None:
        return None
    from pipeline.vectors.encoders.make import make_encoder

    return make_encoder(settings, encoder).encode


def choose_model(
    settings: Settings, name: str | None, *, purpose: str = PURPOSE, tell: Callable[[str], None] = lambda _: None
) -> TrainedModel:
    """The model with this name; without a name the champion if the store is running, else the newest.

    Args:
        settings: the settings of the home. Its services are not started.
        name: a version, the beginning of a version, or a folder.
        purpose: the purpose of the model, if no name is given.
        tell: called with a sentence about the chosen model, if no name is given.

    Raises:
        ModelError: there is no such model.
    """
    if name is not None:
        return load_folder(folder_of(name, settings.models_dir), settings)
    folder = _running_champion(settings, purpose)
    if folder is not None:
        tell(f"using the champion, {folder.name}")
    else:
        folder, manifest = newest(settings.models_dir, purpose)
        tell(f"no champion is known: using the newest model, {manifest.version}")
    return load_folder(folder, settings)


def _running_champion(settings: Settings, purpose: str) -> Path | None:
    """The champion's folder, if the store is running and has the schema of this version; else None."""
    if not list_folders(settings.models_dir):
        return None
    from pipeline.store import glance
    from saring.services import connect_if_running

    connection = connect_if_running(settings)
    if connection is None:
        return None
    with connection:
        return glance.champion_folder(connection, purpose)


def evaluate(
    model: TrainedModel,
    files: Sequence[str],
    *,
    split: str | None = None,
    labels_field: str | None = None,
    taxonomy: Taxonomy | None = None,
    seed: int = 0,
    rejects: RejectSink | None = None,
) -> Evaluation:
    """Measure a model on labelled files, per label and by language.

    Args:
        model: a trained model.
        files: labelled JSON lines or Parquet.
        split: use only rows of this split; None: all.
        labels_field: the field with the labels, however they are spelled; None: `labels`, a list of keys.
        taxonomy: gives other names of labels, and says which labels exclude each other; None: rows say it all.
        seed: seed of the bootstrap.
        rejects: collects the rows that can't be used.

    Raises:
        InputError: a file can't be read at all.
    """
    import numpy as np

    from pipeline.learning.evaluate import evaluate_examples
    from pipeline.learning.sets.examples import gather
    from pipeline.texts.labelled_files import LabelsField, read_labelled
    from pipeline.texts.rejects import RejectSink
    from pipeline.texts.unusable import why_unlabelled

    sink = rejects if rejects is not None else RejectSink()
    canonical = taxonomy.canonical if taxonomy is not None else lambda name: name if name in model.labels else None
    named_field = LabelsField(labels_field, canonical) if labels_field is not None else None
    rows = read_labelled(files, sink, labels_field=named_field)
    chosen = (row for row in rows if split is None or row.split == split)
    examples = gather(chosen, model.labels, taxonomy.excludes if taxonomy is not None else None)
    if not len(examples):
        advice = why_unlabelled(files[0], labels_field or "labels")
        raise InputError(
            f"{', '.join(files)}: nothing to measure: no text has a yes or a no for a label of the model "
            f"({', '.join(model.labels)}); {advice}"
        )
    return evaluate_examples(model, examples, rng=np.random.default_rng(seed))


def examples_to_compare(
    home: Context,
    files: Sequence[str] | None,
    labels: Sequence[str],
    versions: Sequence[str],
    rejects: RejectSink | None = None,
) -> tuple[Examples, Rows]:
    """The texts to compare models on: those of files, or the newest test set without texts that the models know.

    Raises:
        InputError: a file cannot be read, or there is no test set.
    """
    from pipeline.learning.gate.report import Rows
    from pipeline.learning.sets.examples import gather
    from pipeline.texts.labelled_files import read_labelled
    from pipeline.texts.rejects import RejectSink

    if files is None:
        return _from_test_set(home.engine, labels, versions)
    rows = read_labelled(files, rejects if rejects is not None else RejectSink())
    examples = gather(rows, labels, home.taxonomy.excludes)
    return examples, Rows(", ".join(Path(path).name for path in files), None, len(examples))


def _from_test_set(engine: Engine, labels: Sequence[str], versions: Sequence[str]) -> tuple[Examples, Rows]:
    from pipeline.learning.gate.report import Rows
    from pipeline.learning.sets.examples import gather
    from pipeline.learning.sets.snapshot import learnt_from
    from pipeline.ledger import test_set
    from pipeline.store.session import open_session
    from pipeline.texts.labelled_files import clean
    from pipeline.texts.normalise import text_id

    with open_session(engine) as session:
        newest_set = test_set.require_newest(session)
        members = test_set.rows_of(session, newest_set.version)
        learnt = {str(text) for version in versions for text in learnt_from(session, version) or ()}
    known = {text_id(clean(row.text)) for row in members if row.id in learnt}
    examples = gather(members, labels)
    kept = [i for i, identity in enumerate(examples.ids) if identity not in known]
    return examples.take(kept), Rows("the frozen test set", newest_set, len(kept), len(examples) - len(kept))


def kept_champion(home: Context, purpose: str = PURPOSE) -> TrainedModel | None:
    """The champion of a purpose, loaded once for each version in a process; None when there is none.

    Raises:
        ModelError: its folder is missing or damaged.
    """
    folder = champion_folder(home.engine, purpose)
    return None if folder is None else home.keep(("champion", str(folder)), lambda: load_folder(folder, home.settings))
