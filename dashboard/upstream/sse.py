"""Bytes of an event stream to events, as WHATWG HTML §9.2 reads them.

Lines end at LF, CRLF or CR and nowhere else: text splitters also cut at U+2028 and the like, which tears an answer
apart, and line iterators see a blank line when CRLF is cut between two chunks, which dispatches half an event
(contract.md §7).
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from dashboard.upstream.errors import UnreadableAnswer

EVENT_LIMIT = 8 * 1024 * 1024
"""Characters of one event's data, however many lines they are, and bytes of a line that is still to end."""

_LINE_END = re.compile(r"\r\n?")


class ServerEvent(NamedTuple):
    """One event: its name (``message`` unless sent), its data lines joined by LF, the last id seen so far."""

    event: str
    data: str
    id: str = ""


class SseDecoder:
    """Decodes incrementally; the chunks may be cut anywhere, also inside a character or a CRLF.

    Args:
        limit: bytes one event may have.

    Attributes:
        retry: milliseconds of the last valid ``retry`` line, or ``None``.
    """

    def __init__(self, *, limit: int = EVENT_LIMIT) -> None:
        self.retry: int | None = None
        self._limit = limit
        self._line = bytearray()
        self._after_cr = False
        self._at_start = True
        self._name = ""
        self._data: list[str] = []
        self._size = 0
        self._id = ""

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Take the next bytes and answer the events they complete.

        Raises:
            UnreadableAnswer: an event is larger than the limit.
        """
        if not chunk:
            return []
        after_cr, self._after_cr = self._after_cr, chunk.endswith(b"\r")
        if after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        events = self._read(self._lines(chunk[:end])) if end else []
        if rest := chunk[end:]:
            self._line += rest
            if self._size + len(self._line) > self._limit:
                self._refuse()
        return events

    def flush(self) -> list[ServerEvent]:
        """End of the stream: answer the event that lacks only its blank line.

        The standard drops it. It is answered here because a server may close straight after its last line; whoever
        calls must check that the data is whole.
        """
        return self._read([*self._lines(b""), ""])

    def _lines(self, whole: bytes) -> list[str]:
        """The lines that these bytes end, without their ends. No character is cut where a line ends."""
        if self._line:
            whole = bytes(self._line) + whole
            self._line.clear()
        text = whole.decode("utf-8", "replace")
        if self._at_start and text:
            self._at_start = False
            text = text.removeprefix("\ufeff")
        if "\r" in text:
            text = _LINE_END.sub("\n", text)
        return text.removesuffix("\n").split("\n")

    def _read(self, lines: list[str]) -> list[ServerEvent]:
        """The events that these lines complete; in one loop, because there are three lines to every token."""
        events = []
        for line in lines:
            name, _, value = line.partition(":")
            if name == "data":
                self._size += len(line)
                if self._size > self._limit:
                    self._refuse()
                self._data.append(value.removeprefix(" "))
            elif name:
                self._note(name, value.removeprefix(" "))
            elif not line:
                # `data:` alone makes an empty line of data, and an event without data is not dispatched.
                if data := "\n".join(self._data):
                    events.append(ServerEvent(self._name or "message", data, self._id))
                self._name, self._data, self._size = "", [], 0
        return events

    def _note(self, name: str, value: str) -> None:
        """A field that says something about data. What counts for the limit is what is kept: of these the last one."""
        if name == "event":
            self._name = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit() and len(value) < 10:
            self.retry = int(value)

    def _refuse(self) -> NoReturn:
        raise UnreadableAnswer(f"LlamaCloud sent an event of more than {self._limit} bytes")
