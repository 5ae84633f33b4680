"""An answer while it grows: events in, numbered log entries out, rendered pieces at the end."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from dashboard import upstream
from dashboard.turns.markdown import Settler
from dashboard.turns.reading import Citation, citations_in, passages_in

PIECE = 50_000
"""Characters of HTML after which a new piece begins."""
KEPT_TYPE = 40


@dataclass
class Entry:
    """A log entry before it is stored; see ``LogEntry`` for the fields."""

    number: int
    type: str
    data: str
    html: str = ""
    tail: str | None = None
    shown: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)


class Answer:
    """Turns the events of one turn into log entries.

    Deltas are joined until :meth:`frame` is called; everything else becomes an entry at once. A complete block replaces
    the deltas before it (contract.md §7): usually they say the same, and nothing moves.
    """

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.text: list[str] = []
        self.stop: upstream.Stop | None = None
        self.tool_calls = 0
        self.passages = 0
        self.citations: dict[tuple[str, str], Citation] = {}
        self._html: list[str] = []
        self._settler = Settler()
        self._block: list[str] = []
        self._block_html = 0
        self._pending: list[str] = []
        self._thinking: list[str] = []

    def take(self, event: upstream.Event) -> list[Entry]:
        """Take one event; return the entries it made, with any waiting frame before them."""
        if isinstance(event, upstream.TextDelta):
            self._pending.append(event.content)
            return []
        if isinstance(event, upstream.ThinkingDelta):
            self._thinking.append(event.content)
            return []
        entries = self.frame()
        if isinstance(event, upstream.Text):
            entries.append(self._complete(event))
            return entries
        self._note(event)
        entries.append(self._entry(event.type or "unknown", event.raw))
        return entries

    def frame(self) -> list[Entry]:
        """The deltas since the last frame, joined to one entry a kind; none when nothing came."""
        entries = []
        if self._thinking:
            content, self._thinking = "".join(self._thinking), []
            entries.append(self._entry("thinking_delta", {"type": "thinking_delta", "content": content}))
        if self._pending:
            content, self._pending = "".join(self._pending), []
            self._block.append(content)
            entry = self._entry("text_delta", {"type": "text_delta", "content": content})
            entry.html = self._settled(self._settler.feed(content))
            entry.tail = self._settler.tail if entry.html else None
            entries.append(entry)
        return entries

    @property
    def has_pending(self) -> bool:
        """Whether deltas wait for a frame."""
        return bool(self._pending or self._thinking)

    def close(self) -> list[Entry]:
        """No more events: whatever is unfinished is settled as it stands."""
        entries = self.frame()
        if self._block:
            entries.append(self._complete(upstream.Text(content="".join(self._block))))
        return entries

    def pieces(self) -> list[str]:
        """The whole rendered answer, in pieces of about ``PIECE`` characters."""
        pieces, size = [[""]], 0
        for html in self._html:
            if size > PIECE:
                pieces.append([])
                size = 0
            pieces[-1].append(html)
            size += len(html)
        return ["".join(piece) for piece in pieces if any(piece)]

    def snapshot(self) -> tuple[str, str]:
        """What a reader who has nothing yet is shown: settled HTML, and the growing tail as text."""
        return "".join(self._html), self._settler.tail

    def _complete(self, event: upstream.Text) -> Entry:
        """A block is complete: settle its tail, or, if it differs from its deltas, render it anew."""
        same = event.content == "".join(self._block)
        if not same:
            del self._html[self._block_html :]
            self._settler = Settler()
            self._settled(self._settler.feed(event.content))
        entry = self._entry("text", event.raw or {"type": "text", "content": event.content})
        entry.html = self._settled(self._settler.finish())
        entry.tail = ""
        if not same:
            entry.html, entry.tail = "".join(self._html), None
        self.text.append(event.content)
        self._block, self._settler, self._block_html = [], Settler(), len(self._html)
        return entry

    def _settled(self, html: str) -> str:
        if html:
            self._html.append(html)
        return html

    def _note(self, event: upstream.Event) -> None:
        if isinstance(event, upstream.ToolCall):
            self.tool_calls += 1
        elif isinstance(event, upstream.ToolResult):
            self.passages += len(passages_in(event.result))
            for citation in citations_in(event):
                self.citations.setdefault((citation.document, citation.place), citation)
        elif isinstance(event, upstream.Stop):
            self.stop = event

    def _entry(self, kind: str, raw: dict[str, Any]) -> Entry:
        self.number += 1
        return Entry(self.number, kind[:KEPT_TYPE], json.dumps(raw, ensure_ascii=False, separators=(",", ":")))
