"""Which licences let texts go, in the spellings that people use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sharing.licences import Sharing, terms_of


@pytest.mark.parametrize(
    ("written", "sharing", "spdx", "hub"),
    [
        ("CC0-1.0", Sharing.OPEN, "CC0-1.0", "cc0-1.0"),
        ("cc0 1.0", Sharing.OPEN, "CC0-1.0", "cc0-1.0"),
        ("CC BY 4.0", Sharing.OPEN, "CC-BY-4.0", "cc-by-4.0"),
        ("CC-BY-SA-3.0-ES", Sharing.OPEN, "CC-BY-SA-3.0-ES", "cc-by-sa-3.0"),
        ("MIT License", Sharing.OPEN, "MIT", "mit"),
        ("apache license 2.0", Sharing.OPEN, "Apache-2.0", "apache-2.0"),
        ("GPL-3.0-or-later", Sharing.OPEN, "GPL-3.0", "gpl-3.0"),
        ("cc by-nc-sa 4.0", Sharing.NON_COMMERCIAL, "CC-BY-NC-SA-4.0", "cc-by-nc-sa-4.0"),
        ("CC-BY-ND-4.0", Sharing.CLOSED, "CC-BY-ND-4.0", None),
        ("CC-BY-NC-ND-4.0", Sharing.CLOSED, "CC-BY-NC-ND-4.0", None),
        # without a version nobody knows which licence it is
        ("CC BY", Sharing.CLOSED, "CC BY", None),
        ("available for personal use", Sharing.CLOSED, "available for personal use", None),
        ("none", Sharing.CLOSED, None, None),
        ("  ", Sharing.CLOSED, None, None),
        (None, Sharing.CLOSED, None, None),
    ],
)
def test_what_a_licence_allows(written: str | None, sharing: Sharing, spdx: str | None, hub: str | None) -> None:
    terms = terms_of(written)
    assert (terms.sharing, terms.licence, terms.hub) == (sharing, spdx, hub)
    assert bool(terms.why) == (sharing is not Sharing.OPEN)


def test_permission_opens_what_is_closed_and_does_not_make_it_commercial() -> None:
    assert terms_of(None, permitted=True).sharing is Sharing.OPEN
    assert terms_of("ask me first", permitted=True).sharing is Sharing.OPEN
    assert terms_of("CC-BY-NC-4.0", permitted=True).sharing is Sharing.NON_COMMERCIAL


@given(st.text())
def test_words_that_name_no_licence_never_open_a_source(words: str) -> None:
    assert terms_of(f"not {words}").sharing is Sharing.CLOSED
