"""An answer's body read as far as it has come, without waiting for more (decision 0007)."""

from __future__ import annotations

import io
import socket
import ssl
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Any

UNREAD_BYTES = 64 * 1024
"""Bytes held for the sake of a line, or of what follows the last chunk, before it counts as endless: they are looked at
anew with everything that comes."""
_RECEIVED = 64 * 1024
_MUST_WAIT = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class _Arriving:
    """The bytes of an answer, which wait as long as its socket does, and nothing is lost when that is not at all.

    In the place of ``http.client``'s reader, with as much of it as is used there. A read that would have to wait raises
    what the socket raises; then :meth:`back_to` makes what it had taken unread.
    """

    closed = False

    def __init__(self, sock: socket.socket, source: io.BufferedReader) -> None:
        self._sock = sock
        # Nothing is read from it; closing it gives the socket back.
        self._source = source
        self._held = b""
        self._at = self._marked = 0
        self._is_plain = type(sock) is socket.socket
        self._has_all = False

    @property
    def is_empty(self) -> bool:
        """Whether everything that came has been read."""
        return self._at == len(self._held)

    def mark(self) -> int:
        """This place, until the next call of this method."""
        if self.is_empty or self._at > _RECEIVED:
            self._held, self._at = self._held[self._at :], 0
        self._marked = self._at
        return self._at

    def back_to(self, mark: int) -> None:
        """Make everything after this place unread."""
        self._at = mark

    def readline(self, limit: int) -> bytes:
        """A line with its end, or as much as there is of it before the limit or the answer's end."""
        while not (end := self._held.find(b"\n", self._at) + 1):
            if len(self._held) - self._at >= limit or not self._more():
                end = len(self._held)
                break
        return self._taken(min(end - self._at, limit))

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or all up to the answer's end."""
        while size < 0 or len(self._held) - self._at < size:
            if not self._more():
                break
        return self._taken(len(self._held) - self._at if size < 0 else size)

    def read1(self, size: int = -1) -> bytes:
        """What is here of so many bytes, or what comes next."""
        if size and self.is_empty:
            self._more()
        return self._taken(len(self._held) - self._at if size < 0 else size)

    def flush(self) -> None:
        """Nothing is ever written."""

    def close(self) -> None:
        """The answer is over."""
        self.closed = True
        self._source.close()

    def _more(self) -> bool:
        waits = self._sock.gettimeout() != 0
        if self._has_all:
            # Once: the next read asks the socket again.
            self._has_all = False
            raise BlockingIOError
        if not waits and len(self._held) - self._marked > UNREAD_BYTES:
            raise HTTPException("an answer's frame that never ends")
        came = self._sock.recv(_RECEIVED)
        # A short read took all there was; asking once more would cost a change of threads. TLS gives one record a time.
        self._has_all = self._is_plain and not waits and 0 < len(came) < _RECEIVED
        if waits and self.is_empty:
            self._held, self._at = b"", 0
        self._held += came
        return bool(came)

    def _taken(self, size: int) -> bytes:
        taken = self._held[self._at : self._at + size]
        self._at += len(taken)
        return taken


class ComingAnswer(HTTPResponse):
    """An answer that can be read as far as it has come."""

    fp: Any

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._sock = sock
        self._arriving: _Arriving | None = None
        self._cut: Exception | None = None

    def read_as_it_comes(self) -> None:
        """From its head on, this answer is read by :meth:`come`; before :meth:`do_not_wait`, in the usual ways too."""
        self.fp = self._arriving = _Arriving(self._sock, self.fp)

    def fileno(self) -> int:
        """What becomes readable when more has come; -1 when the connection is closed."""
        return self._sock.fileno()

    def do_not_wait(self) -> None:
        """From now on, reading never waits."""
        self._sock.settimeout(0)

    def come(self) -> bytes | None:
        """The next bytes of the body that are here, ``b""`` at its end, ``None`` if it has to be waited for.

        Raises:
            http.client.HTTPException, OSError: it was cut; every later call raises it again.
        """
        if self._cut is not None:
            raise self._cut
        if self.fp is None:
            return b""
        mark, left = self.fp.mark(), self.chunk_left
        try:
            part = self.read1()
            if not part and self.length:
                raise IncompleteRead(b"", self.length)
            if self.chunked and (self.chunk_left or 0) < 0:
                raise HTTPException("a chunk of less than nothing")
        except _MUST_WAIT:
            self.fp.back_to(mark)
            self.chunk_left = left
            return None
        except (HTTPException, OSError) as cut:
            self._cut = cut
            raise
        if not part:
            self._finish()
        return part

    def _finish(self) -> None:
        self.close()
        if self._arriving is not None and not self._arriving.is_empty:
            # Whatever was sent after the end, it is no beginning of another answer.
            self.will_close = True
