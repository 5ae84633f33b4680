"""The entries of one turn as far as a process knows them, and who waits for more."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from dashboard.turns.answer import Entry


@dataclass
class Channel:
    """The entries of one turn as far as this process knows them, and who waits for more.

    Args:
        turn_id: the turn's key.
        local: whether this process runs the turn.
        place: in the queue, 1 is next; 0 if the turn does not wait.
        orphaned: whether the process that ran the turn is gone, and no other one has taken it over yet.
    """

    turn_id: int
    local: bool
    place: int = 0
    orphaned: bool = False
    entries: list[Entry] = field(default_factory=list)
    ended: bool = False
    dropped: bool = False
    watchers: int = 0
    touched: float = field(default_factory=time.monotonic)
    condition: threading.Condition = field(default_factory=threading.Condition)

    def publish(self, entries: Sequence[Entry], *, ended: bool) -> None:
        """Make committed entries visible, each once and in order."""
        with self.condition:
            last = self.entries[-1].number if self.entries else 0
            self.entries += [entry for entry in entries if entry.number > last]
            self.ended = self.ended or ended
            self.touched = time.monotonic()
            self.condition.notify_all()

    def drop(self) -> None:
        """This process no longer knows how the turn goes on: readers come back and are served from the database."""
        with self.condition:
            self.dropped = True
            self.condition.notify_all()

    def after(self, number: int, timeout: float) -> tuple[list[Entry], bool]:
        """The entries after this number, as :meth:`now` has them, waiting so many seconds for one if need be."""
        with self.condition:
            self.condition.wait_for(lambda: self.ended or self.dropped or self._last() > number, timeout)
        return self.now(number)

    def now(self, number: int) -> tuple[list[Entry], bool]:
        """The entries after this number that are here.

        Args:
            number: the last entry the reader has; 0 for none.

        Returns:
            the entries, perhaps none, and whether the turn has ended and these are the last.
        """
        self.touched = time.monotonic()
        # Asked before looking for entries: none comes after the end.
        ended, entries = self.ended, self.entries
        start = len(entries) if number else 0
        while start and entries[start - 1].number > number:
            start -= 1
        return entries[start:], ended

    def _last(self) -> int:
        return self.entries[-1].number if self.entries else 0
