"""A picture of a page: its text on a sheet, as SVG.

The text is all this server knows of a page, and the picture says so; rendering a PDF would need a heavy library.
"""

from __future__ import annotations

import re
import textwrap
from html import escape

CONTENT_TYPE = "image/svg+xml"
_NAME = re.compile(r"screenshots/page_([1-9][0-9]{0,8})\.svg", re.ASCII)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WIDTH, _HEIGHT, _MARGIN, _LEADING, _COLUMNS = 595, 842, 56, 14, 80


def picture_name(page: int) -> str:
    """The attachment name of a page (contract.md §8)."""
    return f"screenshots/page_{page}.svg"


def page_number(name: str) -> int | None:
    """The page an attachment name means, or ``None``."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def draw_page(number: int, text: str) -> bytes:
    """Lay a page's text out on a sheet of A4, longer when the text needs it."""
    lines: list[str] = []
    for line in _NOT_XML.sub("\ufffd", text).replace("\t", "    ").split("\n"):
        lines.extend(textwrap.wrap(line, _COLUMNS, drop_whitespace=False) or [""])
    height = max(_HEIGHT, 2 * _MARGIN + _LEADING * (len(lines) + 2))
    rows = "".join(
        f'<text x="{_MARGIN}" y="{_MARGIN + _LEADING * position}">{escape(line, quote=False)}</text>\n'
        for position, line in enumerate(lines, start=1)
        if line.strip()
    )
    note = f"Page {number}, its text only"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
        f' role="img" xml:space="preserve" font-family="monospace" font-size="10" fill="#1a1a1a">\n'
        f'<title>{note}</title>\n<rect width="100%" height="100%" fill="#ffffff"/>\n{rows}'
        f'<text x="{_MARGIN}" y="{height - _MARGIN / 2:.0f}" fill="#666666">{note}</text>\n</svg>\n'
    ).encode()
