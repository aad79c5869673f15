"""Labelled sets in another language: the same labels, translated texts, and the origin of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from sqlalchemy import Engine

from pipeline.llm.translation.protocol import Language, Translated, Translator
from pipeline.llm.translation.translate import translated
from pipeline.progress import Progress, silent
from pipeline.texts.labelled import LabelledText
from pipeline.texts.labelled_files import clean

#: rows translated together
_PORTION = 500


@dataclass
class RowCounts:
    """Counts of translated rows; updated as rows are taken."""

    rows: int = 0
    translated: int = 0
    #: rows that are in that language already
    already: int = 0
    #: rows without a translation
    left_out: int = 0
    #: number of texts by the reason why there is no translation
    failed: dict[str, int] = field(default_factory=dict)
    #: tokens and cost of a language model
    tokens: int = 0
    cost: float = 0.0
    #: number of translated rows that assert each label
    labels: dict[str, int] = field(default_factory=dict)

    def add(self, batch: Translated) -> None:
        """Count the failures, tokens and cost of a batch."""
        self.failed = dict(Counter(self.failed) + Counter(batch.failed))
        self.tokens += sum(paid.reply.prompt_tokens + paid.reply.completion_tokens for paid in batch.paid)
        self.cost += sum(paid.cost for paid in batch.paid)


def translated_rows(
    engine: Engine,
    translator: Translator,
    rows: Iterable[LabelledText],
    language: Language,
    counts: RowCounts,
    *,
    progress: Progress = silent,
) -> Iterator[LabelledText]:
    """Labelled rows in `language`, masked. Translations are stored, so that the same rows cost nothing a second time.

    A row whose language is `language` already is only masked.

    Labels, source and split stay. The id ends with the language, and the field `translation` gives the row, the
    language and the translator that the text comes from.

    Args:
        engine: the store, which keeps the translations.
        translator: the translator.
        rows: labelled texts in another language.
        language: the target language.
        counts: updated.
        progress: called after every portion.
    """
    portion: list[LabelledText] = []
    for row in rows:
        portion.append(row)
        if len(portion) == _PORTION:
            yield from _translate(engine, translator, portion, language, counts)
            progress(counts.rows, None, f"translating into {language}")
            portion = []
    yield from _translate(engine, translator, portion, language, counts)
    progress(counts.rows, counts.rows, f"translating into {language}")


def _translate(
    engine: Engine, translator: Translator, rows: list[LabelledText], language: Language, counts: RowCounts
) -> Iterator[LabelledText]:
    counts.rows += len(rows)
    masked = [clean(row.text) for row in rows]
    others = [text for row, text in zip(rows, masked, strict=True) if row.language != language]
    bodies = translated(engine, translator, others, language, told=counts.add)
    for row, text in zip(rows, masked, strict=True):
        made = _in(language, row, text, bodies.get(text), translator.name)
        if made is None:
            counts.left_out += 1
            continue
        if row.language == language:
            counts.already += 1
        else:
            counts.translated += 1
        for label in sorted(row.labels):
            counts.labels[label] = counts.labels.get(label, 0) + 1
        yield made


def _in(language: Language, row: LabelledText, text: str, body: str | None, by: str) -> LabelledText | None:
    if row.language == language:
        return replace(row, text=text)
    if body is None:
        return None
    where = {"of": row.id, "from": row.language, "by": by}
    # The language in the file is that of the original text.
    others = {name: value for name, value in row.extra.items() if name != "language"}
    return replace(
        row,
        # A translation may hold personal data, or text that looks like it.
        text=clean(body),
        id=f"{row.id}:{language}",
        language=language,
        extra=others | {"translation": where},
    )
