"""Whom to call, for volunteers whose texts may be harmful."""

from __future__ import annotations

from pipeline.taxonomy import Bilingual

#: help lines of Malaysia, on one line: Befrienders KL, the welfare ministry's and the health ministry's
HELP_LINES = Bilingual(
    en="Befrienders KL 03-7627 2929 (all day and night), Talian Kasih 15999, Talian HEAL 15555",
    ms="Befrienders KL 03-7627 2929 (siang dan malam), Talian Kasih 15999, Talian HEAL 15555",
)
