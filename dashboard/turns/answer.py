"""An answer while it grows: events in, numbered log entries out, rendered pieces at the end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dashboard import upstream
from dashboard.turns.markdown import LineEnds, Settler
from dashboard.turns.reading import Citation, citations_in, index_told, passages_in

PIECE = 50_000
"""Characters of HTML after which a new piece begins."""
SLICE = 16_000
"""Characters of Markdown settled at a time, so that a long text that comes at once still makes pieces."""
REPLACED = 2_000_000
"""Characters of HTML that complete blocks which differ from their deltas may have replaced by them in one answer; each
repeats the whole answer so far. After that a block stays as it grew."""
MAX_CITATIONS = 60
"""Places of one answer that are kept."""
NO_STEP = ("user_input", "text", "stop", *upstream.DELTA_TYPES)
"""Entries that are no step between the question and its answer."""
MAX_STEPS = 2_000
"""Steps of one answer that are kept, so that a page can show them; no answer has needed a hundred."""
MAX_BLOCKS = 2_000
"""Complete blocks of one answer that are entries of their own; what comes after them only makes the last one grow."""
KEPT_TYPE = 40
_as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


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

    def __init__(self) -> None:
        self.number = 0
        self.steps: list[Entry] = []
        self.text: list[str] = []
        self.stop: upstream.Stop | None = None
        self.tool_calls = 0
        self.passages = 0
        self.citations: dict[tuple[str, ...], Citation] = {}
        self._asked: dict[str, str] = {}
        self._html: list[str] = []
        self._settler = Settler()
        self._line_ends = LineEnds()
        self._is_asked = self._grows = False
        self._block: list[str] = []
        self._block_html = 0
        self._replaced = 0
        self._pending: list[str] = []
        self._thinking: list[str] = []

    def take(self, event: upstream.Event) -> list[Entry]:
        """Take one event; return the entries it made, with any waiting frame before them.

        Of what may come without end none makes an entry for ever: a beat has one frame, and all else is bounded.
        """
        if isinstance(event, upstream.TextDelta):
            self._pending.append(event.content)
            self._grows = True
            return []
        if isinstance(event, upstream.ThinkingDelta):
            self._thinking.append(event.content)
            return []
        if isinstance(event, upstream.Text):
            return self._take_block(event)
        self._note(event)
        kind = _kind_of(event)
        is_one_more = self._is_asked if kind == "user_input" else kind not in NO_STEP and len(self.steps) >= MAX_STEPS
        if is_one_more:
            return []
        self._is_asked = self._is_asked or kind == "user_input"
        return [*self.frame(), self._entry(kind, event.raw)]

    def _take_block(self, event: upstream.Text) -> list[Entry]:
        grew, self._grows = self._grows, False
        if len(self.text) >= MAX_BLOCKS:
            self._pending.append(f"{'' if grew else event.content}\n\n")
            return []
        return [*self.frame(), self._complete(event)]

    def frame(self) -> list[Entry]:
        """The deltas since the last frame, joined to one entry a kind; none when nothing came."""
        entries = []
        if self._thinking:
            content, self._thinking = "".join(self._thinking), []
            entries.append(self._entry("thinking_delta", {"type": "thinking_delta", "content": content}))
        if self._pending:
            content, self._pending = "".join(self._pending), []
            self._block.append(content)
            content = self._line_ends.of(content)
            entry = self._entry("text_delta", {"type": "text_delta", "content": content})
            grown = self._settler.tail + content
            entry.html = self._feed(content)
            # None: the tail only grew by what came, which the entry holds already.
            entry.tail = None if self._settler.tail == grown else self._settler.tail
            entries.append(entry)
        return entries

    @property
    def to_look_at(self) -> int:
        """How many characters :meth:`frame` may have to read again, which for a long block takes a while."""
        return self._settler.looks_at(sum(map(len, self._pending))) if self._pending else 0

    @property
    def has_text(self) -> bool:
        """Whether anything of an answer has come."""
        return bool(self.text or self._block or self._pending)

    @property
    def failed_without_a_word(self) -> bool:
        """Whether LlamaCloud says nothing but that it failed: whatever came of the answer before is worth more."""
        return self.stop is not None and self.stop.is_error and not self.has_text

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
        grew = "".join(self._block)
        # What differs at its ends only is shown alike.
        replaces = bool(grew) and event.content.strip() != grew.strip() and self._replaced < REPLACED
        if replaces:
            del self._html[self._block_html :]
            self._settler = Settler()
        html = self._feed(event.content) if replaces or not grew else ""
        entry = self._entry("text", {"type": "text"} | event.raw)
        entry.html = html + self._settled(self._settler.finish())
        entry.tail = ""
        if replaces:
            entry.html, entry.tail = "".join(self._html), None
            self._replaced += len(entry.html)
        self.text.append(event.content)
        self._block, self._block_html = [], len(self._html)
        self._settler, self._line_ends = Settler(), LineEnds()
        return entry

    def _feed(self, content: str) -> str:
        starts = range(0, len(content), SLICE)
        return "".join([self._settled(self._settler.feed(content[start : start + SLICE])) for start in starts])

    def _settled(self, html: str) -> str:
        if html:
            self._html.append(html)
        return html

    def _note(self, event: upstream.Event) -> None:
        if isinstance(event, upstream.ToolCall):
            self.tool_calls += 1
            if self.tool_calls <= MAX_STEPS:
                self._asked[event.call_id] = index_told(event.arguments)
        elif isinstance(event, upstream.ToolResult):
            self.passages += len(passages_in(event.result))
            for citation in citations_in(event, self._asked.get(event.call_id, "")):
                if len(self.citations) < MAX_CITATIONS:
                    self.citations.setdefault(citation.key, citation)
        elif isinstance(event, upstream.Stop):
            self.stop = event

    def _entry(self, kind: str, raw: dict[str, Any]) -> Entry:
        self.number += 1
        entry = Entry(self.number, kind[:KEPT_TYPE], _as_json(raw))
        if entry.type not in NO_STEP:
            self.steps.append(entry)
        return entry


def _kind_of(event: upstream.Event) -> str:
    """What names an event in the log: a type of the union only for one that has that type's fields."""
    claims_too_much = isinstance(event, upstream.UnknownEvent) and event.type in upstream.EVENT_TYPES
    return "unknown" if claims_too_much or not event.type else event.type


def missing_steps(whole: Answer, *, seen: Iterable[tuple[str, str]], number: int) -> list[Entry]:
    """The steps of an answer read back that the log does not have yet, as entries to append.

    The stream may tell of steps the history leaves out, and the other way round, so each is looked for by itself.

    Args:
        whole: what LlamaCloud has.
        seen: the types and the data of the log's entries.
        number: of the log's last entry.
    """
    there = Counter(_same(kind, data) for kind, data in seen if kind not in NO_STEP)
    late: list[Entry] = []
    for entry in whole.steps:
        what = _same(entry.type, entry.data)
        if there[what]:
            there[what] -= 1
        else:
            late.append(Entry(number + len(late) + 1, entry.type, entry.data))
    return late


def _same(kind: str, data: str) -> tuple[str, str]:
    """What a step has in common in the stream and in the history: a call's id, or all that is said, in any order."""
    said = json.loads(data)
    call_id = said.get("call_id")
    if call_id and isinstance(call_id, str):
        return kind, call_id
    return kind, json.dumps({name: value for name, value in said.items() if value is not None}, sort_keys=True)
