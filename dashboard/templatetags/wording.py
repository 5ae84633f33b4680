"""Numbers, durations, ages and foreign text as a person reads them. No HTML in here."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import datetime

from django.utils import timezone

NOTHING = "–"
SHARING = {
    "": "LlamaCloud’s default",
    "read_only": "By link: read only",
    "query": "By link: read and ask",
}
"""What ``shared_access`` allows (contract.md §6); without a value, what the deployment has set."""
MARKS_ON_ONE_LETTER = 3
LOOKED_AT = (2, 4)
"""How many times what is shown is looked at of a text: first, and then where much of it is not to be seen."""

# Joiners shape words in Persian or Hindi; next to Latin letters they only hide things.
# Not with its neighbours in the pattern: trying them at every joiner of a long run takes the square of its length.
_JOINERS = re.compile(r"(?<![\u200c\u200d])[\u200c\u200d]+")
_SPACES = re.compile(r"\s+")
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn"}
_SPACED = set("\t\n\r\v\f\x85")
"""Unseen by themselves, but something stands apart by them."""
_KEPT = set("\n\u200c\u200d")
"""Judged by what stands beside them."""
_MARKS = {"Mn", "Me"}
_PILE = re.compile(f"x{{{MARKS_ON_ONE_LETTER + 1},}}")
_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")


def visible(text: str, limit: int, *, lines: bool = False, indented: bool = False) -> str:
    """Reduce upstream text to what a person can see.

    Control, zero-width and bidirectional control characters go, as do piles of combining marks; white space collapses.

    Args:
        text: any string.
        limit: the most characters to keep; a cut ends in an ellipsis.
        lines: keep single line breaks.
        indented: keep the spaces that such a line begins with.
    """
    return visible_of(iter((text,)), limit, lines=lines, indented=indented)


def visible_of(parts: Iterator[str], limit: int, *, lines: bool = False, indented: bool = False) -> str:
    """The same of a text that is made as it is read: no more of it than it takes.

    ``parts`` make up the text; the others are as for :func:`visible`.
    """
    text, shown, is_all = "", "", False
    for enough in (limit * times for times in LOOKED_AT):
        text = _read_on(text, parts, enough + 1)
        is_all = len(text) <= enough
        shown = _seen(text[:enough], lines, indented)
        if is_all or len(shown) > limit:
            break
    return _cut(shown, limit, is_all=is_all)


def _read_on(text: str, parts: Iterator[str], enough: int) -> str:
    read, size = [text], len(text)
    while size < enough and (part := next(parts, None)) is not None:
        read.append(part)
        size += len(part)
    return "".join(read)


def _seen(text: str, lines: bool, indented: bool) -> str:
    if text.isascii() and text.isprintable():
        return _SPACES.sub(" ", text).strip()
    for character in _SPACED - set("\n" if lines else ""):
        text = text.replace(character, " ")
    # Asked of each character once: most texts are made of few different ones.
    kinds = {character: unicodedata.category(character) for character in set(text)}
    seen = {character for character, kind in kinds.items() if kind not in _UNSEEN or character in _KEPT}
    shown = text if len(seen) == len(kinds) else "".join(filter(seen.__contains__, text))
    if _MARKS & set(kinds.values()):
        shown = _without_piles(shown, kinds)
    # Last, so that no joiner hides among other invisible characters.
    shown = _JOINERS.sub(_not_stray, shown)
    shown = "\n".join(_line(line, indented) for line in _split(shown)) if lines else _SPACES.sub(" ", shown)
    return _BLANK_LINES.sub("\n", shown).strip()


def _without_piles(text: str, kinds: Mapping[str, str]) -> str:
    """The text with no more marks in a row than a letter can carry, given the category of each character."""
    drawn = {character: "x" if kind in _MARKS else " " for character, kind in kinds.items()}
    is_mark = "".join(map(drawn.__getitem__, text))
    kept, at = [], 0
    for pile in _PILE.finditer(is_mark):
        kept.append(text[at : pile.start() + MARKS_ON_ONE_LETTER])
        at = pile.end()
    return "".join([*kept, text[at:]])


def _not_stray(joiners: re.Match[str]) -> str:
    text, start, end = joiners.string, joiners.start(), joiners.end()
    return joiners[0] if not text[start - 1 : start].isascii() and not text[end : end + 1].isascii() else ""


def _line(line: str, indented: bool) -> str:
    beginning = len(line) - len(line.lstrip(" ")) if indented else 0
    return line[:beginning] + _SPACES.sub(" ", line).strip()


def _cut(shown: str, limit: int, *, is_all: bool) -> str:
    return shown if is_all and len(shown) <= limit else shown[: limit - 1].rstrip() + "…"


def _split(text: str) -> list[str]:
    return text.replace("\u2028", "\n").replace("\u2029", "\n").split("\n")


def relative(moment: datetime, now: datetime) -> str:
    """Say how long ago it was: ``just now``, ``5 minutes ago``, ``yesterday``; a plain date beyond 30 days."""
    seconds = (now - moment).total_seconds()
    if -3600 < seconds < 45:
        return "just now"
    days = (timezone.localdate(now) - timezone.localdate(moment)).days
    if seconds <= -3600 or days > 30:
        local = timezone.localtime(moment)
        return f"{local.day} {local:%b %Y}"
    if seconds < 3600:
        return _ago(max(1, round(seconds / 60)), "minute")
    if seconds < 12 * 3600 or days == 0:
        return _ago(round(seconds / 3600), "hour")
    return "yesterday" if days == 1 else _ago(days, "day")


def _ago(count: int, unit: str) -> str:
    return f"{count} {unit}{'' if count == 1 else 's'} ago"


def exact(moment: datetime) -> str:
    """The local date and time, spelled out."""
    local = timezone.localtime(moment)
    return f"{local.day} {local:%B %Y, %H:%M %Z}"


def duration(milliseconds: float | None) -> str:
    """``8.4 s``, ``2 min 5 s``, ``1 h 3 min``; a dash when not known."""
    if milliseconds is None:
        return NOTHING
    if milliseconds < 50:
        return "less than 0.1 s"
    if milliseconds < 59_950:
        return f"{milliseconds / 1000:.1f} s"
    seconds = round(milliseconds / 1000)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def grouped(number: int | None) -> str:
    """``12,480``; a dash when not known."""
    return NOTHING if number is None else f"{number:,}"
