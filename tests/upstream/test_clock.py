"""Who ends the calls whose time has run out."""

from __future__ import annotations

import time
from threading import Event

from dashboard.upstream import clock as clock_module
from dashboard.upstream.clock import Watchdog


def test_an_end_that_is_near_does_not_wait_for_one_that_is_far() -> None:
    clock, far, near = Watchdog(), Event(), Event()
    clock.watch(3600, far.set)
    time.sleep(0.1)  # by now it looks seldom
    began = time.monotonic()
    clock.watch(0.1, near.set)

    assert near.wait(10)
    assert time.monotonic() - began < clock_module.SELDOM / 2
    assert not far.is_set()


def test_who_forgets_what_has_expired_forgets_nothing_else() -> None:
    clock, first = Watchdog(), Event()
    expired = clock.watch(0.01, first.set)
    assert first.wait(10)
    later = [Event() for _ in range(100)]
    for event in later:
        clock.watch(0.5, event.set)
    clock.forget(expired)
    assert all(event.wait(10) for event in later)
