"""The entries of one turn as far as a process knows them, and who waits for more."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from dashboard.turns.answer import Entry


@dataclass
class Channel:
    """The entries of one turn as far as this process knows them, and who waits for more."""

    turn_id: int
    local: bool
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
            self.entries.extend(entry for entry in entries if entry.number > last)
            self.ended = self.ended or ended
            self.touched = time.monotonic()
            self.condition.notify_all()

    def drop(self) -> None:
        """This process no longer knows how the turn goes on: readers come back and are served from the database."""
        with self.condition:
            self.dropped = True
            self.condition.notify_all()

    def after(self, number: int, timeout: float) -> tuple[list[Entry], bool]:
        """The entries after this number, waiting for one if need be.

        Args:
            number: the last entry the reader has; 0 for none.
            timeout: seconds to wait at most.

        Returns:
            the entries, perhaps none, and whether the turn has ended and these are the last.
        """
        with self.condition:
            self.condition.wait_for(lambda: self.ended or self.dropped or self._last() > number, timeout)
            self.touched = time.monotonic()
            return self._later(number), self.ended

    def _last(self) -> int:
        return self.entries[-1].number if self.entries else 0

    def _later(self, number: int) -> list[Entry]:
        return self.entries[bisect_right(self.entries, number, key=lambda entry: entry.number) :]
