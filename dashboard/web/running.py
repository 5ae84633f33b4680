"""This process's runners, and the bound on threads that only watch."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Generator, Iterator
from types import FrameType

from dashboard.config import upstream_client
from dashboard.turns.eventlog import EVENT_LOG, forget_after_fork
from dashboard.turns.runners import Runners

WATCHERS = 224
"""Requests of one process that may wait for a live answer at the same time. Whoever comes later asks again every two
seconds instead (decision 10)."""

DRAIN = 24.0
"""Seconds running turns get to finish after the process was told to end; less than gunicorn's own patience."""

GARBAGE = 50_000
"""Objects made and not yet freed after which Python looks for those that only hold each other; its own 700 (3.11) is a
few dozen times for every page."""

RUNNERS = Runners(upstream_client)
WATCHING = threading.BoundedSemaphore(WATCHERS)


class Watched:
    """The parts of a live answer, and one of the places for those who wait for them: given back once, at its close.

    A generator's own ``finally`` would not do: one that was never begun does not run it.

    Args:
        parts: what is sent.
        places: has been acquired for this answer.
    """

    def __init__(self, parts: Generator[bytes], places: threading.Semaphore) -> None:
        self._parts = parts
        self._places: threading.Semaphore | None = places

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        """The server is done with the answer, or the browser is gone."""
        self._parts.close()
        places, self._places = self._places, None
        if places is not None:
            places.release()


_told_to_end_at = 0.0


def begin() -> None:
    """A web process starts: look after turns at once, also those a dead process left, and heed the end."""
    _collect_garbage_rarely()
    RUNNERS.keep()
    before = signal.getsignal(signal.SIGTERM)

    def told(number: int, frame: FrameType | None) -> None:
        global _told_to_end_at
        _told_to_end_at = time.monotonic()
        # Readers come back to another process, with their cursor; the turns themselves go on.
        EVENT_LOG.send_readers_away()
        RUNNERS.close()
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, told)


def end() -> None:
    """The web process ends: running turns get what is left of their time, then another process takes them over."""
    spent = time.monotonic() - _told_to_end_at if _told_to_end_at else DRAIN
    RUNNERS.drain(max(0.0, DRAIN - spent))
    EVENT_LOG.close()


def _collect_garbage_rarely() -> None:
    """An eighth of the time of an answer went into looking through objects that live as long as the process."""
    # Without collecting first: a signal to end that comes in the middle of it would be lost in some finaliser.
    gc.freeze()
    gc.set_threshold(GARBAGE)


def _start_afresh() -> None:
    """A forked worker runs and watches nothing yet."""
    global WATCHING
    forget_after_fork()
    RUNNERS.__init__(upstream_client)  # type: ignore[misc]  # the same object, as good as new
    WATCHING = threading.BoundedSemaphore(WATCHERS)


os.register_at_fork(after_in_child=_start_afresh)
