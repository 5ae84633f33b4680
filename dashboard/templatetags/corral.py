"""``{% load corral %}``: upstream text made safe to look at, ages, numbers, and the marks drawn beside words."""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import cache

from django import template
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AbstractUser, AnonymousUser
from django.template.loader import get_template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from dashboard import in_page
from dashboard.catalog.models import Readiness
from dashboard.chats.models import LockState, RunState
from dashboard.static_bundle import scripts_of
from dashboard.templatetags import wording
from dashboard.turns.reading import passages_in

register = template.Library()

READINESS_MARKS = {
    Readiness.READY: ("check", "good"),
    Readiness.SYNCING: ("sync", "info"),
    Readiness.FAILED: ("warning", "bad"),
    Readiness.NEVER_BUILT: ("empty", "bad"),
    Readiness.STALE: ("clock", "warn"),
    Readiness.UNKNOWN: ("unknown", "quiet"),
}
LOCK_ICONS = {
    LockState.UNBOUND: "per-question",
    LockState.OPEN: "unlocked",
    LockState.LOCKED: "locked",
    LockState.GONE: "gone",
}
RUN_MARKS = {
    RunState.NEVER: ("empty", "quiet"),
    RunState.RUNNING: ("sync", "info"),
    RunState.SUCCEEDED: ("check", "good"),
    RunState.FAILED: ("warning", "bad"),
}


@register.simple_tag
def styles() -> SafeString:
    """The page's style sheet, in the page; while debugging, by its address."""
    if sheet := in_page.sheet():
        return format_html("<style>{}</style>", SafeString(sheet))  # our own file, and CSS has no entities
    return format_html('<link rel="stylesheet" href="{}">', static(in_page.SHEET))


@register.simple_tag
def scripts() -> SafeString:
    """What starts the page's behaviours; while debugging, each of them by itself."""
    if starter := in_page.starter():
        return format_html("<script>{}</script>", SafeString(starter))  # our own file, and scripts have no entities
    names = scripts_of(in_page.SCRIPTS, (settings.STATICFILES_DIRS[0] / in_page.SCRIPTS).read_text())
    return format_html_join("\n", '<script defer src="{}"></script>', ((static(name),) for name in names))


@register.filter
def plain(value: object, limit: int = 300) -> str:
    """One line of upstream text, at most ``limit`` characters; put it inside ``<bdi>``."""
    return wording.visible(_text(value), limit)


@register.filter(name="json")
def as_json(value: object, limit: int = 4000) -> str:
    """Any JSON of upstream's, laid out for reading, at most ``limit`` characters."""
    # Laid out as far as it is shown: whole, what is nested deeply takes hundreds of times its room.
    parts = json.JSONEncoder(ensure_ascii=False, indent=2).iterencode(value)
    return wording.visible_of(iter(parts), limit, lines=True, indented=True)


@register.filter
def plain_lines(value: object, limit: int = 2000) -> str:
    """Upstream text with its single line breaks, at most ``limit`` characters."""
    return wording.visible(_text(value), limit, lines=True)


@register.filter
def words(value: object, limit: int = 2000) -> str:
    """Upstream text as :func:`plain_lines` shows it, and any other JSON laid out for reading."""
    return plain_lines(value, limit) if isinstance(value, str) else as_json(value, limit)


def _text(value: object) -> str:
    return "" if value is None else str(value)


@register.filter
def found(result: object) -> str:
    """What came of a tool call: passages, nothing, or something of another shape."""
    if count := len(passages_in(result)):
        return f"Found {count} passage{'s' if count != 1 else ''}"
    return "Got an answer" if result else "Found nothing"


@register.filter
def tokens(value: int | None) -> str:
    """A count with thousands separators."""
    return wording.grouped(value)


@register.filter
def took(milliseconds: float | None) -> str:
    """A duration in milliseconds, in words."""
    return wording.duration(milliseconds)


@register.filter
def sharing(access: str) -> str:
    """What others with a link may do, by ``shared_access`` (contract.md §6); a new word is shown as it is."""
    return wording.SHARING.get(access) or wording.visible(access, 40)


@register.filter
def person(user: AbstractBaseUser | AnonymousUser | None) -> str:
    """What to call somebody: the full name if there is one, else the user name."""
    if not isinstance(user, AbstractUser):
        return ""
    return wording.visible(user.get_full_name() or user.get_username(), 60)


@register.simple_tag
def ago(moment: datetime | None) -> str:
    """How long ago, in a ``<time>`` whose title and accessible text hold the exact local date."""
    if moment is None:
        return wording.NOTHING
    exact = wording.exact(moment)
    return format_html(
        '<time datetime="{}" title="{}">{}<span class="visually-hidden"> ({})</span></time>',
        moment.isoformat(timespec="seconds"),
        exact,
        wording.relative(moment, timezone.now()),
        exact,
    )


@register.simple_tag
def icon(name: str, size: int = 16) -> SafeString:
    """A drawing, hidden from assistive technology because a word always stands beside it.

    Written into the page: fetched from a sprite, it would hold up the first paint by a request.
    """
    return _drawn(name, size)


@cache
def _drawn(name: str, size: int) -> SafeString:
    return format_html(
        '<svg class="icon" viewBox="0 0 16 16" width="{}" height="{}" aria-hidden="true">{}</svg>',
        size,
        size,
        _drawings()[name],
    )


@cache
def _drawings() -> dict[str, SafeString]:
    """The shapes of the sprite by name; it is a file of ours, so they are as safe as a template."""
    text = get_template("shared/icons.svg").template.source  # type: ignore[attr-defined]  # Django's own backend
    return {name: SafeString(inner) for name, inner in re.findall(r'<symbol id="([\w-]+)"[^>]*>(.*?)</symbol>', text)}


@register.filter
def lock_icon(state: LockState) -> str:
    """The name of the drawing for a lock state."""
    return LOCK_ICONS[state]


@register.simple_tag
def lock_mark(state: LockState) -> SafeString:
    """Drawing and word for a lock state."""
    return _mark(LOCK_ICONS[state], "quiet", state.label, state.explanation)


@register.simple_tag
def run_mark(state: RunState) -> SafeString:
    """Drawing and word for how the last run ended."""
    drawing, tone = RUN_MARKS[state]
    return _mark(drawing, tone, state.label, "")


@register.simple_tag
def readiness_mark(readiness: Readiness | None) -> SafeString:
    """Drawing and word for whether a source can answer; ``None`` is a source LlamaCloud no longer lists."""
    if readiness is None:
        return _mark("gone", "bad", "No longer listed", "LlamaCloud does not list this source any more.")
    drawing, tone = READINESS_MARKS[readiness]
    return _mark(drawing, tone, readiness.label, readiness.explanation)


@cache
def _mark(drawing: str, tone: str, label: str, explanation: str) -> SafeString:
    title = format_html(' title="{}"', explanation) if explanation else ""
    return format_html('<span class="mark mark-{}"{}>{}{}</span>', tone, title, icon(drawing), label)
