"""A model by itself, without a home or a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ModelError, UsageError

if TYPE_CHECKING:
    from pipeline.learning.predict import Prediction
    from pipeline.measure.arrays import Scores
    from pipeline.models.artefact import TrainedModel
    from pipeline.models.protocol import Encode


class Model:
    """A trained classifier with its calibration and thresholds."""

    def __init__(self, trained: TrainedModel) -> None:
        self._trained = trained

    @property
    def version(self) -> str:
        """The version, which the model got when it was trained."""
        return self._trained.manifest.version

    @property
    def labels(self) -> tuple[str, ...]:
        """Keys of the labels, in the order of the columns of `probabilities`."""
        return self._trained.labels

    @property
    def thresholds(self) -> Mapping[str, float]:
        """The threshold of each label: it is predicted from this probability on."""
        return self._trained.thresholds

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """The prediction for each text, in order.

        Args:
            texts: texts as people wrote them; they are repaired and masked first.
        """
        from pipeline.learning.predict import predict_texts

        return predict_texts(self._trained, texts)

    def probabilities(self, texts: Sequence[str]) -> Scores:
        """Calibrated probabilities: float64 [texts, labels], each from 0 to 1.

        Args:
            texts: texts as people wrote them; they are repaired and masked first.
        """
        from pipeline.texts.labelled_files import clean

        return self._trained.probabilities([clean(text) for text in texts])


def load_model(name: str | Path, *, revision: str | None = None) -> Model:
    """Load a model that Saring trained or exported.

    A linear model needs the base install only. A transformer needs the extra `transformers`, a name on the Hugging Face
    Hub the extra `hub`.

    Args:
        name: a model's folder, or its name on the Hub, as OWNER/NAME.
        revision: a branch, tag or commit on the Hub; None: the newest.

    Raises:
        ModelError: there is no such model, or it is damaged.
        UsageError: a package is missing; the message names the extra.
    """
    from pipeline.models.find import open_model

    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _from_hub(str(name), revision)
    return Model(open_model(folder, _encode_by))


def _encode_by(encoder: str) -> Encode:
    """The vectors of an encoder, with the settings of the environment."""
    from pipeline.settings import load_settings
    from pipeline.vectors.encoders.make import encoders_of

    return encoders_of(load_settings())(encoder)


def _from_hub(name: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise UsageError(
            f"there is no folder {name!r}; to load it from the Hugging Face Hub, run: pip install 'saring[hub]'"
        ) from error
    from pipeline.models.hub import model_place

    folder = Path(model_place(name, revision=revision))
    if folder.is_dir():
        return folder
    try:
        return Path(snapshot_download(name, revision=revision))
    except OSError as error:
        raise ModelError(
            f"{name!r} cannot be downloaded from the Hugging Face Hub: check the name and the network"
        ) from error
