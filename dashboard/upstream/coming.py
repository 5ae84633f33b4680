"""An answer's body read as far as it has come, without waiting for more (decision 0007)."""

from __future__ import annotations

import io
import re
import socket
import ssl
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Any

UNREAD_BYTES = 64 * 1024
"""Bytes sent after the last chunk before they count as endless."""
SIZE_BYTES = 4 * 1024
"""The same of a line with a chunk's size."""
_RECEIVED = 64 * 1024
_MUST_WAIT = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_FIRST_SIZE = re.compile(rb"0*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
_NEXT_SIZE = re.compile(rb"\r\n" + _FIRST_SIZE.pattern)


class _Arriving:
    """The bytes of an answer; reading them waits as long as the socket does.

    In the place of ``http.client``'s reader, with as much of it as is used there.
    """

    closed = False

    def __init__(self, sock: socket.socket, source: io.BufferedReader) -> None:
        self._sock = sock
        # Nothing is read from it; closing it gives the socket back.
        self._source = source
        self._held = b""
        self._at = 0
        self._is_plain = type(sock) is socket.socket
        self._has_all = False

    @property
    def here(self) -> int:
        """Bytes that came and were not taken."""
        return len(self._held) - self._at

    def readline(self, limit: int) -> bytes:
        """A line with its end, or as much as there is of it before the limit or the answer's end."""
        while not self.has_line() and self.here < limit and self.more():
            pass
        end = self._held.find(b"\n", self._at) + 1 or len(self._held)
        return self.take(min(end - self._at, limit))

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or all up to the answer's end."""
        while (size < 0 or self.here < size) and self.more():
            pass
        return self.take(size)

    def read1(self, size: int = -1) -> bytes:
        """What is here of so many bytes, or what comes next."""
        if size and not self.here:
            self.more()
        return self.take(size)

    def has_line(self, after: int = 0) -> bool:
        """Whether a line ends after so many bytes."""
        return self._held.find(b"\n", self._at + after) >= 0

    def line(self, pattern: re.Pattern[bytes], after: int) -> re.Match[bytes] | None:
        """Take what must be here, if a line ends after so many bytes.

        Raises:
            http.client.HTTPException: there is a line, or the beginning of a very long one, and it is another.
        """
        found = pattern.match(self._held, self._at)
        if found is not None:
            self._at = found.end()
        elif self.has_line(after):
            raise HTTPException("a chunk without its size")
        elif self.here > SIZE_BYTES:
            raise HTTPException("a line that never ends")
        return found

    def take(self, size: int) -> bytes:
        """What is here of so many bytes, or of all."""
        taken = self._held[self._at : self._at + size if size >= 0 else None]
        self._at += len(taken)
        return taken

    def more(self) -> bool:
        """Receive more; false at the answer's end.

        Raises:
            OSError: there is nothing yet and the socket does not wait, or the connection was cut.
        """
        if self._has_all:
            # Once: the next time the socket is asked again.
            self._has_all = False
            raise BlockingIOError
        came = self._sock.recv(_RECEIVED)
        # A short read took all there was; asking once more would cost a change of threads. TLS gives one record a time.
        self._has_all = self._is_plain and 0 < len(came) < _RECEIVED and self._sock.gettimeout() == 0
        self._held, self._at = self._held[self._at :] + came, 0
        return bool(came)

    def flush(self) -> None:
        """Nothing is ever written."""

    def close(self) -> None:
        """The answer is over."""
        self.closed = True
        self._source.close()


class ComingAnswer(HTTPResponse):
    """An answer that can be read as far as it has come."""

    fp: Any

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._sock = sock
        self._size = _FIRST_SIZE
        self._left = self._after_last = 0
        self._has_last = False
        self._cut: Exception | None = None

    def read_as_it_comes(self) -> None:
        """From its head on, this answer is read by :meth:`come`; before :meth:`do_not_wait`, in the usual ways too."""
        self.fp = _Arriving(self._sock, self.fp)

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
        try:
            part = self._of_chunks(self.fp) if self.chunked else self._of_one_piece(self.fp)
        except _MUST_WAIT:
            return None
        except (HTTPException, OSError) as cut:
            self._cut = cut
            raise
        if not part:
            # Whatever was sent after the end, it is no beginning of another answer.
            self.will_close = self.will_close or self.fp.here > 0
            self.close()
        return part

    def _of_one_piece(self, arriving: _Arriving) -> bytes:
        """Of a body as long as its head says, or as long as the connection."""
        if self.length is None:
            return arriving.read1()
        part = arriving.read1(self.length)
        if self.length and not part:
            raise IncompleteRead(b"", self.length)
        self.length -= len(part)
        return part

    def _of_chunks(self, arriving: _Arriving) -> bytes:
        """Of a body in chunks (RFC 9112 §7.1): of all that are here, because a token is often one."""
        parts: list[bytes] = []
        while not self._has_last:
            if self._left and (part := arriving.take(self._left)):
                parts.append(part)
                self._left -= len(part)
            elif not self._left and (size := arriving.line(self._size, after=0 if self._size is _FIRST_SIZE else 2)):
                self._left, self._size = int(size[1], 16), _NEXT_SIZE
                self._has_last = not self._left
            elif parts:
                break
            elif not arriving.more():
                raise IncompleteRead(b"", self._left or None)
        if not parts:
            self._skip_trailers(arriving)
        return b"".join(parts)

    def _skip_trailers(self, arriving: _Arriving) -> None:
        """What follows the last chunk says nothing, but a connection serves another call only after it."""
        line = b""
        while line not in (b"\r\n", b"\n"):
            if self._after_last + arriving.here > UNREAD_BYTES:
                raise HTTPException("an end that never ends")
            if arriving.has_line():
                line = arriving.readline(UNREAD_BYTES)
                self._after_last += len(line)
            elif not arriving.more():
                return
