"""The event log: durable first, then visible; one writer a process, group-committing (decision 5).

Whoever runs a turn appends entries here. One thread writes what all turns of the process have appended, in one
transaction at a time and at most every ``GROUP`` seconds; only then do watchers see it. Frames wait for each other:
whoever reads answers says when it has read all of them on (:meth:`EventLog.write`). Watchers of a turn that runs in
this process are woken from memory; those of a turn that runs elsewhere share one short poll of the database.
"""

from __future__ import annotations

import collections
import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from typing import Any

from django.db import Error, InterfaceError, InternalError, OperationalError, connection

from dashboard.turns.answer import Entry
from dashboard.turns.channel import Channel
from dashboard.turns.entries import Item, LeaseLost, is_stored, look, parts_of, store

log = logging.getLogger(__name__)

GROUP = 0.010
"""Seconds between two commits, each of which takes along what came meanwhile."""
GATHERED = 100
"""Entries that wait for company at most."""
BEAT = 0.12
"""Seconds between two frames of an answer. All answers of a process keep one beat, so that a commit takes them all.
After a rest that long nothing of what a frame needs is near the processor any more, so each costs about the same
however little it holds (decision 0005)."""
FOLLOW_EVERY = 0.15
"""Seconds between two looks at turns that run in another process."""
LINGER = 60.0
"""Seconds a channel nobody watches is kept: for the reader who reconnects."""
RETRY_PAUSES = (0.05, 0.2, 0.5, 1, 2, 4, 8, 8, 8)
"""Seconds between tries of a commit while the database is away."""

AWAY = (OperationalError, InterfaceError, InternalError)
"""The database, not what is written, is the matter; the last one if it has taken a sleeper's transaction back."""


class EventLog:
    """This process's way to the log."""

    def __init__(self) -> None:
        self._items: collections.deque[Item] = collections.deque()
        # True: write what is there; False: and then end.
        self._calls: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._has_to_follow = threading.Event()
        self._channels: dict[int, Channel] = {}
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self.sends_away = False
        self._listeners: list[Callable[[Collection[int]], None]] = []
        # Processes beat at different moments, or they would wait for each other at the database.
        self._offset = random.uniform(0, BEAT)  # noqa: S311 - no secret

    def until_beat(self) -> float:
        """Seconds until the next moment at which answers of this process are read on and written down."""
        return BEAT - (time.monotonic() + self._offset) % BEAT

    def append(
        self,
        turn_id: int,
        entries: Sequence[Entry],
        work: Callable[[], Any] | None = None,
        *,
        holder: str,
        at_once: bool = True,
    ) -> Future[Any]:
        """Store entries; watchers see them when they are durable.

        Args:
            turn_id: the turn's key.
            entries: in order.
            work: database work of the same turn, done in the same transaction.
            holder: whose lease must stand, or no entry is stored: a process that slept must not add to a turn that
                another one has ended meanwhile.
            at_once: whether it is written now; otherwise with what comes next, at :meth:`write` at the latest.

        Returns:
            a future of what ``work`` returned, or of :class:`LeaseLost`; callers need not wait for it.
        """
        return self._put(Item(turn_id, entries, work, False, holder), at_once=at_once)

    def finish(self, turn_id: int, entries: Sequence[Entry], work: Callable[[], bool], *, holder: str) -> Future[Any]:
        """Store the last entries with the work that ends the turn; watchers then see the end.

        As :meth:`append`, but nothing at all is stored if ``work`` says that it has not ended the turn.
        """
        return self._put(Item(turn_id, entries, work, True, holder), at_once=True)

    def write(self) -> None:
        """Write what was appended to wait for company: there is no more of it for now."""
        if self._items:
            self._calls.put(True)

    def open(self, turn_id: int) -> Channel:
        """The channel of a turn that starts to run in this process."""
        with self._lock:
            self._start()
            # Somebody may watch already, since before its turn came: they must not be left with a dead channel.
            channel = self._channels.setdefault(turn_id, Channel(turn_id, local=True))
            channel.local, channel.place, channel.orphaned = True, 0, False
        return channel

    def drop(self, turn_id: int) -> None:
        """Forget a turn this process ran but did not end: another one ends it."""
        with self._lock:
            channel = self._channels.pop(turn_id, None)
        if channel is not None:
            channel.drop()
            self._tell([turn_id])

    def send_readers_away(self) -> None:
        """The process is to end: every reader is let go within a second. Safe in a signal handler: takes no lock."""
        self.sends_away = True
        self._tell([])

    def on_news(self, listener: Callable[[Collection[int]], None]) -> None:
        """Be told of the turns with something new in their channels, and of none when all readers are sent away.

        Args:
            listener: called by whatever thread brings the news, and, with none, by a signal handler: it must not wait
                for anything.
        """
        self._listeners.append(listener)

    def _tell(self, turn_ids: Collection[int]) -> None:
        for listener in self._listeners:
            listener(turn_ids)

    def close(self) -> None:
        """Write what waits, then end both threads and close their connections; nothing can be appended any more."""
        self._closed.set()
        self._has_to_follow.set()
        self._calls.put(False)
        for thread in self._threads:
            thread.join(timeout=5)

    def watch(self, turn_id: int) -> Channel:
        """The channel of a turn, wherever it runs; give it back with :meth:`leave`.

        It may use the database; who then waits closes the connection.
        """
        with self._lock:
            self._start()
            channel = self._channels.get(turn_id)
            if channel is None:
                channel = self._channels[turn_id] = Channel(turn_id, local=False)
            channel.watchers += 1
            if not channel.local:
                self._has_to_follow.set()
            known = channel.local or channel.entries
        try:
            if not known:
                look([channel])
        except BaseException:
            self.leave(channel)
            raise
        return channel

    def leave(self, channel: Channel) -> None:
        """A watcher goes."""
        with self._lock:
            channel.watchers -= 1
            channel.touched = time.monotonic()

    def _put(self, item: Item, *, at_once: bool) -> Future[Any]:
        self._items.append(item)
        if at_once or len(self._items) >= GATHERED:
            self._calls.put(True)
        if not self._threads:
            with self._lock:
                self._start()
        return item.done

    def _start(self) -> None:
        # Whichever is lacking: there may have been no thread to be had.
        for target in (self._write_for_ever, self._follow_for_ever)[len(self._threads) :]:
            thread = threading.Thread(target=target, name=f"eventlog-{target.__name__.strip('_')}", daemon=True)
            thread.start()
            self._threads.append(thread)

    # --- writing --------------------------------------------------------------------------------------------------

    def _write_for_ever(self) -> None:
        goes_on = True
        while goes_on:
            goes_on = self._calls.get()
            began = time.monotonic()
            while not self._calls.empty():
                goes_on = self._calls.get() and goes_on
            items = [self._items.popleft() for _ in range(len(self._items))]
            for part in parts_of(items):
                self._commit(part)
            if not self._calls.empty():
                time.sleep(max(0.0, GROUP - (time.monotonic() - began)))
        connection.close()

    def _commit(self, batch: list[Item], *, again: bool = False) -> None:
        """Write all of it in one transaction; what cannot be written together is written one by one."""
        for tried, pause in enumerate((*RETRY_PAUSES, None)):
            try:
                results = store(batch)
            except AWAY as error:
                connection.close()
                if pause is None:
                    log.error("The event log could not be written: %s", type(error).__name__)
                    self._fail(batch, error)
                    return
                time.sleep(pause)
            except Exception as error:
                if len(batch) > 1:
                    for item in batch:
                        self._commit([item], again=again or tried > 0)
                elif (again or tried) and is_stored(batch[0]):
                    # The connection broke after the commit and before its confirmation.
                    self._publish(batch, [True])
                else:
                    log.warning("A part of an answer could not be stored: %s", type(error).__name__)
                    self._fail(batch, error)
                return
            else:
                if again or tried:
                    # An end that was committed and not confirmed leaves no lease to find.
                    is_lost = [isinstance(result, LeaseLost) for result in results]
                    results = [
                        True if lost and is_stored(item) else result
                        for item, result, lost in zip(batch, results, is_lost, strict=True)
                    ]
                self._publish(batch, results)
                return

    def _fail(self, batch: list[Item], error: Exception) -> None:
        for item in batch:
            item.done.set_exception(error)

    def _publish(self, batch: list[Item], results: list[Any]) -> None:
        for item, result in zip(batch, results, strict=True):
            if isinstance(result, LeaseLost):
                item.done.set_exception(result)
                continue
            channel = self._channels.get(item.turn_id)
            if channel is not None and channel.local:
                channel.publish(item.entries, ended=item.ends)
            item.done.set_result(result)
        self._tell({item.turn_id for item in batch})

    # --- following turns of other processes -----------------------------------------------------------------------

    def _follow_for_ever(self) -> None:
        while not self._closed.wait(FOLLOW_EVERY):
            with self._lock:
                self._sweep()
                followed = [one for one in self._channels.values() if not one.local and not one.ended and one.watchers]
                if not followed:
                    self._has_to_follow.clear()
            if not followed:
                connection.close()
                self._has_to_follow.wait(LINGER)
                continue
            try:
                for start in range(0, len(followed), 50):
                    if news := look(followed[start : start + 50]):
                        self._tell(news)
            except Error as error:
                log.warning("Looking for news of answers failed: %s", type(error).__name__)
                connection.close()
        connection.close()

    def _sweep(self) -> None:
        old = time.monotonic() - LINGER
        for turn_id, channel in list(self._channels.items()):
            if not channel.watchers and channel.touched < old and (channel.ended or not channel.local):
                del self._channels[turn_id]


EVENT_LOG = EventLog()
"""The one of this process."""


def forget_after_fork() -> None:
    """A forked worker starts with its own threads and nothing in memory."""
    EVENT_LOG.__init__()  # type: ignore[misc]  # the same object, as good as new
