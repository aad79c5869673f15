"""Labelled lines, as files hold them."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pipeline.texts.labelled import SPLITS, LabelledText

_TEXTS = st.text(st.characters(codec="utf-8"))
_LABELS = st.frozensets(st.sampled_from(("hate", "porn", "safe for work")))
rows = st.builds(
    LabelledText,
    text=_TEXTS,
    id=_TEXTS,
    labels=_LABELS,
    not_labels=_LABELS,
    source=_TEXTS,
    split=st.none() | st.sampled_from(SPLITS),
    language=st.none() | st.sampled_from(("ms", "en")),
    sentiment=st.none() | st.sampled_from(("negative", "neutral", "positive")),
)


@given(rows)
def test_a_line_says_everything_that_is_known(row: LabelledText) -> None:
    line = row.to_json()
    assert b"\n" not in line
    found = orjson.loads(line)
    assert (found["id"], found["text"], found["source"]) == (row.id, row.text, row.source)
    assert found["labels"] == sorted(row.labels)
    assert found["not_labels"] == sorted(row.not_labels)
    assert (found.get("split"), found.get("lang"), found.get("sentiment")) == (row.split, row.language, row.sentiment)
    assert None not in found.values()


def test_fields_that_mean_nothing_to_saring_are_written_back() -> None:
    row = LabelledText("teks", id="1", extra={"likes": 3, "user": {"name": "x"}})
    found = orjson.loads(row.to_json())
    assert found["likes"] == 3
    assert found["user"] == {"name": "x"}


def test_kept_fields_never_replace_what_saring_knows() -> None:
    row = LabelledText("teks", labels=frozenset({"hate"}), extra={"labels": ["porn"], "text": "lain"})
    found = orjson.loads(row.to_json())
    assert found["labels"] == ["hate"]
    assert found["text"] == "teks"
