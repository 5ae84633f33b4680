"""Readers of one answer each, by a pulse, for tests to look at."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from dashboard import upstream
from dashboard.turns.pulse import Pulse
from tests.faulty import Answer, FaultyServer

ASKED = upstream.ChatParams(index_ids=["idx-1"], prompt="Why?")


def no_rest() -> bool:
    return False


def nothing() -> None:
    """What is done when all that came was taken."""


class Reader(threading.Thread):
    """Reads one answer by a pulse, and notes each event with the thread that took it and when."""

    def __init__(
        self,
        faulty: FaultyServer,
        pulse: Pulse,
        name: str,
        answer: Answer,
        *,
        take: Callable[[upstream.Event], None] = lambda _: None,
        caught_up: Callable[[], bool] = no_rest,
    ) -> None:
        super().__init__(name=name, daemon=True)
        faulty.script("POST", f"/api/v1/chat/{name}/messages/stream", [answer])
        self.taken: list[tuple[str, str, float]] = []
        self.text = ""
        self.error: Exception | None = None
        self._stream = faulty.client().stream(name, ASKED)
        self._pulse, self._take, self._caught_up = pulse, take, caught_up
        self.to_look_at: Callable[[], int] = int

    def note(self, event: upstream.Event) -> None:
        self.taken.append((event.type, threading.current_thread().name, time.monotonic()))
        self.text += event.content if isinstance(event, upstream.TextDelta) else ""
        self._take(event)

    def run(self) -> None:
        try:
            with self._stream as stream:
                self._pulse.read(stream, self.note, self._caught_up, lambda: self.to_look_at())
        except Exception as error:
            self.error = error

    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.taken]

    def threads(self) -> set[str]:
        return {thread for _, thread, _ in self.taken}


def together(*readers: Reader) -> None:
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60)
        assert not reader.is_alive()


def pulses() -> int:
    return sum(thread.name == "pulse" for thread in threading.enumerate())
