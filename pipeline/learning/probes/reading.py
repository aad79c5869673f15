"""Files of probe sentences: Saring's own, and one of the home, both checked; every mistake is named with its line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pipeline.errors import ProbeError
from pipeline.learning.probes.sentences import ProbePair, ProbeSentences
from pipeline.taxonomy import VARIETIES, Bilingual, Taxonomy
from pipeline.texts.labelled_files import clean
from pipeline.yaml_text import read_yaml_bytes

BUILT_IN = "pipeline/probes.yaml"
_FIELDS = ("built_in", "functions", "probes")
_PAIR = ("has", "lacks")
#: a line of the file, and what is wrong there
_Mistake = tuple[int, str]


@dataclass(frozen=True)
class ProbeFile:
    """One file as it is written: labels are not looked up yet."""

    #: Saring's own pairs are used beside these
    built_in: bool = True
    functions: Mapping[str, Bilingual] = field(default_factory=dict)
    pairs: tuple[ProbePair, ...] = ()


def load_probes(taxonomy: Taxonomy, own: Path | None = None) -> ProbeSentences:
    """The pairs of Saring and of a file of the home, for the labels of the taxonomy.

    Saring's pairs of labels that the taxonomy lacks are left out. In the home's file such a label is a mistake.

    Args:
        taxonomy: the labels.
        own: the home's file; None: it has none.

    Raises:
        ProbeError: a file cannot be read or is not valid; `problems` has every mistake with its line.
    """
    built_in = _parsed(files("pipeline").joinpath("probes.yaml").read_bytes(), BUILT_IN, ())
    ours = tuple(pair for pair in built_in.pairs if pair.label in taxonomy)
    if own is None:
        return ProbeSentences(ours, built_in.functions)
    try:
        content = own.read_bytes()
    except OSError as error:
        raise ProbeError(f"{own}: cannot be read ({error.strerror}); check SARING_PROBES") from error
    theirs = parse_probes(content, str(own), taxonomy, built_in.functions)
    functions = {**built_in.functions, **theirs.functions}
    return ProbeSentences(((*ours, *theirs.pairs) if theirs.built_in else theirs.pairs), functions)


def parse_probes(content: bytes, where: str, taxonomy: Taxonomy, known: Mapping[str, Bilingual]) -> ProbeFile:
    """Check the content of a home's file, whose labels may have any name that the taxonomy knows.

    Args:
        content: the file.
        where: its name in messages.
        taxonomy: the labels.
        known: functions that need no description.

    Raises:
        ProbeError: the content is not valid; `problems` has every mistake with its line.
    """
    parsed = _parsed(content, where, tuple(known))
    mistakes: list[_Mistake] = []
    pairs = []
    for pair in parsed.pairs:
        key = taxonomy.canonical(pair.label)
        if key is None:
            mistakes.append((pair.line, f"no label is called {pair.label!r}{_meant(pair.label, taxonomy.keys)}"))
        else:
            pairs.append(ProbePair(key, pair.function, pair.variety, pair.has, pair.lacks, pair.file, pair.line))
    _raise(mistakes, where)
    return ProbeFile(parsed.built_in, parsed.functions, tuple(pairs))


@lru_cache(maxsize=4)
def _parsed(content: bytes, where: str, known: tuple[str, ...]) -> ProbeFile:
    document = _document(content, where)
    mistakes: list[_Mistake] = [
        (_line(document, name), f"there is no field `{name}`{_meant(name, _FIELDS)}")
        for name in document
        if name not in _FIELDS
    ]
    built_in = document.get("built_in", True)
    if not isinstance(built_in, bool):
        mistakes.append((_line(document, "built_in"), "`built_in` is true or false"))
    functions = dict(_functions(document, mistakes))
    pairs = tuple(_pairs(document, {*known, *functions}, where, mistakes))
    mistakes += _repeated(pairs)
    _raise(mistakes, where)
    return ProbeFile(bool(built_in), functions, pairs)


def _document(content: bytes, where: str) -> Any:
    document = read_yaml_bytes(content, where, ProbeError)
    if not isinstance(document, dict) or not isinstance(document.get("probes"), dict):
        raise ProbeError(f"{where}:1: expected a mapping `probes` from labels to functions, as docs/probes.md shows")
    return document


def _functions(document: Any, mistakes: list[_Mistake]) -> Iterator[tuple[str, Bilingual]]:
    node = document.get("functions") or {}
    if not isinstance(node, dict):
        mistakes.append((_line(document, "functions"), "`functions` is a mapping from names to descriptions"))
        return
    for name, words in node.items():
        texts = [words.get(language) for language in ("en", "ms")] if isinstance(words, dict) else []
        if texts and all(isinstance(text, str) and text.strip() for text in texts):
            yield str(name), Bilingual(en=texts[0], ms=texts[1])
        else:
            advice = "needs a description in both languages, as in `{en: Thanks, ms: Terima kasih}`"
            mistakes.append((_line(node, name), f"function {name!r} {advice}"))


def _pairs(document: Any, functions: set[str], where: str, mistakes: list[_Mistake]) -> Iterator[ProbePair]:
    for label, function, variety, node, line in _lists(document["probes"], functions, mistakes):
        place = f"{label}, {function}, {variety}"
        if not isinstance(node, list):
            mistakes.append((line, f"{place}: expected a list of `has` and `lacks`"))
            continue
        entries: Any = node
        for i, entry in enumerate(entries):
            at = entries.lc.item(i)[0] + 1
            if wrong := _wrong_pair(entry):
                mistakes.append((at, f"{place}: {wrong}"))
            else:
                yield ProbePair(label, function, variety, clean(entry["has"]), clean(entry["lacks"]), where, at)


def _lists(probes: Any, functions: set[str], mistakes: list[_Mistake]) -> Iterator[tuple[str, str, str, Any, int]]:
    """The lists of pairs: label, function, variety, list, and line."""
    for label, by_function in probes.items():
        if not isinstance(by_function, dict):
            mistakes.append((_line(probes, label), f"label {label!r}: expected a mapping from functions to varieties"))
            continue
        for function, by_variety in by_function.items():
            line = _line(by_function, function)
            if function not in functions:
                advice = _meant(str(function), functions) or ": describe it under `functions`"
                mistakes.append((line, f"label {label!r}: no function is called {function!r}{advice}"))
                continue
            if not isinstance(by_variety, dict):
                mistakes.append((line, f"{label}, {function}: expected a list for each of {', '.join(VARIETIES)}"))
                continue
            for variety, entries in by_variety.items():
                line = _line(by_variety, variety)
                if variety in VARIETIES:
                    yield str(label), str(function), variety, entries, line
                else:
                    advice = f"give any of {', '.join(VARIETIES)}"
                    mistakes.append((line, f"{label}, {function}: unknown variety {variety!r}: {advice}"))


def _wrong_pair(entry: Any) -> str | None:
    """The fault of a pair; None: it has none."""
    if not isinstance(entry, dict):
        return "a probe is a pair, as in `{has: a sentence with the label, lacks: one without it}`"
    if unknown := [name for name in entry if name not in _PAIR]:
        return f"there is no field `{unknown[0]}`{_meant(str(unknown[0]), _PAIR)}"
    for name in _PAIR:
        if name not in entry:
            return f"`{name}` is missing"
        if not isinstance(entry[name], str) or not clean(entry[name]):
            return f"`{name}` is no text: put it in quotes"
    if clean(entry["has"]).casefold() == clean(entry["lacks"]).casefold():
        return "both sentences are the same"
    return None


def _repeated(pairs: Sequence[ProbePair]) -> Iterator[_Mistake]:
    """Sentences that a label has twice; the same sentence may stand under two labels."""
    seen: dict[tuple[str, str], int] = {}
    for pair in pairs:
        for text in (pair.has, pair.lacks):
            first = seen.setdefault((pair.label, text.casefold()), pair.line)
            if first != pair.line:
                yield pair.line, f"{pair.label}, {pair.function}: a sentence repeats one of line {first}"


def _line(node: Any, key: Any) -> int:
    return int(node.lc.key(key)[0]) + 1


def _meant(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f": did you mean {near[0]!r}?" if near else ""


def _raise(mistakes: Sequence[_Mistake], where: str) -> None:
    if mistakes:
        in_order = sorted(dict.fromkeys(mistakes), key=lambda mistake: mistake[0])
        raise ProbeError.listing([f"{where}:{line}: {words}" for line, words in in_order])
