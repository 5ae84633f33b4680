"""Sends live answers to all who watch in a process (decision 0007).

A watcher mostly waits, and to wake a thread for each of them costs more than what it then does. So a web server that
can let go of a connection hands it over once the head of the answer is sent (:class:`HandedOver`), and gets it back at
the end. News are sent by the thread that brings them, which is awake already; one thread sees to browsers that come,
go, or take more later. Under any other server a watcher keeps its thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from django.db import Error, close_old_connections, connection

from dashboard.turns.eventlog import EVENT_LOG
from dashboard.web.reader import AGE, LOOK_UP, Reader

log = logging.getLogger(__name__)

STALLED = 30.0
"""Seconds after which a browser that takes nothing is given up on; it may come back with its cursor."""
AT_ONCE = 256 * 1024
"""Bytes given to a connection at a time."""


@dataclass(eq=False)
class _Line:
    """A connection to a browser, and what is on its way to it."""

    reader: Reader
    sock: socket.socket
    in_chunks: bool
    done: Callable[[bool], None]
    waits: bytes = b""
    moved_at: float = field(default_factory=time.monotonic)
    ends_at: float = field(default_factory=lambda: time.monotonic() + AGE + STALLED)
    hears: bool = False
    has_spoken: bool = False
    listens_for: int = 0

    def push(self) -> bool:
        """Send what can be sent now; whether there is or will be more.

        Raises:
            OSError: the browser is gone, or takes nothing.
        """
        has_looked = False
        while self.waits or not (has_looked or self.reader.over):
            if not self.waits:
                # News wait where they are while the browser has not taken the last: it is then told all in one. Once
                # is enough, because whatever comes later is told of.
                self.moved_at, has_looked = time.monotonic(), True
                self.waits = self.framed(self.reader.news())
                continue
            try:
                sent = self.sock.send(self.waits[:AT_ONCE])
            except BlockingIOError:
                if EVENT_LOG.sends_away or time.monotonic() > min(self.moved_at + STALLED, self.ends_at):
                    raise TimeoutError from None
                return True
            self.waits, self.moved_at = self.waits[sent:], time.monotonic()
        return not self.reader.over

    def framed(self, news: bytes) -> bytes:
        """News as they go out, with the end of the body if they are the last."""
        if not self.in_chunks:
            return news
        chunk = b"%X\r\n%b\r\n" % (len(news), news) if news else b""
        return chunk + b"0\r\n\r\n" if self.reader.over else chunk

    def is_gone(self) -> bool:
        """Whether the browser has closed its side; what else it may have sent is left for the web server."""
        if not self.hears:
            return False
        self.hears, self.has_spoken = False, True
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False


class Sender:
    """Takes connections from any thread; whoever sees to one holds ``_serving``."""

    def __init__(self) -> None:
        self._coming: queue.SimpleQueue[_Line] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[Collection[int]] = queue.SimpleQueue()
        self._lines: dict[int, set[_Line]] = {}
        self._looks_at = 0.0
        self._lock = threading.Lock()
        self._serving = threading.Lock()
        self._selector: selectors.BaseSelector = selectors.SelectSelector()
        self._woken = self._waker = -1
        self._is_woken = False
        self._runs = False

    def take(
        self, reader: Reader, begun: bytes, sock: socket.socket, in_chunks: bool, done: Callable[[bool], None]
    ) -> None:
        """Go on sending to a browser.

        Args:
            reader: what it lacks.
            begun: what has been read of that already.
            sock: its connection.
            in_chunks: whether the body is sent as HTTP chunks; otherwise closing the connection ends it.
            done: called at the end, with whether the connection is fit for another request.

        Raises:
            OSError, RuntimeError: it was not taken: there is no pipe or no thread to be had.
        """
        sock.setblocking(False)
        line = _Line(reader, sock, in_chunks, done)
        line.waits = line.framed(begun)
        with self._lock:
            if self._waker < 0:
                # Kept for as long as this process lives: a signal handler may be about to write to it.
                self._woken, self._waker = os.pipe()
                os.set_blocking(self._waker, False)
                EVENT_LOG.on_news(self._hear)
            if not self._runs:
                threading.Thread(target=self._send, name="sender", daemon=True).start()
                self._runs = True
            self._coming.put(line)
        self._wake()

    def _hear(self, turn_ids: Collection[int]) -> None:
        """Send more text at once, and leave the rest to the sender's thread, and all if that is at work.

        Whoever brings news has more to do: an end is read from the database for each who watches. A signal handler
        brings none.
        """
        if not self._runs:
            return
        if not turn_ids or not self._serving.acquire(blocking=False):
            self._leave(turn_ids)
            return
        try:
            lines = self._of(turn_ids)
            if heavy := [line for line in lines if not line.reader.has_words_only]:
                self._leave({line.reader.turn_id for line in heavy})
            for line in lines.difference(heavy):
                self._serve(line)
        except Exception:
            # Whoever brings news has more to do than this.
            log.exception("News of an answer could not be sent at once")
        finally:
            self._serving.release()

    def _leave(self, turn_ids: Collection[int]) -> None:
        self._news.put(turn_ids)
        self._wake()

    def _wake(self) -> None:
        if not self._is_woken:
            self._is_woken = True
            with contextlib.suppress(BlockingIOError):
                os.write(self._waker, b"\0")

    def _send(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            with self._serving:
                self._selector = selector
            try:
                while True:
                    ready = selector.select(LOOK_UP)
                    with self._serving:
                        for line in self._due(ready):
                            self._serve(line)
                        if self._ends():
                            break
            except BaseException:
                # Nobody may wait for this thread for ever: browsers come back with their cursors.
                log.exception("Live answers could not be sent on")
                with self._serving:
                    self._give_up()
        connection.close()

    def _ends(self) -> bool:
        """Whether nobody is left to send to; then the thread ends, and the next browser starts another."""
        with self._lock:
            self._runs = bool(self._lines) or not self._coming.empty()
            return not self._runs

    def _give_up(self) -> None:
        with self._lock:
            self._runs = False
            lines = set().union(*self._lines.values())
            self._lines.clear()
            while not self._coming.empty():
                lines.add(self._coming.get())
        for line in lines:
            line.done(False)

    def _due(self, ready: list[tuple[selectors.SelectorKey, int]]) -> set[_Line]:
        """The lines to see to: those whose browser goes or takes more, those with news, now and then all of them."""
        due = set()
        for key, mask in ready:
            if key.data is None:
                os.read(self._woken, 1024)
                self._is_woken = False
            elif key.data in self._lines.get(key.data.reader.turn_id, ()):
                key.data.hears = bool(mask & selectors.EVENT_READ)
                due.add(key.data)
        while not self._coming.empty():
            line = self._coming.get()
            self._lines.setdefault(line.reader.turn_id, set()).add(line)
            due.add(line)
        while not self._news.empty():
            due |= self._of(self._news.get())
        if EVENT_LOG.sends_away or time.monotonic() >= self._looks_at:
            self._looks_at = time.monotonic() + LOOK_UP
            due = set().union(*self._lines.values())
        return due

    def _of(self, turn_ids: Collection[int]) -> set[_Line]:
        return set().union(*[self._lines.get(turn_id, ()) for turn_id in turn_ids])

    def _serve(self, line: _Line) -> None:
        try:
            well = not line.is_gone()
            if well and line.push():
                _listen(self._selector, line)
                return
        except OSError:
            well = False
        except Error as error:
            log.warning("The end of an answer could not be read: %s", type(error).__name__)
            connection.close()
            well = False
        except Exception:
            # One answer that cannot be shown must not take the others along.
            log.exception("A live answer could not be sent")
            well = False
        self._let_go(line, well=well)

    def _let_go(self, line: _Line, *, well: bool) -> None:
        if line.listens_for:
            self._selector.unregister(line.sock)
        lines = self._lines[line.reader.turn_id]
        lines.discard(line)
        if not lines:
            del self._lines[line.reader.turn_id]
        try:
            line.done(well)
        except Exception:
            log.exception("The connection of a live answer could not be given back")
        if not self._lines:
            # The sender's thread may end, if nobody else is coming.
            self._wake()
        # Kept between two ends, which are read from the database, but not once it is broken or old.
        close_old_connections()


def _listen(selector: selectors.BaseSelector, line: _Line) -> None:
    """Hear of a browser that goes, and of one that can take more while something waits for it."""
    wanted = (0 if line.has_spoken else selectors.EVENT_READ) | (selectors.EVENT_WRITE if line.waits else 0)
    if wanted == line.listens_for:
        return
    if not line.listens_for:
        selector.register(line.sock, wanted, line)
    elif wanted:
        selector.modify(line.sock, wanted, line)
    else:
        selector.unregister(line.sock)
    line.listens_for = wanted
