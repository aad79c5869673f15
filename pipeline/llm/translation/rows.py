"""Labelled sets in another language: the same labels, translated texts, and where each came from."""

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
    """What became of the rows; filled in as they are taken."""

    rows: int = 0
    translated: int = 0
    #: rows that are in that language as they are
    already: int = 0
    #: rows without a translation
    left_out: int = 0
    #: texts by the reason why there is no translation
    failed: dict[str, int] = field(default_factory=dict)
    #: what a language model took
    tokens: int = 0
    cost: float = 0.0
    #: labels by how many of the rows that were written assert them
    labels: dict[str, int] = field(default_factory=dict)

    def add(self, some: Translated) -> None:
        """Count what a translator made, and what it took."""
        self.failed = dict(Counter(self.failed) + Counter(some.failed))
        self.tokens += sum(one.reply.prompt_tokens + one.reply.completion_tokens for one in some.paid)
        self.cost += sum(one.cost for one in some.paid)


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

    A row whose language is `language` stays as it is.

    Labels, source and split stay. The id says that it is a translation, and the field `translation` says of which row,
    from which language, and by whom.

    Args:
        engine: the store, which keeps the translations.
        translator: who translates.
        rows: labelled texts in another language.
        language: into which.
        counts: filled in.
        progress: told of every portion.
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
    # what the file says of the language is no longer so
    others = {name: value for name, value in row.extra.items() if name != "language"}
    return replace(
        row,
        # what a translator writes may hold what looks like personal data
        text=clean(body),
        id=f"{row.id}:{language}",
        language=language,
        extra=others | {"translation": where},
    )
