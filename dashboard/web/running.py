"""This process's runners, and the bound on threads that only watch."""

from __future__ import annotations

import os
import threading

from dashboard.config import upstream_client
from dashboard.turns.eventlog import forget_after_fork
from dashboard.turns.runners import Runners

WATCHERS = 224
"""Requests of one process that may wait for a live answer at the same time: all its threads but the 32 that ordinary
pages need. Whoever comes later asks again every two seconds instead (decision 10)."""

RUNNERS = Runners(upstream_client)
WATCHING = threading.BoundedSemaphore(WATCHERS)


def _start_afresh() -> None:
    """A forked worker runs and watches nothing yet."""
    global WATCHING
    forget_after_fork()
    RUNNERS.__init__(upstream_client)  # type: ignore[misc]  # the same object, as good as new
    WATCHING = threading.BoundedSemaphore(WATCHERS)


os.register_at_fork(after_in_child=_start_afresh)
