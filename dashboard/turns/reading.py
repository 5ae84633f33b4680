"""What a turn's tool calls and results mean to a reader: how much was read, and which documents are cited.

Tool names and result shapes are not published (contract.md §7), so nothing here depends on one: whatever looks like a
passage of a document is taken as one, and everything else is left to the folded steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from dashboard import upstream

_NAMES = ("document", "file_name", "filename", "display_name", "document_name", "source")
_PAGES = ("page", "page_range_start", "page_number", "page_label")
_LINES = ("line", "line_number")
_FILES = ("parsed_directory_file_id", "file_id")
MAX_CITATIONS = 20


@dataclass(frozen=True)
class Citation:
    """A place in a document.

    Args:
        document, place: as people know them.
        source_id, attachment_name: name its page image, if there is one.
        index_id: the index that was searched, by either of its ids (contract.md §5), if the tool was told one.
        file_id: tells documents of one name apart.
    """

    document: str
    place: str = ""
    source_id: str = ""
    attachment_name: str = ""
    index_id: str = ""
    file_id: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """What makes two of them the same place."""
        return self.index_id, self.file_id, self.document, self.place

    def as_json(self) -> dict[str, str]:
        """For the turn's column."""
        return asdict(self)


@dataclass(frozen=True)
class Passage:
    """Words of a document that a tool found.

    Args:
        text: the words.
        document, place: where they stand, as people know it; ``""`` if the tool does not say.
    """

    text: str
    document: str
    place: str


def passages_in(result: Any) -> list[dict[str, Any]]:
    """Everything in a tool's result that holds text of a document."""
    return [row for row in _rows(result) if isinstance(row.get("content"), str)]


def first_passages(result: Any, at_most: int) -> list[Passage]:
    """The first passages of a tool's result, to be read by people."""
    return [Passage(row["content"], *_where(_flat(row))) for row in passages_in(result)[:at_most]]


def index_told(arguments: Any) -> str:
    """The index a tool was told to search, by either of its ids, or ``""``."""
    return _first(arguments, ("index_id",)) if isinstance(arguments, dict) else ""


def citations_in(event: upstream.ToolResult, index_id: str = "") -> list[Citation]:
    """The places a tool's result names, the page image with the first place on its page.

    Args:
        event: the result.
        index_id: the index that was searched, if known.
    """
    image = event.image_attachment
    found: dict[tuple[str, ...], Citation] = {}
    for row in passages_in(event.result):
        flat = _flat(row)
        document, place = _where(flat)
        if not document:
            continue
        page, own = _first(flat, _PAGES), _own_image(row)
        if own is None and image is not None and page and image.attachment_name.rpartition("_")[2].startswith(page):
            own, image = image, None
        picture = (own.source_id, own.attachment_name) if own else ("", "")
        citation = Citation(document, place, *picture, index_id, _first(flat, _FILES))
        found.setdefault(citation.key, citation)
    if not found and image is not None:
        return [Citation("Page image", "", image.source_id, image.attachment_name, index_id)]
    return list(found.values())[:MAX_CITATIONS]


def _rows(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    if depth > 4:
        return
    if isinstance(value, dict):
        if "content" in value:
            yield value
        else:
            for inner in value.values():
                yield from _rows(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _rows(inner, depth + 1)


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its metadata beside it, its own words first (contract.md §9)."""
    inner = [row[name] for name in ("metadata", "static_fields") if isinstance(row.get(name), dict)]
    return {key: value for part in (*reversed(inner), row) for key, value in part.items()}


def _where(flat: dict[str, Any]) -> tuple[str, str]:
    """The document a row is from, and the place in it."""
    page, line = _first(flat, _PAGES), _first(flat, _LINES)
    return _first(flat, _NAMES), f"page {page}" if page else f"line {line}" if line else ""


def _own_image(row: dict[str, Any]) -> upstream.AttachmentRef | None:
    fields = row.get("static_fields")
    attachments = fields.get("attachments") if isinstance(fields, dict) else None
    for item in attachments if isinstance(attachments, list) else ():
        if isinstance(item, dict) and item.get("attachment_name") and item.get("source_id"):
            return upstream.AttachmentRef(
                source_id=str(item["source_id"]), attachment_name=str(item["attachment_name"])
            )
    return None


def _first(flat: dict[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        value = flat.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()[:200]
    return ""
