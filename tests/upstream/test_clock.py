"""Who ends the calls whose time has run out."""

from __future__ import annotations

from threading import Event

from dashboard.upstream.clock import Watchdog


def test_who_forgets_what_has_expired_forgets_nothing_else() -> None:
    clock, first = Watchdog(), Event()
    expired = clock.watch(0.01, first.set)
    assert first.wait(10)
    later = [Event() for _ in range(100)]
    for event in later:
        clock.watch(0.5, event.set)
    clock.forget(expired)
    assert all(event.wait(10) for event in later)
