"""Threads that are kept for a while when their work is done."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

KEPT = 30.0
"""Seconds a thread waits for more work before it ends."""

Work = Callable[[], None]
Given = tuple[Work, threading.Lock]
"""A piece of work, and what is released when it begins."""


class Threads:
    """Does each piece of work in a thread of its own at once; one whose work is done takes the next.

    To start a thread and to end it is a good part of what the run of an answer costs (decision 0008).

    Args:
        name: of every thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: queue.SimpleQueue[Given] = queue.SimpleQueue()
        self._free = 0
        self._lock = threading.Lock()

    def do(self, work: Work) -> None:
        """Do it; it has begun when this returns, and nobody waits for its end.

        Raises:
            RuntimeError: there is no thread to be had.
        """
        begins = threading.Lock()
        begins.acquire()
        with self._lock:
            is_free = self._free > 0
            if is_free:
                self._free -= 1
                self._work.put((work, begins))
        if is_free:
            # Or it would begin when whoever asked for it has nothing more to do.
            begins.acquire()
            return
        threading.Thread(target=self._go_on, args=([(work, begins)],), name=self._name, daemon=True).start()

    def _go_on(self, first: list[Given]) -> None:
        # Popped and dropped: what work holds must not be kept as long as the thread, which keeps its arguments.
        given: Given | None = first.pop()
        while given is not None:
            work, begins = given
            begins.release()
            work()
            del work
            given = None
            given = self._next()

    def _next(self) -> Given | None:
        with self._lock:
            self._free += 1
        try:
            return self._work.get(timeout=KEPT)
        except queue.Empty:
            return self._last_chance()

    def _last_chance(self) -> Given | None:
        """What came at the last moment for a thread that waited in vain, if no other took it."""
        with self._lock:
            try:
                return self._work.get_nowait()
            except queue.Empty:
                self._free -= 1
                return None
