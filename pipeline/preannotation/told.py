"""Reasons of ticks as volunteers read them, in English and Malay. Pure.

What a language model wrote is left out: it may quote the text, and the panel has no blur. So is every example, every
name of a program, and every person. Maintainers read the sources in full (`pipeline.preannotation.proposal.reasons`).
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.preannotation.evidence import Assertion, Evidence, Source
from pipeline.taxonomy import Bilingual, Label

#: of a panel's line, in this order
_LANGUAGES = ("en", "ms")
_SAYS: Mapping[Source, Bilingual] = {
    Source.EXTERNAL: Bilingual(en="A labelled data set says so.", ms="Satu set data berlabel menyatakannya."),
    Source.PSEUDO: Bilingual(
        en="A program that was trained for this label says so.",
        ms="Program yang dilatih untuk label ini menyatakannya.",
    ),
    Source.LLM: Bilingual(en="A language model says so.", ms="Satu model bahasa menyatakannya."),
    Source.BOOTSTRAP: Bilingual(
        en="A program finds the text like examples of this label.",
        ms="Satu program mendapati teks ini serupa dengan contoh label ini.",
    ),
}
_SEVERAL: Mapping[Source, Bilingual] = {
    Source.LLM: Bilingual(en="Several language models say so.", ms="Beberapa model bahasa menyatakannya."),
    Source.EXTERNAL: Bilingual(en="Several labelled data sets say so.", ms="Beberapa set data berlabel menyatakannya."),
}
_DOUBTED = Bilingual(en="A check of ours doubts that.", ms="Satu semakan kami meraguinya.")
_PEOPLE = Bilingual(en="People agreed on it.", ms="Orang bersetuju dengannya.")
_USUAL = Bilingual(en="Many texts have this label.", ms="Banyak teks mempunyai label ini.")
_NOTHING = Bilingual(
    en="Nothing is ticked, because no label seems likely to us. You may see it otherwise.",
    ms="Tiada label ditandakan kerana bagi kami tiada label yang mungkin sesuai. Anda boleh berpendapat lain.",
)


def tell(label: Label, evidence: Evidence, champion: float | None, *, by_people: bool) -> str:
    """The name of a label and the reasons of its tick, in English and Malay, on one line.

    Args:
        label: the label that is ticked.
        evidence: the judgements of its text.
        champion: the champion's probability; None: it does not know the label.
        by_people: whether people agreed on the label.
    """
    sentences = [_PEOPLE] if by_people else _sentences(evidence.assertions.get(label.key, ()), champion)
    en, ms = (" ".join(words) for words in zip(*((sentence.en, sentence.ms) for sentence in sentences), strict=True))
    return " ".join(f"{label.name.en}: {en} / {label.name.ms}: {ms}".split())


def panel(told: Mapping[str, str]) -> str:
    """The reasons of a proposal (`Proposal.told`) as one text for people, a line a label."""
    return "\n".join(told.values()) or f"{_NOTHING.en}\n{_NOTHING.ms}"


def in_language(shown: str, language: str) -> str:
    """A panel in English (`en`) or Malay (`ms`) alone.

    A line that is not in two languages stays as it is.
    """
    lines = []
    for line in shown.splitlines():
        halves = line.split(" / ")
        lines.append(halves[_LANGUAGES.index(language)] if len(halves) == len(_LANGUAGES) else line)
    return "\n".join(lines)


def _sentences(assertions: tuple[Assertion, ...], champion: float | None) -> list[Bilingual]:
    sentences = []
    if champion is not None:
        sentences.append(Bilingual(en=f"Our model is {champion:.0%} sure.", ms=f"Model kami {champion:.0%} yakin."))
    for source in Source:
        of_source = [assertion for assertion in assertions if assertion.source is source]
        if not of_source:
            continue
        several = len({assertion.name for assertion in of_source}) > 1
        sentences.append(_SEVERAL.get(source, _SAYS[source]) if several else _SAYS[source])
        if all(assertion.doubted for assertion in of_source):
            sentences.append(_DOUBTED)
    return sentences or [_USUAL]
