"""One thread that ends the calls whose time has run out: a timer thread for each would cost more than the call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import count

LOOK_EVERY = 0.05
"""Seconds between two looks when an end is near; how late one may come."""
SELDOM = 5.0
"""Seconds between two looks when none is: an answer that is thought about for long should cost nothing meanwhile."""


class Watchdog:
    """Calls ``expire`` of whatever is still watched when its time has come; threads start with the first use."""

    def __init__(self) -> None:
        self._numbers = count()
        self._looks_at: float
        self._ends: dict[int, tuple[float, Callable[[], None]]]
        self._lock: threading.Lock
        self._wanted: threading.Event
        self._sooner: threading.Event
        self._thread: threading.Thread | None
        self.forget_all()

    def watch(self, seconds: float, expire: Callable[[], None]) -> int:
        """Watch until :meth:`forget`; the answer is what to forget."""
        number, ends = next(self._numbers), time.monotonic() + seconds
        with self._lock:
            self._ends[number] = (ends, expire)
            if ends < self._looks_at:
                self._sooner.set()
            alive = self._thread is not None and self._thread.is_alive()
            if not alive:
                self._thread = threading.Thread(target=self._run, name="upstream-clock", daemon=True)
                self._thread.start()
        if not self._wanted.is_set():
            self._wanted.set()
        return number

    def forget(self, watched: int) -> None:
        """It ended by itself, or was ended."""
        with self._lock:
            self._ends.pop(watched, None)

    def forget_all(self) -> None:
        """Begin anew: after a fork the thread is gone and the lock may be in anybody's hands."""
        self._ends, self._looks_at, self._lock = {}, 0.0, threading.Lock()
        self._wanted, self._sooner, self._thread = threading.Event(), threading.Event(), None

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            with self._lock:
                self._sooner.clear()
                now = time.monotonic()
                nearest = min((ends for ends, _ in self._ends.values()), default=now) - now
                rest = min(max(LOOK_EVERY, nearest / 2), SELDOM)
                self._looks_at = now + rest
            self._sooner.wait(rest)
            now = time.monotonic()
            with self._lock:
                due = [key for key, (ends, _) in self._ends.items() if ends <= now]
                expired = [self._ends.pop(key)[1] for key in due]
                if not self._ends:
                    self._wanted.clear()
            for expire in expired:
                expire()
