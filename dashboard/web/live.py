"""A live answer as Server-Sent Events for htmx (architecture.md, traps).

HTML goes out unnamed, with the number of its entry as its id; one named event closes. Who gets what and when is decided
in ``reader``.
"""

from __future__ import annotations

import json
from datetime import timedelta
from functools import cache, partial
from typing import Any

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import conditional_escape, escape
from django.utils.safestring import SafeString

from dashboard.rows import find
from dashboard.turns.answer import NO_STEP, Entry
from dashboard.turns.models import Turn, TurnState
from dashboard.turns.reading import first_passages, index_told, passages_in
from dashboard.turns.standing import place_in_queue
from dashboard.upstream import EVENT_TYPES
from dashboard.web.answers import TurnView, names_of, searching, turn_view

QUIET = 15.0
"""Seconds without a word from LlamaCloud after which whoever waits is told, and what can be done (contract.md §12)."""
BROKEN_OFF = SafeString("<span>This answer was interrupted. Corral is fetching the rest of it…</span>")
"""Of a turn whose process is gone: until another one has taken it over and read it back, nothing comes. An element, so
that ``js/doing.js`` takes it for more than what goes on anyway."""
ARGUMENTS = 20
"""What a tool was told is shown name by name, unless there are more names."""
PASSAGES = 10
"""Passages of a tool's answer that are shown as such; all of it can be unfolded."""
TOLD, FOUND = 4_000, 8_000
"""Characters of what a tool was told, and of the passages it found: there may be thousands of steps."""
CLOSING = "turn-ended"


def entry_message(turn: Turn, entry: Entry) -> bytes:
    """An entry as sent; rendered once for all who watch it in this process."""
    if "sse" not in entry.shown:
        entry.shown["sse"] = message(entry_html(turn, entry), entry.number)
    return entry.shown["sse"]


def entry_html(turn: Turn, entry: Entry) -> str:
    """What an entry changes on the page. Only a literal of the event union names a template."""
    if entry.type in NO_STEP:
        # What comes with every answer, or in great numbers, changes nothing but words.
        return _filled_in(turn, entry)
    template = f"turns/events/_{entry.type}.html" if entry.type in EVENT_TYPES else "turns/events/_unknown.html"
    # What is going on is asked for by few of the templates. No source is looked up: others wait to be sent something.
    return render_to_string(template, _step(turn, entry) | {"doing": partial(doing, turn, [entry])})


def _filled_in(turn: Turn, entry: Entry) -> str:
    only_grows = entry.tail is None
    content = escape(json.loads(entry.data)["content"]) if only_grows and entry.type == "text_delta" else ""
    words = {"html": entry.html, "tail": "" if only_grows else escape(entry.tail), "content": content}
    return _with_places(entry.type, only_grows) % {"anchor": turn.anchor, **words}


@cache
def _with_places(template: str, only_grows: bool = False) -> str:
    """A template of a live answer with places for what differs from one to the next."""
    places = {name: f"%({name})s" for name in ("anchor", "html", "tail", "content", "steps", "doing")}
    entry = {"html": places["html"], "tail": None if only_grows else places["tail"]}
    known = {"turn": {"anchor": places["anchor"]}, "entry": entry, "event": {"content": places["content"]}}
    return render_to_string(f"turns/events/_{template}.html", places | known)


def message(html: str, number: int | None = None) -> bytes:
    """An unnamed event with HTML; the id is the cursor a browser resumes with, and what is no entry has none."""
    cursor = "" if number is None else f"id: {number}\n"
    lines = html.replace("\r", "").strip("\n").replace("\n", "\ndata: ")
    return f"{cursor}data: {lines}\n\n".encode()


def snapshot(turn: Turn, entries: list[Entry], *, orphaned: bool = False) -> SafeString:
    """All that is known of a live turn: its settled HTML, its growing tail, its steps, and what is going on."""
    html, tail = fold(entries)
    words = {"tail": escape(tail), "doing": conditional_escape(BROKEN_OFF if orphaned else doing(turn, entries))}
    steps = "".join(steps_html(turn, entries))
    return SafeString(_with_places("snapshot") % {"anchor": turn.anchor, "html": html, "steps": steps, **words})


def snapshot_message(turn: Turn, entries: list[Entry], seen: int, *, orphaned: bool = False) -> bytes:
    """The same, which replaces what the page has."""
    return message(snapshot(turn, entries, orphaned=orphaned), seen)


def doing_message(turn: Turn, words: str) -> bytes:
    """What is going on, while nothing comes."""
    return message(render_to_string("turns/events/_doing.html", {"turn": turn, "doing": words}))


def steps_html(turn: Turn, entries: list[Entry]) -> list[SafeString]:
    """The folded steps: tools, results, thinking, and whatever this version does not know."""
    steps = [_step(turn, entry) for entry in entries if entry.type not in NO_STEP]
    if not turn.is_live:
        names = names_of([step["told"] for step in steps])
        steps = [step | {"source": names.get(step["told"], "")} for step in steps]
    return [render_to_string("turns/_step.html", step) for step in steps]


def _step(turn: Turn, entry: Entry) -> dict[str, Any]:
    """What a line of the folded steps is made of."""
    event = json.loads(entry.data)
    arguments, passages = event.get("arguments"), first_passages(event.get("result"), PASSAGES)
    # Not asked of the event by a template: it may have a member of any name.
    told = list(arguments.items()) if isinstance(arguments, dict) and len(arguments) <= ARGUMENTS else []
    return {
        "turn": turn,
        "entry": entry,
        "event": event,
        "told": index_told(arguments),
        "source": "",
        "arguments": told,
        "passages": passages,
        "room": TOLD // max(1, len(told)),
        "passage_room": FOUND // max(1, len(passages)),
    }


def fold(entries: list[Entry]) -> tuple[str, str]:
    """The settled HTML and the growing tail that these entries add up to."""
    html: list[str] = []
    tail = ""
    for entry in entries:
        if entry.type == "text_delta":
            html.append(entry.html)
            tail = entry.tail if entry.tail is not None else tail + json.loads(entry.data)["content"]
        elif entry.type == "text":
            if entry.tail is None:
                html.clear()
            html.append(entry.html)
            tail = ""
    return "".join(html), tail


def doing(turn: Turn, entries: list[Entry]) -> str:
    """What is going on, in words for people: what the newest of these entries means.

    Of a turn that waits for its place the database is asked.
    """
    for entry in reversed(entries):
        if entry.type in ("text_delta", "text"):
            return "Writing…"
        if entry.type in ("thinking_delta", "thinking"):
            return "Thinking…"
        if entry.type == "tool_result":
            count = len(passages_in(json.loads(entry.data).get("result")))
            return f"Reading {count} passage{'s' if count != 1 else ''}…" if count else "Reading…"
        if entry.type == "tool_call":
            return searching(turn)
        if entry.type not in NO_STEP:
            return "Working…"
    if turn.state == TurnState.QUEUED and (place := place_in_queue(turn)):
        return in_line(place)
    if is_quiet(turn):
        return "LlamaCloud has sent nothing of an answer yet. You can go on waiting, or stop and ask again."
    return in_line(0)


def in_line(place: int) -> str:
    """How far a question has come that nothing was answered to: its place in the queue, or 0 when it waits no more."""
    return f"Waiting for its turn: number {place} in line." if place else "Waiting for LlamaCloud…"


def is_quiet(turn: Turn) -> bool:
    """Whether a turn has been running for so long that somebody who sees nothing of it should be told."""
    return turn.started_at is not None and timezone.now() - turn.started_at > timedelta(seconds=QUIET)


def _as_it_is_now(turn: Turn) -> Turn:
    """Read anew; its session is still the same."""
    (now,) = find(Turn, "pk", [turn.pk])
    now.session = turn.session
    return now


def closing_message(turn: Turn, *, has_all: bool, has_steps: bool | None, seen: int) -> bytes:
    """The last word: how it ended, with the whole answer when it was read back; then the closing event.

    Args:
        turn: the turn as it was when the reader came.
        has_all: whether the reader has seen all of the answer grow.
        has_steps: whether any of it was a step, if the reader knows.
        seen: the number of the last entry the reader has.
    """
    turn = _as_it_is_now(turn)
    # What a reader saw growing is the answer already, unless it was read back, ended by another process, which leaves
    # its last words unsettled in the log, or the log has a hole.
    whole = turn.state != TurnState.ANSWERED or not has_all
    view: TurnView = turn_view(turn, has_steps=has_steps, with_pieces=whole)
    html = render_to_string(
        "turns/events/_ended.html", {"turn": turn, "view": view, "session": turn.session, "whole": whole}
    )
    return message(html, seen) + f"event: {CLOSING}\ndata: {turn.state}\n\n".encode()
