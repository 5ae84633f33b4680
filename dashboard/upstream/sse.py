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
"""Bytes of one event, however many lines it has."""

_LINE_END = re.compile(rb"\r\n?|\n")
_BOM = b"\xef\xbb\xbf"


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
        self._line: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._at_start = True
        self._name = ""
        self._data: list[str] = []
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
        *lines, rest = _LINE_END.split(chunk) if b"\r" in chunk else chunk.split(b"\n")
        events = []
        for line in lines:
            # Counted here and below, not in a call of its own: there are two lines to every token.
            self._size += len(line)
            if self._size > self._limit:
                self._refuse()
            if self._line:
                line = b"".join([*self._line, line])
                self._line.clear()
            if line:
                self._take_line(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        if rest:
            self._size += len(rest)
            if self._size > self._limit:
                self._refuse()
            self._line.append(rest)
        return events

    def flush(self) -> list[ServerEvent]:
        """End of the stream: answer the event that lacks only its blank line.

        The standard drops it. It is answered here because a server may close straight after its last line; whoever
        calls must check that the data is whole.
        """
        if self._line:
            self._take_line(b"".join(self._line))
            self._line.clear()
        event = self._dispatch()
        return [] if event is None else [event]

    def _refuse(self) -> NoReturn:
        raise UnreadableAnswer(f"LlamaCloud sent an event of more than {self._limit} bytes")

    def _take_line(self, line: bytes) -> None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif not name:
            # A comment is no part of an event, so a stream of keep-alives never reaches the limit.
            self._size -= len(line)
        elif name == "event":
            self._name = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit() and len(value) < 10:
            self.retry = int(value)

    def _dispatch(self) -> ServerEvent | None:
        event = ServerEvent(self._name or "message", "\n".join(self._data), self._id) if self._data else None
        self._name, self._data, self._size = "", [], 0
        # `data:` alone makes an empty line of data, and an event without data is not dispatched.
        return event if event is not None and event.data else None
