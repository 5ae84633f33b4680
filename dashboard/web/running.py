"""This process's runners, and who watches their answers."""

from __future__ import annotations

import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType

from django.db import connection

from dashboard.config import upstream_client
from dashboard.turns.eventlog import EVENT_LOG, forget_after_fork
from dashboard.turns.models import Turn
from dashboard.turns.runners import Runners
from dashboard.web.handover import HandedOver
from dashboard.web.places import Places
from dashboard.web.reader import Reader
from dashboard.web.sender import Sender

WATCHERS = 400
"""Browsers that one process sends live answers to at the same time, each an open connection. Whoever comes later asks
again every two seconds instead (decision 10)."""
WATCHED_BY_ONE = 40
"""Of them, those of one person: nobody has more windows open, and nobody takes everybody's places."""

DRAIN = 24.0
"""Seconds running turns get to finish after the process was told to end; less than gunicorn's own patience."""

GARBAGE = 50_000
"""Objects made and not yet freed after which Python looks for those that only hold each other; its own 700 (3.11) is a
few dozen times for every page."""

RUNNERS = Runners(upstream_client)
WATCHING = Places(WATCHERS, WATCHED_BY_ONE)
SENDER = Sender()


class Watched:
    """The body of a live answer, and one of the places for those who watch: given back once, at its end.

    Args:
        turn, cursor: as for a :class:`Reader`.
        leave: gives back the place that was taken for this answer.
        lets_go: whether the web server hands the connection over once the head is sent (:class:`HandedOver`); otherwise
            its thread stays with the answer.
    """

    def __init__(self, turn: Turn, cursor: int | None, leave: Callable[[], None], *, lets_go: bool) -> None:
        self._give_back: Callable[[], None] | None = leave
        self._lets_go = lets_go
        self._begun: bytes | None = None
        self._is_offered = False
        try:
            self._reader = Reader(turn, cursor)
        except BaseException:
            leave()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._lets_go:
            return self._head()
        while not (part := self._reader.news()):
            if self._reader.over:
                raise StopIteration
            # Who waits must not hold a database connection meanwhile.
            connection.close()
            self._reader.wait()
        connection.close()
        return part

    def _head(self) -> bytes:
        """Nothing, with which the head goes out: what is to be said is sent by whoever waits for no browser."""
        if self._begun is not None:
            self._is_offered = True
            raise HandedOver(partial(self._hand_over, self._begun), self._leave)
        self._begun = self._reader.news()
        return b""

    def _hand_over(self, begun: bytes, sock: socket.socket, in_chunks: bool, done: Callable[[bool], None]) -> None:
        def over(is_fit: bool) -> None:
            self._leave()
            done(is_fit)

        SENDER.take(self._reader, begun, sock, in_chunks, over)

    def close(self) -> None:
        """The server is done with the answer, or the browser is gone."""
        if not self._is_offered:
            self._leave()

    def _leave(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            self._reader.close()
            give_back()


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
    global WATCHING, SENDER
    forget_after_fork()
    RUNNERS.__init__(upstream_client)  # type: ignore[misc]  # the same object, as good as new
    WATCHING = Places(WATCHERS, WATCHED_BY_ONE)
    SENDER = Sender()


os.register_at_fork(after_in_child=_start_afresh)
