"""The looks of the labelling page, as the `<Style>` of its label config.

Label Studio puts this style into the whole page, so it reaches Label Studio's own buttons and panels as well. It cleans
styles as if they were HTML, so no `>` and no `<` may stand in them. Rules that need `:has()` only add hints: a browser
that does not know it shows the page without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

#: Classes of our own parts of the page.
PAGE, TEXT_BOX, BLURRED, PLAIN, CHOICES, WHY, CONFLICT = (
    "saring-page",
    "saring-text",
    "saring-blur",
    "saring-plain",
    "saring-choices",
    "saring-why",
    "saring-conflict",
)

#: The text is blurred while its panel is closed, and a click, a tap or Enter opens and closes it. The panel of the next
#: text is closed, so nothing depends on where the pointer rests. The heading lies over the whole box, so that the text
#: itself can be tapped.
_BLUR = """
.saring-text .ant-collapse-header { position: absolute !important; inset: 0; z-index: 2; cursor: pointer;
  display: flex; align-items: flex-end !important; padding: 8px 12px !important; }
.saring-text .ant-collapse-header-text { font-weight: 600; }
.saring-text .ant-collapse-item { position: relative; }
.saring-text .ant-collapse-content { display: block !important; height: auto !important; opacity: 1 !important;
  border: 0; }
.saring-text .ant-collapse-content-box { padding: 16px 16px 48px !important; min-height: 112px;
  box-sizing: border-box; }
.saring-text .saring-blur { filter: blur(0.6em); user-select: none; }
.saring-text .ant-collapse-header[aria-expanded=true] + .ant-collapse-content .saring-blur { filter: none; }
.saring-text .ant-collapse-header:focus-visible { outline: 3px solid var(--color-primary-border, #4c5fa9);
  outline-offset: -3px; }
""".strip()

_PAGE = """
.saring-page .ant-collapse, .saring-page .ant-collapse-item, .saring-page .ant-collapse-content,
.saring-page .ant-collapse-header { background: var(--color-neutral-surface, inherit) !important;
  color: var(--color-neutral-content, inherit) !important; border-color: var(--color-neutral-border, #888) !important; }
.saring-text .ant-collapse-header { background: transparent !important; }
.saring-page .lsf-richtext__line, .saring-page .lsf-richtext__container { color: inherit !important; }
.saring-choices .ant-checkbox-inner { border: 2px solid var(--color-neutral-content-subtle, #666) !important; }
.saring-text .lsf-richtext__line, .saring-text .lsf-richtext__container { font-size: 22px !important;
  line-height: 1.5 !important; overflow-wrap: anywhere; }
.saring-choices .lsf-choices { gap: 4px 8px; margin: 8px 0; }
.saring-choices .lsf-choice__item { border-radius: 4px; }
.saring-choices .lsf-choice__checkbox { min-height: 40px; align-items: center; font-size: 16px; line-height: 1.3; }
.saring-choices small { font-size: 14px; color: var(--color-neutral-content-subtle, inherit); }
.saring-choices .lsf-hint { color: var(--color-neutral-content-subtle, inherit); }
.saring-conflict { display: none; border-left: 4px solid var(--color-canteloupe-600, #b54708); padding: 4px 12px;
  background: var(--color-neutral-emphasis-subtle, transparent); }
.saring-conflict * { font-size: 16px !important; font-weight: 600; line-height: 1.4 !important;
  margin: 0 !important; }
.saring-why * { white-space: pre-line; font-size: 16px; font-weight: normal; }
.lsf-sidepanels { padding: 0 !important; }
.lsf-sidepanels__wrapper, .lsf-history-buttons, .lsf-model-actions { display: none !important; }
[data-testid=bottombar-settings-button], [data-testid=bottombar-submit-dropdown] { display: none !important; }
.lsf-menu-header__context a[href$="/settings"],
.lsf-menu-header__hotkeys, .lsf-menu-header__userpic-badge { display: none !important; }
[data-testid=bottombar-submit-button], [data-testid=bottombar-skip-button],
[data-testid=bottombar-update-button] { min-height: 44px; }
[data-testid=bottombar-submit-button] span::after { content: "/ Hantar"; }
[data-testid=bottombar-skip-button] span::after { content: "/ Langkau"; }
[data-testid=bottombar-update-button] span::after { content: "/ Kemas kini"; }
.lsf-editor { width: 100% !important; min-width: 0 !important; }
.lsf-bottombar .lsf-controls { padding-right: 8px; }
[data-testid^=bottombar-] { border-radius: 4px !important; }
[class*=toast-viewport] { top: 56px !important; bottom: auto !important; }
.lsf-modal-ls__content, .ant-modal { max-width: calc(100vw - 24px) !important; }
.lsf-modal-ls__wrapper { padding: 12px 0 !important; }
.lsf-modal-ls__body { overflow-wrap: anywhere; font-size: 16px; line-height: 1.5; }
.lsf-modal-ls__body ul { list-style: disc; padding-left: 1.5em; }
.lsf-modal-ls__body li, .lsf-modal-ls__body p { margin: 0 0 0.6em; }
.lsf-modal-ls__body summary { cursor: pointer; min-height: 24px; font-weight: 600; margin: 0.4em 0; }
.lsf-modal-ls__body h4 { margin: 1em 0 0.3em; }
@media (max-width: 820px) {
  .lsf-main-view__annotation { padding: 12px !important; }
  .saring-choices .lsf-choices:not(.lsf-choices_hidden) { display: grid;
    grid-template-columns: repeat(auto-fill, minmax(min(100%, 11.5em), 1fr)); }
  .saring-choices .lsf-choice__item { margin: 0 !important; }
  .saring-choices .lsf-choice__checkbox { width: 100%; min-height: 44px; }
  .saring-choices .lsf-hint { display: none; }
  .lsf-menu-header__trigger { min-width: 0 !important; padding: 0 12px !important; }
  .lsf-menu-header__trigger svg { display: none; }
  .lsf-breadcrumbs { display: none; }
  .lsf-menu-header__context { padding: 0 !important; justify-content: flex-end !important; }
  [class*=themeToggle__label] { display: none; }
}
@media (max-width: 600px) {
  .saring-page h3 { font-size: 18px !important; line-height: 1.3 !important; }
  /* Label Studio shows its pages at nine tenths of their size on a phone */
  .saring-text .lsf-richtext__line, .saring-text .lsf-richtext__container { font-size: 24px !important; }
  .saring-text .ant-collapse-content-box { padding-bottom: 64px !important; }
  .lsf-bottombar__group:first-child { display: none !important; }
  .lsf-bottombar__group, .lsf-bottombar__section, .lsf-bottombar .lsf-controls { width: 100%; }
  .lsf-bottombar .lsf-controls { padding: 0 !important; }
  .lsf-bottombar .lsf-controls button { width: 100%; min-height: 48px; }
  .lsf-controls__tooltip-wrapper, .lsf-controls__tooltip-wrapper div { width: 100%; }
}
""".strip()


def page_style(excluding: Iterable[tuple[str, str]], *, blurred: bool) -> str:
    """The style of a page.

    Args:
        excluding: pairs of choices that do not go together.
        blurred: whether the text is blurred until it is opened.
    """
    rules = [_BLUR] if blurred else []
    return "\n".join([*rules, _PAGE, *_conflicts(excluding)])


def _conflicts(excluding: Iterable[tuple[str, str]]) -> list[str]:
    """Rules that show the hint, and mark the two boxes, where both of a pair are ticked; one for each first box."""
    others: dict[str, list[str]] = {}
    for first, second in excluding:
        others.setdefault(first, []).append(second)
    return [rule for first, seconds in others.items() for rule in _conflict(first, seconds)]


def _conflict(first: str, seconds: list[str]) -> list[str]:
    here, there = _ticked(first), ", ".join(map(_ticked, seconds))
    place = f".saring-page:has({here}):has({there})"
    mark = "outline: 2px solid var(--color-canteloupe-600, #b54708); outline-offset: -2px;"
    return [
        f"{place} .saring-conflict {{ display: block; }}",
        f"{place} .lsf-choice__item:has({here}, {there}) {{ {mark} }}",
    ]


def _ticked(choice: str) -> str:
    # Label Studio takes whatever follows `name=` at once for the name of a tag, and names must differ
    return f"input[name = {_string(choice)}]:checked"


def _string(value: str) -> str:
    """A CSS string. What HTML might read as a mark, and what is not printable ASCII, is given by its number."""
    return '"' + "".join(_character(character) for character in value) + '"'


_PLAIN_CHARACTERS: Mapping[str, None] = dict.fromkeys(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_.,:;()/'"
)


def _character(character: str) -> str:
    return character if character in _PLAIN_CHARACTERS else f"\\{ord(character):x} "
