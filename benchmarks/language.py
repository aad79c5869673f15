"""Accuracy and speed of the language detector on the labelled sets, beside lingua alone.

The `lang` of a set is that of the set and not of each row: the Indonesian sets hold some Malay and the Malay sets some
Indonesian, and both some English, so 1.0 is out of reach for anyone. A mixture counts as right if the set's language is
part of it. Prints one JSON line a set and one for all of them.

    python benchmarks/language.py [--limit 2000] [FILE.jsonl.gz ...]
"""

from __future__ import annotations

import argparse
import gzip
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import orjson
from _measure import emit, require, shared_data
from lingua import LanguageDetector, LanguageDetectorBuilder

from pipeline.texts.language import LINGUA, MarkerDetector
from pipeline.texts.masking import mask
from pipeline.texts.normalise import repair


def main() -> None:
    """Measure every set on every detector."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("files", nargs="*", type=Path, help="labelled JSON lines; default: all of the shared data")
    arguments.add_argument("--limit", type=int, default=2000, help="rows of each file")
    options = arguments.parse_args()
    paths = options.files or [p for p in sorted(shared_data().glob("*.jsonl.gz")) if p.name != "raw_stream.jsonl.gz"]
    require(paths or [shared_data()])
    detectors = {
        "ours": _ours(accurate=False),
        "ours_all_models": _ours(accurate=True),
        "lingua_trigrams": _lingua(accurate=False),
        "lingua_all_models": _lingua(accurate=True),
    }
    right, seconds, total = dict.fromkeys(detectors, 0), dict.fromkeys(detectors, 0.0), 0
    for path in paths:
        texts, languages = _read(path, options.limit)
        figures: dict[str, object] = {"set": path.name.removesuffix(".jsonl.gz"), "texts": len(texts)}
        for name, detect in detectors.items():
            start = time.perf_counter()
            detections = [detect(text) for text in texts]
            seconds[name] += time.perf_counter() - start
            correct = sum(
                language in (detected or "").split("-")
                for detected, language in zip(detections, languages, strict=True)
            )
            figures[f"{name}_accuracy"] = correct / len(texts)
            right[name] += correct
        emit("language", figures)
        total += len(texts)
    summary: dict[str, object] = {"set": "all", "texts": total}
    for name in detectors:
        summary |= {f"{name}_accuracy": right[name] / total, f"{name}_texts_per_s": total / seconds[name]}
    emit("language", summary)


def _read(path: Path, limit: int) -> tuple[Sequence[str], Sequence[str]]:
    with gzip.open(path) as lines:
        rows = [orjson.loads(line) for line in islice(lines, limit)]
    return [mask(repair(row["text"])) for row in rows], [row["lang"] for row in rows]


def _ours(*, accurate: bool) -> Callable[[str], str | None]:
    detector = MarkerDetector(accurate)
    detector.detect("zzz qqq")  # Loading at first use is not counted.
    return lambda text: detector.detect(text).language


def _lingua(*, accurate: bool) -> Callable[[str], str | None]:
    builder = LanguageDetectorBuilder.from_languages(*LINGUA).with_preloaded_language_models()
    detector: LanguageDetector = (builder if accurate else builder.with_low_accuracy_mode()).build()

    def detect(text: str) -> str | None:
        language = detector.detect_language_of(text)
        return LINGUA[language] if language is not None else None

    return detect


if __name__ == "__main__":
    main()
