"""One thread that reads all the answers a process is being sent (decision 0007)."""

from __future__ import annotations

import logging
import math
import os
import queue
import selectors
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Self

from dashboard import upstream

log = logging.getLogger(__name__)

LOOK_UP = 1.0
"""Seconds between two looks at streams that say nothing: none of them notices by itself how long it has been silent."""
LINGER = 30.0
"""Seconds the thread waits for another stream when there is none, before it ends."""
SLICE = 0.02
"""Seconds spent on one stream before others have their turn."""
TOGETHER = 0.05
"""Seconds spent on many streams before what was read of the first ones is not kept waiting for the others."""
HEAVY = 4_000
"""Characters that are too many to be taken while others wait: they may be rendered (a millisecond for 300), or judged
whether they can be, and some cost much more than others."""
RENDERED = (upstream.Text, *upstream.DELTA_TYPES.values())


class Now(Enum):
    """How it stands with a stream."""

    WAITS = auto()
    """All that came was taken, and whatever comes next is wanted at once."""
    RESTS = auto()
    """All that came was taken, and more may gather until the next beat."""
    HAS_MUCH = auto()
    """There is more than should be read while others wait."""
    OVER = auto()


@dataclass(eq=False)
class _Reading:
    stream: upstream.TurnStream
    take: Callable[[upstream.Event], None]
    caught_up: Callable[[], bool]
    to_look_at: Callable[[], int]
    all_read: Callable[[], None]
    heavy: upstream.Event | None = None
    handed_back: Future[Now] = field(default_factory=Future)

    def go_on(self, seconds: float | None = None) -> Now:
        """Take what has come, for so many seconds at most and nothing heavy, if others wait.

        Raises:
            Exception: what the stream raises, or whoever takes its events.
        """
        others_wait, ends, characters = seconds is not None, time.monotonic() + (seconds or 0), 0
        if self.heavy is not None:
            heavy, self.heavy = self.heavy, None
            self.take(heavy)
        for event in self.stream.events:
            if event is upstream.Sign.WAIT:
                if others_wait and self.to_look_at() > HEAVY:
                    return Now.HAS_MUCH
                return Now.RESTS if self.caught_up() else Now.WAITS
            if not isinstance(event, upstream.Sign):
                characters += len(event.content) if isinstance(event, RENDERED) else 0
                if others_wait and characters > HEAVY:
                    self.heavy = event
                    return Now.HAS_MUCH
                self.take(event)
            elif not others_wait:
                # The end of a part; all of them may take long.
                self.all_read()
            if others_wait and time.monotonic() > ends:
                return Now.HAS_MUCH
        return Now.OVER


class _Streams:
    """The streams one thread reads, and when each is read on; left with ``with``.

    Args:
        until_beat: seconds until resting streams are read on.
        woken: becomes readable when there is something else to see to.
    """

    def __init__(self, until_beat: Callable[[], float], woken: int) -> None:
        self._until_beat = until_beat
        self._woken = woken
        self._selector = selectors.DefaultSelector()
        self._selector.register(woken, selectors.EVENT_READ)
        self._waiting: dict[_Reading, int] = {}
        self._resting: set[_Reading] = set()
        self._beat_at = math.inf
        self._look_at = time.monotonic() + LOOK_UP

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._selector.close()
        os.close(self._woken)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._resting)

    def due(self) -> list[_Reading]:
        """Wait until some are to be read on, or until woken."""
        patience = min(self._beat_at, self._look_at) - time.monotonic() if self else LINGER
        due = dict.fromkeys(key.data for key, _ in self._selector.select(max(0.0, patience)))
        if None in due:
            del due[None]
            os.read(self._woken, 1024)
        now = time.monotonic()
        if now >= self._beat_at:
            self._beat_at = math.inf
            due |= dict.fromkeys(self._resting)
        if now >= self._look_at:
            self._look_at = now + LOOK_UP
            due |= dict.fromkeys(self._waiting)
        return list(due)

    def see_to(self, reading: _Reading, now: Now | None = None) -> None:
        """Place a stream with which it stands like this, or read it on for a moment; what goes wrong is its own."""
        try:
            self.place(reading, now or reading.go_on(SLICE))
        except BaseException as error:
            self._give_back(reading)
            reading.handed_back.set_exception(error)

    def place(self, reading: _Reading, now: Now) -> None:
        """See to a stream with which it stands like this."""
        if now is Now.WAITS:
            self._resting.discard(reading)
            if reading not in self._waiting:
                file = reading.stream.fileno()
                self._selector.register(file, selectors.EVENT_READ, reading)
                self._waiting[reading] = file
        elif now is Now.RESTS:
            self._stop_listening(reading)
            self._resting.add(reading)
            self._beat_at = min(self._beat_at, time.monotonic() + self._until_beat())
        else:
            self._give_back(reading)
            reading.handed_back.set_result(now)

    def give_up(self, error: BaseException) -> None:
        """Give all streams back to their own threads, which cannot go on either."""
        for reading in (*self._waiting, *self._resting):
            reading.handed_back.set_exception(error)

    def _give_back(self, reading: _Reading) -> None:
        self._resting.discard(reading)
        self._stop_listening(reading)

    def _stop_listening(self, reading: _Reading) -> None:
        if reading in self._waiting:
            self._selector.unregister(self._waiting.pop(reading))


class Pulse:
    """Reads for many at once, so that a token wakes one thread and not one of many.

    Args:
        until_beat: seconds until the next moment at which answers are read on that were left to gather.
        all_read: is called when everything that came was taken, of all answers that had something, or of some if that
            takes long.
    """

    def __init__(self, until_beat: Callable[[], float], all_read: Callable[[], None]) -> None:
        self._until_beat = until_beat
        self._all_read = all_read
        self._coming: queue.SimpleQueue[tuple[_Reading, Now]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waker: int | None = None

    def read(
        self,
        stream: upstream.TurnStream,
        take: Callable[[upstream.Event], None],
        caught_up: Callable[[], bool],
        to_look_at: Callable[[], int] = lambda: 0,
    ) -> None:
        """Read a stream to its end; the calling thread waits for that, and does itself what would keep others waiting.

        Args:
            stream: inside its ``with`` block.
            take: is given every event.
            caught_up: is called when all that came was taken, before more is waited for; whether to let more gather
                until the next beat.
            to_look_at: how many characters ``caught_up`` may have to read again.

        Raises:
            Exception: what the stream raises, or ``take`` or ``caught_up``.
        """
        reading = _Reading(stream, take, caught_up, to_look_at, self._all_read)
        now = self._go_on(reading)
        while now is not Now.OVER:
            reading.handed_back = Future()
            self._lend(reading, now)
            now = reading.handed_back.result()
            if now is Now.HAS_MUCH:
                now = self._go_on(reading)

    def _go_on(self, reading: _Reading) -> Now:
        try:
            return reading.go_on()
        finally:
            self._all_read()

    def _lend(self, reading: _Reading, now: Now) -> None:
        with self._lock:
            waker = self._begin() if self._waker is None else self._waker
            self._coming.put((reading, now))
            os.write(waker, b"\0")

    def _begin(self) -> int:
        """Start the thread; answer what wakes it.

        Raises:
            OSError, RuntimeError: there is no pipe or no thread to be had.
        """
        woken, waker = os.pipe()
        try:
            streams = _Streams(self._until_beat, woken)
            threading.Thread(target=self._beat, args=(streams,), name="pulse", daemon=True).start()
        except BaseException:
            os.close(woken)
            os.close(waker)
            raise
        self._waker = waker
        return waker

    def _beat(self, streams: _Streams) -> None:
        with streams:
            try:
                while True:
                    was_idle = not streams
                    self._see_to(streams)
                    if was_idle and not streams and self._ends():
                        return
            except BaseException as error:
                # Nobody may wait for this thread for ever.
                log.exception("The answers of this process could not be read on")
                self._give_up(streams, error)

    def _see_to(self, streams: _Streams) -> None:
        """One pass over those that are due; by itself, so that nothing of them is held while no more come."""
        due, began = streams.due(), time.monotonic()
        for reading in due:
            streams.see_to(reading)
            if time.monotonic() > began + TOGETHER:
                self._all_read()
                began = time.monotonic()
        while not self._coming.empty():
            streams.see_to(*self._coming.get())
        self._all_read()

    def _ends(self) -> bool:
        """Whether nothing is left to read; then the thread ends, and the next stream starts another."""
        with self._lock:
            if not self._coming.empty():
                return False
            self._leave()
            return True

    def _give_up(self, streams: _Streams, error: BaseException) -> None:
        self._all_read()
        with self._lock:
            self._leave()
            streams.give_up(error)
            while not self._coming.empty():
                self._coming.get()[0].handed_back.set_exception(error)

    def _leave(self) -> None:
        if self._waker is not None:
            os.close(self._waker)
            self._waker = None
