"""The registry of models: which there are, how good each is, and which one serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import InputError, ModelError, UsageError
from pipeline.learning import registry
from pipeline.learning.registry import Promotion
from pipeline.models.purposes import LABELS, stored_purpose
from pipeline.store.session import open_session
from saring.context import Context

if TYPE_CHECKING:
    from sqlalchemy import Row, Select

    from pipeline.learning.gate.report import GateReport
    from pipeline.learning.scores import ScoredTexts
    from pipeline.models.artefact import Manifest, TrainedModel
    from pipeline.texts.rejects import RejectSink


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """One registered model."""

    version: str
    #: as it is stored: `sfw` for labels
    purpose: str
    #: candidate, champion, retired or rejected
    state: str
    #: macro average precision on its test texts, with its interval; None: not measured
    macro_average_precision: dict[str, float | None] | None
    #: the version of the test set that this is from
    test_set: dict[str, Any] | None
    created_at: datetime
    labels: tuple[str, ...]
    thresholds: dict[str, float]
    #: the reason for its state
    reason: str | None
    #: the champion when it was registered
    parent: str | None
    taxonomy_version: str
    path: str


def list_models(home: Context, purpose: str | None = None, *, limit: int | None = None) -> list[RegisteredModel]:
    """The registered models, newest first.

    Args:
        home: the home with the registry.
        purpose: `labels`, `sentiment`, or as it is stored; None: all.
        limit: most models; None: all.
    """
    from pipeline import store

    m = store.Model
    query = _query().order_by(m.created_at.desc(), m.version).limit(limit)
    if purpose is not None:
        query = query.where(m.purpose == stored_purpose(purpose))
    with open_session(home.engine) as session:
        return [_registered(row) for row in session.execute(query)]


def find_model(home: Context, version: str) -> RegisteredModel:
    """A registered model by its version.

    Raises:
        ModelError: no such model is registered.
    """
    model = find_registered(home, version)
    if model is None:
        raise ModelError(f"no model {version!r} is registered; see `saring models list`")
    return model


def find_registered(home: Context, version: str) -> RegisteredModel | None:
    """A registered model by its version; None: there is none."""
    from pipeline import store

    with open_session(home.engine) as session:
        row = session.execute(_query().where(store.Model.version == version)).one_or_none()
        return _registered(row) if row is not None else None


def champion_version(home: Context, purpose: str = LABELS) -> str | None:
    """The version of the champion of a purpose; None: there is none yet."""
    with open_session(home.engine) as session:
        model = registry.champion(session, purpose)
        return model.version if model is not None else None


def gate_report(model: RegisteredModel) -> dict[str, Any] | None:
    """The gate's report in a model's folder, as `gate.json` holds it; None: the gate never judged it.

    Raises:
        ModelError: it can't be read.
    """
    from pipeline.learning.gate.report import read_gate

    return read_gate(Path(model.path))


def promote(home: Context, version: str, *, reason: str) -> Promotion:
    """Make a model the champion of its purpose, by a person's decision.

    A model that is not registered yet is registered first. The reason stands in the registry and in the gate's report.

    Args:
        home: the home with the registry.
        version: a version, the beginning of one, or a folder.
        reason: for the record.

    Raises:
        UsageError: no reason is given.
        ModelError: there is no such model.
    """
    from pipeline.learning.gate.report import note_by_hand
    from pipeline.models.artefact import read_manifest

    sentence = f"by hand: {_required(reason)}"
    folder = _folder(home, version)
    manifest = read_manifest(folder)
    with home.begin() as session:
        registry.register(session, manifest, folder)
        promotion = registry.promote(session, manifest.version, reason=sentence)
    if promotion.reason == sentence:
        note_by_hand(folder, manifest.version, reason.strip(), now=datetime.now(UTC))
    return promotion


def rollback(home: Context, purpose: str = "labels", *, reason: str) -> Promotion:
    """Make the champion before the current one the champion again; the current one is rejected.

    Args:
        home: the home with the registry.
        purpose: `labels` or `sentiment`.
        reason: for the record.

    Raises:
        UsageError: no reason is given.
        ModelError: there is no earlier champion.
    """
    sentence = f"by hand: {_required(reason)}"
    with home.begin() as session:
        return registry.rollback(session, stored_purpose(purpose), reason=sentence)


def model_figures(home: Context, version: str) -> dict[str, Any]:
    """Figures of a model for a page: curves of each label, and slices by language and source.

    They are on the newest test set, without the texts that the model was trained on. The scores are kept in the
    model's folder: the model itself is asked only if they are missing or the test set has grown. Where there is no
    test set, they are on the texts that the training held out.

    Args:
        home: the home with the store.
        version: a registered model, or a folder.

    Returns:
        As `pipeline.learning.figures.model_figures` gives them, and `model`.

    Raises:
        ModelError: there is no such model, or its files are damaged.
        InputError: there is no test text to measure it on.
    """
    import numpy as np

    from pipeline.learning.figures import model_figures as figures
    from pipeline.models.artefact import read_manifest

    folder = _folder(home, version)
    manifest = read_manifest(folder)
    scores = _scores(home, folder, manifest)
    thresholds = {label.key: label.threshold for label in manifest.labels}
    return {
        "model": manifest.version,
        **figures(scores, thresholds, rng=np.random.default_rng(home.settings.seed)),
    }


def compare_models(
    home: Context,
    champion: str,
    challenger: str,
    *,
    files: Sequence[str] | None = None,
    rejects: RejectSink | None = None,
) -> GateReport:
    """Compare two models on the same texts, by the rules of the gate. Nothing is promoted or written.

    Args:
        home: the home with the store.
        champion: the model that serves, or stands in its place: a version, the beginning of one, or a folder.
        challenger: the model that would replace it.
        files: labelled files to compare them on; None: the newest test set, without texts that either was trained on.
        rejects: collects the rows of files that can't be used.

    Raises:
        ModelError: there is no such model.
        InputError: there is no text with a judgement of a label that both know.
    """
    from pipeline.learning.gate.decide import Contender, compare_with_champion
    from pipeline.learning.gate.rules import Margins
    from pipeline.learning.probes.reading import load_probes
    from saring.actions.models import examples_to_compare, load_folder

    settings = home.settings
    folders = [_folder(home, name) for name in (champion, challenger)]
    first, second = (Contender(load_folder(folder, settings), folder) for folder in folders)
    labels = list(dict.fromkeys([*first.model.labels, *second.model.labels]))
    examples, rows = examples_to_compare(home, files, labels, [first.version, second.version], rejects)
    report = compare_with_champion(
        first,
        second,
        examples,
        rows,
        Margins.of(settings),
        seed=settings.seed,
        probes=load_probes(home.taxonomy, settings.probes_file),
    )
    if report.paired is None and first.version != second.version:
        raise InputError(f"nothing to compare: {rows.origin} has no judgement of a label that both models know")
    return report


def stream_figures(home: Context, version: str | None = None) -> dict[str, Any]:
    """Figures of a model on the stream of texts, from queued texts that volunteers judged after its training.

    Args:
        home: the home with the store.
        version: a version, the beginning of one, or a folder; None: the champion.

    Returns:
        `model`, `builds`, `drawn`, `judged`, `left_out`, and `metrics` as `pipeline.measure.stream` has them.

    Raises:
        ModelError: there is no such model.
        InputError: no text can be used yet.
    """
    import numpy as np

    from pipeline.learning.stream_rows import measure_stream, stream_rows

    model = named_model(home, version)
    with open_session(home.engine) as session:
        stream = stream_rows(session, home.taxonomy, model.manifest.version)
    metrics = measure_stream(model, stream, rng=np.random.default_rng(home.settings.seed))
    return {
        "model": model.manifest.version,
        "builds": stream.builds,
        "drawn": stream.drawn,
        "judged": len(stream.rows),
        "left_out": {"learnt": stream.learnt, "drawn_before_training": stream.earlier},
        "metrics": metrics.to_dict(),
    }


def probe_model(home: Context, version: str | None = None) -> dict[str, Any]:
    """A model tried on the exemplars and near-misses of the taxonomy; see `pipeline.learning.probes.examples`.

    Args:
        home: the home with the taxonomy.
        version: a version, the beginning of one, or a folder; None: the champion.

    Returns:
        `model`, `taxonomy_version`, `labels`, `unknown` and `misses`.

    Raises:
        ModelError: there is no such model.
    """
    from pipeline.learning.probes.examples import probe

    model = named_model(home, version)
    return {
        "model": model.manifest.version,
        "taxonomy_version": home.taxonomy.version,
        **probe(model, home.taxonomy).to_dict(),
    }


def _query() -> Select[Any]:
    """The columns of `RegisteredModel`, in order: all metrics of a model are many more than a list shows."""
    from sqlalchemy import select

    from pipeline import store

    m = store.Model
    return select(
        m.version,
        m.purpose,
        m.state,
        m.metrics["macro_average_precision"],
        m.metrics["test_set"],
        m.created_at,
        m.labels,
        m.thresholds,
        m.reason,
        m.parent,
        m.taxonomy_version,
        m.path,
    )


def _registered(row: Row[Any]) -> RegisteredModel:
    values: list[Any] = list(row)
    version, purpose, state, macro, test_set, created_at, labels, *rest = values
    return RegisteredModel(version, purpose, str(state), macro, test_set, created_at, tuple(labels), *rest)


def _required(reason: str) -> str:
    if not reason.strip():
        raise UsageError("the champion is not changed without a reason: give --reason")
    return reason.strip()


def named_model(home: Context, version: str | None) -> TrainedModel:
    """The model with a version, the beginning of one, or in a folder; None: the champion.

    Raises:
        ModelError: there is no such model.
    """
    from saring.actions.models import load_champion, load_folder

    if version is not None:
        return load_folder(_folder(home, version), home.settings)
    model = load_champion(home.engine, home.settings)
    if model is None:
        raise ModelError("there is no champion yet: give a model's version, or train one with `saring train`")
    return model


def _folder(home: Context, version: str) -> Path:
    """The folder of a model: one of the home's, else that of the registry, which may lie elsewhere."""
    # it needs numpy, and the list of models does not
    from pipeline.models.find import folder_of

    try:
        return folder_of(version, home.settings.models_dir)
    except ModelError:
        from pipeline import store

        with open_session(home.engine) as session:
            model = session.get(store.Model, version)
            if model is None:
                raise
            return Path(model.path)


def _scores(home: Context, folder: Path, manifest: Manifest) -> ScoredTexts:
    """The scores of a model on the newest test set, else those of its training; kept in its folder."""
    import numpy as np

    from pipeline.learning.evaluate import evaluate_examples
    from pipeline.learning.scores import ScoredTexts, read_scores, write_scores
    from pipeline.ledger import test_set
    from saring.actions.models import examples_to_compare, load_folder

    kept = read_scores(folder)
    with open_session(home.engine) as session:
        newest = test_set.newest(session)
    # the test set is about the labels of the taxonomy
    others = manifest.purpose != LABELS
    if kept is not None and (others or newest is None or kept.test_set == newest.version):
        return kept
    model = load_folder(folder, home.settings)
    examples, rows = examples_to_compare(home, None, model.labels, [manifest.version])
    evaluation = evaluate_examples(model, examples, rng=np.random.default_rng(home.settings.seed))
    scores = ScoredTexts.of(evaluation, rows.test_set.version if rows.test_set is not None else None)
    write_scores(folder, scores)
    return scores
