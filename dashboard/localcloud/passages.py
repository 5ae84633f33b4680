"""Cutting a document into passages: neighbouring sections joined or cut to a size that can be quoted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from dashboard.localcloud.documents import Section

MAX_PASSAGE_CHARACTERS = 900
_END = re.compile(r"(?<=[.!?;:])\s+|\n")


def cut(sections: Iterable[Section]) -> Iterator[Section]:
    """Passages of at most :data:`MAX_PASSAGE_CHARACTERS`, never across a heading or a page.

    A passage keeps the place of its first section; a heading becomes a passage only where nothing follows it. A
    long section is cut at the end of a sentence or line.
    """
    current: Section | None = None
    for piece in (piece for section in sections for piece in _split(section)):
        if current is None or current.text == current.heading:
            # A heading alone says nothing worth quoting; its text carries it, and starts where it stands.
            current = replace(piece, line=current.line) if current and current.heading == piece.heading else piece
        elif _together(current, piece):
            current = replace(current, text=f"{current.text}\n\n{piece.text}")
        else:
            yield current
            current = piece
    if current:
        yield current


def _together(one: Section, other: Section) -> bool:
    fits = len(one.text) + len(other.text) + 2 <= MAX_PASSAGE_CHARACTERS
    return fits and one.heading == other.heading and one.page == other.page


def _split(section: Section) -> Iterator[Section]:
    rest, line = section.text.strip("\n"), section.line
    while len(rest) > MAX_PASSAGE_CHARACTERS:
        ends = [match.end() for match in _END.finditer(rest, 1, MAX_PASSAGE_CHARACTERS)]
        at = ends[-1] if ends else rest.rfind(" ", 1, MAX_PASSAGE_CHARACTERS) + 1 or MAX_PASSAGE_CHARACTERS
        yield replace(section, text=rest[:at].rstrip(), line=line)
        line = None if line is None else line + rest[:at].count("\n")
        rest = rest[at:]
    if rest.strip():
        yield replace(section, text=rest, line=line)
