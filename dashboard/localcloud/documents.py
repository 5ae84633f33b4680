"""Reading documents: a file becomes sections, each with its place in the document.

Readable: ``.md`` ``.txt`` ``.html`` ``.htm`` ``.pdf``. Names that begin with ``.`` or ``_`` are not documents.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

MAX_FILE_BYTES = 50 * 1024 * 1024
DESCRIPTION_FILE = "_description.txt"
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(?P<title>.*?)[ \t#]*")
_FENCE = re.compile(r" {0,3}(```|~~~)")
_BLOCKS = frozenset(
    re.findall(
        r"\w+",
        "address article aside blockquote br dd div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6"
        " header hr li main nav ol p pre section table td th tr ul",
    )
)
_SILENT = frozenset({"script", "style", "template", "title", "noscript"})
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})


class UnreadableDocumentError(Exception):
    """A file cannot be read as what its name says; the text is fit for people."""


@dataclass(frozen=True)
class Section:
    """A paragraph, with the heading above it and its place: ``line`` in text, ``page`` in a PDF, both from 1."""

    text: str
    heading: str = ""
    line: int | None = None
    page: int | None = None


@dataclass(frozen=True)
class Document:
    """What was read. ``pages`` holds the text of each page when the document has pages."""

    sections: tuple[Section, ...]
    pages: tuple[str, ...] = ()


def list_documents(folder: Path) -> list[Path]:
    """The readable files below a folder, sorted by name."""
    inside = (path for path in folder.rglob("*") if path.suffix.lower() in _READERS and path.is_file())
    return sorted(path for path in inside if not any(p[0] in "._" for p in path.relative_to(folder).parts))


def read_document(path: Path) -> Document:
    """Read one file.

    Raises:
        UnreadableDocumentError: the file cannot be opened, is too large, or is damaged or encrypted.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UnreadableDocumentError(f"larger than {MAX_FILE_BYTES // 2**20} MiB")
        return _READERS[path.suffix.lower()](path)
    except OSError as problem:
        raise UnreadableDocumentError(problem.strerror or type(problem).__name__) from problem


def describe(folder: Path) -> str | None:
    """An index's description: ``_description.txt`` whole, else the first paragraph of its README or first document."""
    own = folder / DESCRIPTION_FILE
    if own.is_file():
        return _text(own).strip() or None
    documents = sorted(list_documents(folder), key=lambda path: path.stem.lower() != "readme")
    for path in documents[:1]:
        try:
            sections = read_document(path).sections
        except UnreadableDocumentError:
            continue
        prose = [section.text for section in sections if section.text != section.heading]
        return " ".join(prose[0].split()) if prose else None
    return None


def _text(path: Path) -> str:
    raw = path.read_bytes()
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = raw.decode("utf-16", "replace")
    else:
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = raw.decode("cp1252", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def _clean(text: str) -> str:
    """Text that SQLite can store: no NUL, no lone surrogates (damaged fonts produce both)."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Blocks between blank lines, each with the number of its first line. Only line feeds end a line here."""
    block: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), "\n".join(block)
            block = []


def _read_text(path: Path) -> Document:
    return Document(tuple(Section(block, line=line) for line, block in _paragraphs(_text(path))))


def _read_markdown(path: Path) -> Document:
    lines = _text(path).split("\n")
    sections: list[Section] = []
    heading, fenced = "", False
    block: list[str] = []

    def flush(end: int) -> None:
        if block:
            sections.append(Section("\n".join(block), heading, line=end - len(block)))
            block.clear()

    for number, line in enumerate([*lines, ""], start=1):
        fenced ^= bool(_FENCE.match(line))
        title = None if fenced else _HEADING.fullmatch(line)
        if title:
            flush(number)
            heading = title["title"]
            sections.append(Section(heading, heading, line=number))
        elif line.strip() or fenced:
            block.append(line)
        else:
            flush(number)
    flush(len(lines) + 2)
    return Document(tuple(section for section in sections if section.text.strip()))


class _Html(HTMLParser):
    """Collects visible text, a section per block element."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.sections: list[Section] = []
        self._heading = ""
        self._pieces: list[str] = []
        self._line = 1
        self._silent: str | None = None
        self._titled = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self.flush()
            self._titled = tag in _HEADINGS
        elif tag in _SILENT and self._silent is None:
            self._silent = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._silent:
            self._silent = None
        elif tag in _BLOCKS:
            self.flush()
            self._titled = False

    def handle_data(self, data: str) -> None:
        if self._silent is None:
            if not self._pieces:
                self._line = self.getpos()[0]
            self._pieces.append(data)

    def flush(self) -> None:
        """End the current section."""
        text = " ".join("".join(self._pieces).split())
        if text:
            self._heading = text if self._titled else self._heading
            self.sections.append(Section(text, self._heading, line=self._line))
        self._pieces.clear()


def _read_html(path: Path) -> Document:
    parser = _Html()
    parser.feed(_text(path))
    parser.close()
    parser.flush()
    return Document(tuple(parser.sections))


def _read_pdf(path: Path) -> Document:
    # Imported here: it costs more than everything else at start, and most folders hold no changed PDF.
    from pypdf import PdfReader

    try:
        pages = tuple(_clean(page.extract_text()) for page in PdfReader(path).pages)
    except Exception as problem:  # pypdf meets damaged files with whatever the damage provokes
        raise UnreadableDocumentError(f"not a readable PDF ({type(problem).__name__})") from problem
    sections = [Section(block, page=n) for n, text in enumerate(pages, start=1) for _, block in _paragraphs(text)]
    return Document(tuple(sections), pages)


_READERS: dict[str, Callable[[Path], Document]] = {
    ".md": _read_markdown,
    ".txt": _read_text,
    ".html": _read_html,
    ".htm": _read_html,
    ".pdf": _read_pdf,
}
