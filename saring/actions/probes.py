"""Probe pairs: the files that they are in, what training data repeat of them, and a model tried on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.learning.probes.reading import BUILT_IN, load_probes
from pipeline.settings import Settings
from pipeline.taxonomy import Taxonomy

if TYPE_CHECKING:
    from pipeline.learning.probes.sentences import ProbePair, ProbeSentences
    from saring.context import Context


@dataclass(frozen=True, slots=True)
class Repeat:
    """Texts that nearly repeat a sentence of a probe pair."""

    #: where the texts are: a file, or `taxonomy`
    data: str
    #: the pair's file and line
    probe: str
    label: str
    function: str
    #: number of texts
    texts: int


@dataclass(frozen=True, slots=True)
class ProbeCheck:
    """Probe pairs that are valid, and what repeats them."""

    #: of the home; None: it has none
    file: str | None
    version: str
    #: number of pairs by file
    files: Mapping[str, int]
    #: number of pairs by label and variety
    labels: Mapping[str, Mapping[str, int]]
    #: number of pairs by function
    functions: Mapping[str, int]
    #: labels of the taxonomy that no pair is of
    without: tuple[str, ...]
    #: files with training texts that were looked at
    data: tuple[str, ...]
    repeats: tuple[Repeat, ...]


def check_probes(
    settings: Settings, taxonomy: Taxonomy, file: Path | None = None, data: Sequence[Path] = ()
) -> ProbeCheck:
    """Check the files of probe pairs, and look for texts that nearly repeat one. Needs no store.

    Args:
        settings: of the home.
        taxonomy: the labels.
        file: a file to check in place of the home's own.
        data: labelled files to look at; none: the newest snapshot of the home, if there is one.

    Raises:
        ProbeError: a file is not valid; `problems` has every mistake with its line.
        InputError: a labelled file cannot be read.
    """
    own = file or settings.probes_file
    probes = load_probes(taxonomy, own)
    looked = tuple(data) or newest_snapshot(settings.snapshots_dir)
    examples = [text for label in taxonomy for text in label.all_exemplars()]
    examples += [miss.text for label in taxonomy for miss in label.all_near_misses()]
    repeats = [*_repeats("taxonomy", examples, probes)]
    for path in looked:
        repeats += _repeats(path.name, _texts_in(path), probes)
    labels = {pair.label: Counter[str]() for pair in probes.pairs}
    for pair in probes.pairs:
        labels[pair.label][pair.variety] += 1
    return ProbeCheck(
        str(own) if own is not None else None,
        probes.version,
        dict(Counter(pair.file for pair in probes.pairs)),
        {label: dict(counts) for label, counts in labels.items()},
        dict(Counter(pair.function for pair in probes.pairs)),
        tuple(key for key in taxonomy.keys if key not in labels),
        tuple(str(path) for path in looked),
        tuple(repeats),
    )


def newest_snapshot(folder: Path) -> tuple[Path, ...]:
    """The newest snapshot in a folder; none if it has none."""
    snapshots = sorted(folder.glob("*.parquet"), key=lambda path: path.stat().st_mtime) if folder.is_dir() else []
    return tuple(snapshots[-1:])


def run_probes(home: Context, version: str | None = None) -> dict[str, Any]:
    """A model tried on the probe pairs of every label that it knows.

    Args:
        home: the home with the models.
        version: a version, the beginning of one, or a folder; None: the champion.

    Returns:
        `model`, `probes` (their version), `own` (the home's file, if any), `unknown` (labels that the model does not
        know), `meanings` (of functions, in both languages), and the figures as `pipeline.learning.probes.figures` has
        them.

    Raises:
        ModelError: there is no such model.
        ProbeError: the home's file is not valid.
    """
    from pipeline.learning.probes.figures import probe_figures
    from saring.actions.registry import named_model

    model = named_model(home, version)
    own = home.settings.probes_file
    probes = load_probes(home.taxonomy, own)
    known = dict.fromkeys(pair.label for pair in probes.pairs)
    return {
        "model": model.manifest.version,
        "probes": probes.version,
        "own": str(own) if own is not None else None,
        "unknown": [label for label in known if label not in model.labels],
        "meanings": {name: words.model_dump() for name, words in probes.functions.items()},
        **probe_figures(model, probes).to_dict(),
    }


def _texts_in(path: Path) -> list[str]:
    from pipeline.texts.labelled_files import clean, read_labelled
    from pipeline.texts.rejects import RejectSink

    with RejectSink() as rejects:
        return [clean(row.text) for row in read_labelled([str(path)], rejects)]


def _repeats(data: str, texts: Sequence[str], probes: ProbeSentences) -> Iterator[Repeat]:
    from pipeline.texts.near_duplicates import Signed, repeating

    whose: dict[str, ProbePair] = {}
    for pair in probes.pairs:
        for text in (pair.has, pair.lacks):
            whose.setdefault(text, pair)
    near = repeating(Signed.of(texts), Signed.of(probes.texts))
    for place, count in sorted(Counter(near.values()).items()):
        pair = whose[probes.texts[place]]
        yield Repeat(data, f"{pair.file or BUILT_IN}:{pair.line}", pair.label, pair.function, count)
