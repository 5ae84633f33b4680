"""Places in a process that are shared fairly: a bound for all, and one for each person."""

from __future__ import annotations

import threading
from collections import Counter


class Places:
    """Places that people take and give back.

    Args:
        most: how many there are.
        each: how many of them one person may have.
    """

    def __init__(self, most: int, each: int) -> None:
        self._most, self._each = most, each
        self._taken: Counter[int] = Counter()
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """How many are taken."""
        return self._taken.total()

    def take(self, person_id: int) -> bool:
        """Take one for this person; whether there was one for them."""
        with self._lock:
            is_free = self.taken < self._most and self._taken[person_id] < self._each
            self._taken[person_id] += is_free
        return is_free

    def give_back(self, person_id: int) -> None:
        """One of this person's is free again."""
        with self._lock:
            self._taken[person_id] -= 1
            self._taken = +self._taken
