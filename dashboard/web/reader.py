"""One reader of a live answer: what they still lack of it, and when their stream ends."""

from __future__ import annotations

import time

from dashboard.turns.answer import NO_STEP, Entry
from dashboard.turns.eventlog import EVENT_LOG
from dashboard.turns.models import Turn
from dashboard.upstream import DELTA_TYPES
from dashboard.web.live import (
    BROKEN_OFF,
    closing_message,
    doing,
    doing_message,
    entry_message,
    in_line,
    is_quiet,
    snapshot_message,
)

HEARTBEAT = 10.0
"""Seconds of silence after which a comment is sent: it keeps proxies from closing the connection."""
LOOK_UP = 1.0
"""Seconds between two looks at a reader for whom there is no news."""
SILENCE = 25.0
"""Seconds of silence after which the stream ends; the browser comes back with its cursor."""
AGE = 60.0
"""Seconds after which a stream ends although its answer does not: who comes back is asked again who they are."""


class Reader:
    """Gets every entry of a turn once and in order, then the end.

    Without a cursor it is a snapshot first, which replaces what is there; with one only what came after it. A gap
    (pruned entries) is mended by a snapshot too. One thread at a time; :meth:`close` gives the turn's channel back.

    Args:
        turn: the turn.
        cursor: the number of the last entry the reader has, or ``None`` when they have nothing.

    Attributes:
        turn_id: the turn's key.
        over: nothing more is to be sent: the turn has ended, or the stream was silent or open for long.
    """

    def __init__(self, turn: Turn, cursor: int | None) -> None:
        self.turn_id = turn.pk
        self.over = False
        self._turn = turn
        self._seen = cursor or 0
        self._has_nothing = cursor is None
        self._told = False
        self._heard_at = self._sent_at = self._looked_at = time.monotonic()
        self._closes_at = self._heard_at + AGE
        self._channel = EVENT_LOG.watch(turn.pk)
        # Who has something already is sent no snapshot, which would say it.
        self._place, self._orphaned = self._channel.place, self._has_nothing and self._channel.orphaned

    def close(self) -> None:
        """The reader goes."""
        EVENT_LOG.leave(self._channel)

    def wait(self) -> None:
        """Wait for news, ``LOOK_UP`` seconds at most."""
        self._channel.after(self._seen, LOOK_UP)

    @property
    def has_words_only(self) -> bool:
        """Whether all that can be sent by now is some more text: nothing to be read, and next to nothing to be made."""
        entries, ended = self._channel.now(self._seen)
        if ended or self._has_nothing or not entries or entries[0].number != self._seen + 1:
            return False
        return all(entry.type in DELTA_TYPES for entry in entries)

    def news(self) -> bytes:
        """All that can be sent by now, perhaps nothing; never waits. It may use the database, at the end."""
        if self.over:
            return b""
        now = time.monotonic()
        if self._channel.dropped or EVENT_LOG.sends_away or now >= min(self._closes_at, self._heard_at + SILENCE):
            self.over = True
            return b""
        entries, ended = self._channel.now(self._seen)
        parts = []
        if self._has_nothing:
            self._has_nothing = False
            parts.append(self._everything())
        elif entries:
            parts.append(self._grown(entries))
        if ended:
            self.over = True
            parts.append(self._closing())
        if not parts:
            return self._while_silent(now)
        self._heard_at = self._sent_at = now
        return b"".join(parts)

    def _everything(self) -> bytes:
        entries, _ = self._channel.now(0)
        self._seen = entries[-1].number if entries else 0
        return snapshot_message(self._turn, entries, self._seen, orphaned=self._channel.orphaned)

    def _grown(self, entries: list[Entry]) -> bytes:
        if entries[0].number != self._seen + 1:
            return self._everything()
        self._seen = entries[-1].number
        return b"".join([entry_message(self._turn, entry) for entry in entries])

    def _closing(self) -> bytes:
        has_all = self._has_all()
        has_steps = any(entry.type not in NO_STEP for entry in self._channel.now(0)[0]) if has_all else None
        return closing_message(self._turn, has_all=has_all, has_steps=has_steps, seen=self._seen)

    def _has_all(self) -> bool:
        """Whether what was seen so far is the whole answer: none of it was pruned or read back since."""
        entries, _ = self._channel.now(0)
        return 0 < self._seen == len(entries) and entries[-1].number == self._seen

    def _while_silent(self, now: float) -> bytes:
        if now < self._looked_at + LOOK_UP:
            return b""
        self._looked_at = now
        if words := self._what_is_new():
            self._sent_at = now
            return doing_message(self._turn, words)
        if now >= self._sent_at + HEARTBEAT:
            self._sent_at = now
            return b": still here\n\n"
        return b""

    def _what_is_new(self) -> str:
        """In words, if the turn has moved up in its queue or left it, lost its process, or said nothing for long.

        Nothing is read for it: the thread that asks sends to everybody else too.
        """
        place, self._place = self._place, self._channel.place
        if place != self._place and not self._seen:
            return in_line(self._place)
        was_orphaned, self._orphaned = self._orphaned, self._channel.orphaned
        if self._orphaned and not was_orphaned:
            return BROKEN_OFF
        if self._told or not is_quiet(self._turn):
            return ""
        self._told = True
        return doing(self._turn, self._channel.now(0)[0])
