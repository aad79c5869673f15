"""A home, with its actions as methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.progress import Progress, silent
from pipeline.settings import Settings, load_settings
from saring.context import Context
from saring.home.filters import Filters
from saring.home.label_studio import LabelStudio
from saring.home.queue import Queue
from saring.home.review import Review

if TYPE_CHECKING:
    import uuid

    from pipeline.drift.measure import DriftConfig, DriftReport
    from pipeline.filters.cuts import Cut
    from pipeline.filters.names import By
    from pipeline.judgement import RaterKind
    from pipeline.learning.predict import Prediction
    from pipeline.learning.pseudolabel import PseudoConfig, PseudoReport
    from pipeline.llm.translation.protocol import Language
    from pipeline.llm.translation.translate import TranslationReport
    from pipeline.models.artefact import TrainedModel
    from pipeline.raters.imported import ImportReport
    from pipeline.raters.judge import JudgeReport
    from pipeline.runs.executor import Executor
    from pipeline.search.find import Found
    from pipeline.texts.ingest import IngestReport, SourceInfo
    from pipeline.texts.layout import Layout
    from pipeline.texts.readers import Format
    from pipeline.vectors.embed import EmbedReport
    from saring.actions.filtering import Filtered
    from saring.actions.notices import KeptNotice
    from saring.actions.training import Trained


class Home(Context):
    """A home: a folder with a store, models and settings. Services start when they are first needed.

    Args:
        path: the folder; None: the folder in `SARING_HOME`, else `~/.local/share/saring`.
        settings: all settings; None: those of the environment and of the folder's `saring.env`.

    Raises:
        UsageError: a setting has an invalid value.
    """

    def __init__(self, path: str | Path | None = None, *, settings: Settings | None = None) -> None:
        super().__init__(settings if settings is not None else load_settings(home=path))

    def __enter__(self) -> Home:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stop(self) -> None:
        """Stop the services of this home, and close its connections."""
        from saring.services import stop_services

        self.close()
        stop_services(self.settings)

    def ingest(
        self,
        paths: str | Path | Sequence[str | Path],
        source: str | SourceInfo,
        *,
        form: Format | None = None,
        layout: Layout | None = None,
        text_field: str = "text",
        id_field: str = "id",
        follow: Callable[[], bool] | None = None,
        progress: Progress = silent,
    ) -> IngestReport:
        """Read texts into the store; see `saring.actions.texts.ingest`."""
        from saring.actions.texts import ingest

        return ingest(
            self,
            paths,
            source,
            form=form,
            layout=layout,
            text_field=text_field,
            id_field=id_field,
            follow=follow,
            progress=progress,
        )

    def import_labelled(
        self,
        paths: str | Path | Sequence[str | Path],
        source: str | SourceInfo,
        *,
        labels_field: str | None = None,
        mapping: Path | None = None,
        kind: RaterKind | None = None,
        rater: str | None = None,
        rater_field: str | None = None,
        labels_separator: str | None = None,
        preset: str | None = None,
        form: Format | None = None,
        layout: Layout | None = None,
        text_field: str = "text",
        id_field: str = "id",
        progress: Progress = silent,
    ) -> ImportReport:
        """Read labelled texts into the store and the ledger; see `saring.actions.texts.import_labelled`."""
        from pipeline.judgement import RaterKind as Kind
        from saring.actions.texts import import_labelled

        return import_labelled(
            self,
            paths,
            source,
            labels_field=labels_field,
            mapping=mapping,
            kind=kind or Kind.EXTERNAL,
            rater=rater,
            rater_field=rater_field,
            labels_separator=labels_separator,
            preset=preset,
            form=form,
            layout=layout,
            text_field=text_field,
            id_field=id_field,
            progress=progress,
        )

    def embed(
        self,
        encoder: str | None = None,
        *,
        limit: int | None = None,
        executor: Executor | None = None,
        progress: Progress = silent,
    ) -> EmbedReport:
        """Compute missing vectors of texts; see `saring.actions.judging.embed`."""
        from saring.actions.judging import embed

        return embed(self, encoder, limit=limit, executor=executor, progress=progress)

    def judge(
        self,
        rater: str | None = None,
        *,
        limit: int | None = None,
        most_tokens: int | None = None,
        most_cost: float | None = None,
        executor: Executor | None = None,
        progress: Progress = silent,
    ) -> JudgeReport:
        """Have a rater judge the texts that it has not judged yet; see `saring.actions.judging.judge`."""
        from saring.actions.judging import judge

        return judge(
            self,
            rater,
            limit=limit,
            most_tokens=most_tokens,
            most_cost=most_cost,
            executor=executor,
            progress=progress,
        )

    def translate(
        self,
        language: Language = "ms",
        *,
        by: str | None = None,
        limit: int | None = None,
        executor: Executor | None = None,
        progress: Progress = silent,
    ) -> TranslationReport:
        """Translate the store's texts; see `saring.actions.translating.translate`."""
        from saring.actions.translating import translate

        return translate(self, language, by=by, limit=limit, executor=executor, progress=progress)

    def filter(
        self,
        labels: Sequence[str] | None = None,
        *,
        cut: Cut | None = None,
        anchored: bool = False,
        by: By | None = None,
        sentiment: bool = True,
        report: Path | None = None,
        executor: Executor | None = None,
        progress: Progress = silent,
    ) -> Filtered:
        """Reject machine labels that are probably wrong; see `saring.actions.filtering.filter_labels`."""
        from saring.actions.filtering import filter_labels

        return filter_labels(
            self,
            labels,
            cut=cut,
            anchored=anchored,
            by=by,
            sentiment=sentiment,
            report=report,
            executor=executor,
            progress=progress,
        )

    def pseudolabel(
        self,
        labels: Sequence[str] | None = None,
        *,
        config: PseudoConfig | None = None,
        limit: int | None = None,
        executor: Executor | None = None,
        progress: Progress = silent,
    ) -> list[PseudoReport]:
        """Give scarce labels to texts for which a classifier is sure; see `saring.actions.filtering.pseudolabel`."""
        from saring.actions.filtering import pseudolabel

        return pseudolabel(self, labels, config=config, limit=limit, executor=executor, progress=progress)

    def train(
        self,
        files: str | Path | Sequence[str | Path] | None = None,
        *,
        backend: str | None = None,
        objective: str = "f1",
        vectors: bool | None = None,
        transformer: Mapping[str, Any] | None = None,
        without: Sequence[str] = (),
        most: int | None = None,
        negatives: float | None = None,
        executor: Executor | None = None,
        progress: Progress = silent,
    ) -> Trained:
        """Train a model, from the ledger or from labelled files.

        A model that is trained from the ledger goes through the gate; see `saring.actions.training`.

        Args:
            files: labelled JSON lines or Parquet; None: the present state of the ledger.
            backend: `linear` or `transformers`; None: the settings'.
            objective: goal of the thresholds: `f1`, `precision=P` or `recall=R`.
            vectors: give n-grams the encoder's vectors as well; None: the settings'.
            transformer: fields of `TransformerConfig` that differ from the defaults; `budget` may be `20m`.
            without: sources to leave out.
            most: training texts that have a label, at most; None: the settings'.
            negatives: training texts that do not have a label, for each that has it, at most; None: the settings'.
            executor: the place where the stage runs; None: this process. Training from files always runs here.
            progress: called after each step.

        Raises:
            NotEnoughLabels: there are too few labelled texts.
            UsageError: the options cannot be combined.
        """
        from saring.actions.texts import as_paths
        from saring.actions.training import TrainOptions, train, train_from_files

        options = TrainOptions(
            backend, objective, vectors, dict(transformer or {}), tuple(without), most=most, negatives=negatives
        )
        if files is not None:
            return train_from_files(self, as_paths(files), options, progress=progress)
        return train(self, options, executor=executor, progress=progress)

    def model(self, name: str | None = None, *, tell: Callable[[str], None] = lambda _: None) -> TrainedModel:
        """The model with this name; without a name the champion, else the newest.

        Args:
            name: a version, the beginning of a version, or a folder.
            tell: called with a sentence about the chosen model, if no name is given.

        Raises:
            ModelError: there is no such model.
        """
        from saring.actions.models import choose_model

        return choose_model(self.settings, name, tell=tell)

    def predict(self, texts: Iterable[str], model: str | None = None) -> list[Prediction]:
        """The prediction of a model for each text, in order.

        Args:
            texts: texts as people wrote them; they are repaired and masked first.
            model: a version or folder; None: the champion, else the newest.

        Raises:
            ModelError: there is no such model.
        """
        from pipeline.learning.predict import predict_texts

        return predict_texts(self.model(model), list(texts))

    def drift(
        self, config: DriftConfig | None = None, *, seed: int | None = None, progress: Progress = silent
    ) -> DriftReport:
        """Measure whether recent texts are like earlier ones; see `saring.actions.drift.drift`."""
        from saring.actions.drift import drift

        return drift(self, config, seed=seed, progress=progress)

    @property
    def filters(self) -> Filters:
        """The cuts of the filters, and the review sample of what they rejected."""
        return Filters(self)

    def notify(self, kind: str, subject: str, message: str, *, event: str | None = None) -> bool:
        """Record a notice for people; see `saring.actions.notices.notify`."""
        from pipeline.notices.kinds import Kind
        from saring.actions.notices import notify

        return notify(self, Kind(kind), subject, message, event=event)

    def notices(self, *, limit: int = 50) -> list[KeptNotice]:
        """Notices and what was sent of them, newest first."""
        from saring.actions.notices import recent_notices

        return recent_notices(self, limit=limit)

    def search(
        self,
        words: str = "",
        *,
        like: uuid.UUID | str | None = None,
        meaning: str | None = None,
        label: str | None = None,
        tier: str | None = None,
        language: str | None = None,
        source: str | None = None,
        whereabouts: str | None = None,
        limit: int = 20,
        offset: int = 0,
    ) -> Found:
        """Texts that are found by words, by likeness and by filters, the best first; see `saring.actions.searching`.

        Args:
            words: words of the text; "in quotation marks", `or` and `-word` mean what they mean elsewhere.
            like: id of a text that the others are to be like.
            meaning: a sentence that they are to be like.
            label: key or name of a label that the text has.
            tier: tier of that decision, or of the text as a whole.
            language: its language.
            source: name of a source that has it.
            whereabouts: `queued`, `sent` to Label Studio, `judged` by people, or `free` to be queued.
            limit: largest number of texts.
            offset: number of texts to pass over.

        Raises:
            UsageError: nothing is looked for, or it cannot be understood.
            EncoderError: the text to be like has no vector.
        """
        from pipeline.search.query import Query
        from saring.actions.searching import find

        query = Query.of(
            {
                "words": words,
                "like": like,
                "meaning": meaning,
                "label": label,
                "tier": tier,
                "language": language,
                "source": source,
                "whereabouts": whereabouts,
            }
        )
        return find(self, query, limit=limit, offset=offset)

    @property
    def queue(self) -> Queue:
        """The queue of texts for people."""
        return Queue(self)

    @property
    def review(self) -> Review:
        """The review of texts whose labels are in doubt, and the history of each text."""
        return Review(self)

    @property
    def label_studio(self) -> LabelStudio:
        """The Label Studio of this home, where people label."""
        return LabelStudio(self)
