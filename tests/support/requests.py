"""Drawn JSON, and drawn tasks of requests for predictions: sound ones and any others."""

from __future__ import annotations

from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
TASKS = st.lists(
    JSON
    | st.fixed_dictionaries({"data": JSON})
    | st.fixed_dictionaries({"data": st.fixed_dictionaries({"text": JSON}, optional={"text_id": JSON, "batch": JSON})}),
    max_size=8,
)
