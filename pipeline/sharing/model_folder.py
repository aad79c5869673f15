"""Write a model as a folder that others can use without Saring.

A transformer becomes what plain transformers loads, with the network's code beside it where that is not transformers'
own; a linear model becomes a folder with a small program. Both carry thresholds, calibration and a card. What shows
texts (the gate's report) stays behind.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.atomic import new_folder
from pipeline.errors import ModelError, UsageError
from pipeline.models import artefact
from pipeline.models.artefact import MANIFEST, Manifest
from pipeline.models.backends import BESIDE, backend_of
from pipeline.sharing.model_card import write_model_card
from pipeline.sharing.model_sources import SourceFact
from pipeline.taxonomy import Taxonomy
from pipeline.texts import masking

#: of a model folder, what goes along although it is no part of the model
_PLOTS = ("precision-recall.png", "reliability.png")
_EXPORTED = Path(__file__).parent / "exported"


@dataclass(frozen=True, slots=True)
class Exported:
    """A folder that was written."""

    model: str
    path: Path
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class About:
    """What the card says beyond what the model's folder knows."""

    taxonomy: Taxonomy
    sources: Sequence[SourceFact] = ()
    #: of the model, as the Hub names licences
    licence: str | None = None
    #: where the card's examples find the model
    name: str = "."


def export_model(folder: Path, out: Path, about: About) -> Exported:
    """Write the model in `folder` to `out`, whole or not at all.

    Args:
        folder: a model's.
        out: not there yet, empty, or an earlier export of the same model, which is replaced.
        about: for the card.

    Raises:
        ModelError: there is no model, it is not what was trained, or it can't be used without Saring.
        UsageError: `out` holds something else.
    """
    manifest = artefact.read_manifest(folder)
    _fit_to_share(folder, manifest)
    _free(out, manifest)
    out.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(out) as made:
        for path in _files_of(folder, manifest):
            shutil.copyfile(path, made / path.name)
        if manifest.backend == "linear":
            shutil.copyfile(_EXPORTED / "predict.py", made / "predict.py")
        else:
            _describe_network(made, manifest)
        # what hides personal data from the model, so that others can do the same
        shutil.copyfile(masking.__file__, made / "masking.py")
        shared = manifest.model_copy(update={"artefact_hash": backend_of(manifest.backend).hash_of(made)})
        (made / MANIFEST).write_text(shared.model_dump_json(indent=2) + "\n", encoding="utf-8")
        write_model_card(made, shared, about.taxonomy, about.sources, licence=about.licence, name=about.name)
    return Exported(manifest.version, out, tuple(sorted(path.name for path in out.iterdir())))


def _fit_to_share(folder: Path, manifest: Manifest) -> None:
    if manifest.backend == "transformers-int8":
        original = manifest.config.get("quantised_from", "the model that it was made from")
        raise ModelError(f"{manifest.version}: only Saring reads 8-bit models: export {original}")
    if manifest.encoder is not None:
        raise ModelError(
            f"{manifest.version} needs the vectors of encoder {manifest.encoder!r}, so it is of no use without Saring: "
            "train one without --vectors to share it"
        )
    if backend_of(manifest.backend).hash_of(folder) != manifest.artefact_hash:
        raise ModelError(f"{folder}: not what was trained (its hash differs): fetch or train the model again")


def _free(out: Path, manifest: Manifest) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        if artefact.read_manifest(out).version == manifest.version and (out / "masking.py").is_file():
            return
    except ModelError:
        pass
    raise UsageError(f"{out}: is there already and no export of {manifest.version}: choose another --out")


def _files_of(folder: Path, manifest: Manifest) -> list[Path]:
    backend = backend_of(manifest.backend)
    if backend.file is not None:
        found = [folder / backend.file]
    else:
        found = [
            path
            for path in folder.iterdir()
            if path.is_file() and path.name not in BESIDE and not path.name.startswith(".")
        ]
    return sorted([*found, *(folder / name for name in _PLOTS if (folder / name).is_file())])


def _describe_network(made: Path, manifest: Manifest) -> None:
    """Have the config say how logits become labels, and where the network's own code is."""
    path = made / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({error}): fetch or train the model again") from error
    config["saring"] = {
        "version": manifest.version,
        "exclusive": manifest.exclusive,
        "thresholds": {label.key: label.threshold for label in manifest.labels},
        "calibration": {label.key: {"slope": label.slope, "offset": label.offset} for label in manifest.labels},
    }
    if config.get("model_type") == "mistral":
        # its package is not imported here: that would load torch, to copy a file
        code = Path(artefact.__file__).parent / "mistral" / "modeling_bidirectional_mistral.py"
        shutil.copyfile(code, made / code.name)
        config["auto_map"] = {"AutoModelForSequenceClassification": f"{code.stem}.MistralForSequenceClassification"}
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
