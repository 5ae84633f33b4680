"""Sockets that know which call they serve.

`requests` and urllib3 bound each wait for bytes, never the whole call: a server that trickles one byte a second holds
a caller for ever. They also do not tell whether a request left this machine before it failed, which decides if a
creation may be repeated. So the connections here report to the :class:`Call` their thread is making, and a call can
be abandoned from outside, which shuts its socket down and wakes the reader.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from dashboard.upstream.clock import Watchdog
from dashboard.upstream.coming import ComingAnswer

CONNECT_SECONDS = 3.0
"""For all of a name's addresses together."""
IDLE_REUSE_SECONDS = 2.0
"""A connection idle for longer is not reused for anything but reads: the server may be closing it at this moment."""

_here = threading.local()
_clock = Watchdog()
os.register_at_fork(after_in_child=_clock.forget_all)


class Call:
    """One attempt at a request, from its connection to the last byte of the answer.

    Args:
        seconds: time for all of it from ``with`` on, unless :meth:`lift_limit` is called meanwhile.
        safe: whether the request may be repeated, so that an old pooled connection is good enough.
        streams: whether the answer is read as it comes, by somebody who also waits for others (:attr:`coming`).

    Attributes:
        coming: the answer, once its head has been read, if it is read as it comes.
        sent: bytes of the request have left; before that, nothing can have been done upstream.
        expired: the time ran out and the socket was shut down.
        abandoned: :meth:`abandon` was called, by the clock or by a person.
    """

    def __init__(self, seconds: float, *, safe: bool, streams: bool = False) -> None:
        self.safe = safe
        self.streams = streams
        self.coming: ComingAnswer | None = None
        self.sent = False
        self.expired = False
        self.abandoned = False
        self._seconds = seconds
        self._ends: float | None = None
        self._sock: socket.socket | None = None
        self._lock = threading.Lock()
        self._watched: int | None = None

    def __enter__(self) -> Self:
        self._ends = time.monotonic() + self._seconds
        self._watched = _clock.watch(self._seconds, self._expire)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lift_limit()
        with self._lock:
            self._sock = None

    def lift_limit(self) -> None:
        """From now on it may take as long as it likes."""
        if self._watched is not None:
            _clock.forget(self._watched)
        self._ends = self._watched = None

    @contextlib.contextmanager
    def on_this_thread(self) -> Iterator[None]:
        """Connections used by this thread belong to this call meanwhile."""
        before = _call()
        _here.call = self
        try:
            yield
        finally:
            _here.call = before

    def left(self, at_most: float) -> float:
        """Seconds left, at most ``at_most`` and never quite zero (zero means "do not wait" to a socket)."""
        return at_most if self._ends is None else min(at_most, max(0.01, self._ends - time.monotonic()))

    def uses(self, sock: socket.socket | None) -> None:
        """From now on, abandoning the call shuts this socket down; ``None`` when the connection is given back."""
        with self._lock:
            self._sock = sock
            late = self.abandoned
        if late:
            self.abandon()

    def abandon(self) -> None:
        """End the call at once, from any thread: whoever waits for its bytes wakes up with an error."""
        with self._lock:
            self.abandoned = True
            if self._sock is not None:
                # The plain socket's shutdown, because SSLSocket's own pulls the TLS object from under a running read.
                # Under the lock, because a moment later the connection may serve another call.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def _expire(self) -> None:
        self.expired = True
        self.abandon()


def _call() -> Call | None:
    call = getattr(_here, "call", None)
    return call if isinstance(call, Call) else None


class _Response(ComingAnswer):
    """An answer that its call knows of, if it is read as it comes."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        call = _call()
        if call is not None and call.streams:
            self.read_as_it_comes()
            call.coming = self


class _Reporting(HTTPConnection):
    """A connection that tells its call which socket it uses and when the first byte leaves."""

    response_class = _Response
    _connecting = False
    idle_since: float | None = None

    def connect(self) -> None:
        self._connecting = True
        try:
            super().connect()
        finally:
            self._connecting = False

    def _new_conn(self) -> socket.socket:
        """Try the name's addresses within one time-out for all; urllib3 would wait that long for each of them."""
        name, allowed = self.host, self.timeout
        ends = time.monotonic() + (allowed if isinstance(allowed, int | float) else CONNECT_SECONDS)
        *others, last = _addresses(name, self.port)
        try:
            for address in others:
                with contextlib.suppress(HTTPError):
                    return self._connected(address, ends)
            return self._connected(last, ends)
        finally:
            self.host, self.timeout = name, allowed

    def _connected(self, address: str, ends: float) -> socket.socket:
        self.host, self.timeout = address, max(0.01, ends - time.monotonic())
        sock = super()._new_conn()
        self._report(sock)
        return sock

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        self._report(self.sock)
        call = _call()
        # A proxy's CONNECT is written while connecting; LlamaCloud has not seen a byte of ours then.
        if call is not None and not self._connecting:
            if call.abandoned and not call.sent:
                raise ConnectionAbortedError
            call.sent = True
        super().send(data)

    def _report(self, sock: socket.socket | None) -> None:
        call = _call()
        if call is not None:
            call.uses(sock)


class _ReportingTLS(_Reporting, HTTPSConnection):
    """The same over TLS."""


def _addresses(name: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        # The attempt to connect fails over the same name, and says so in urllib3's terms.
        return [name]
    return list(dict.fromkeys(str(address[0]) for *_, address in found)) or [name]


class _Fresh(HTTPConnectionPool):
    """A pool that gives a request which must not be sent twice no connection that may be dying."""

    def _get_conn(self, timeout: float | None = None) -> Any:
        conn = super()._get_conn(timeout)
        call = _call()
        idle_since = getattr(conn, "idle_since", None) or time.monotonic()
        if call is not None and not call.safe and time.monotonic() - idle_since > IDLE_REUSE_SECONDS:
            conn.close()
        return conn

    def _put_conn(self, conn: Any) -> None:
        call = _call()
        if call is not None:
            call.uses(None)
        if conn is not None:
            conn.idle_since = time.monotonic()
        super()._put_conn(conn)


class _PlainPool(_Fresh):
    ConnectionCls = _Reporting


class _TLSPool(_Fresh, HTTPSConnectionPool):
    ConnectionCls = _ReportingTLS


class Adapter(HTTPAdapter):
    """`requests`' own adapter with the connections of this module, straight and through a proxy."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _teach(self.poolmanager)

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        return _teach(super().proxy_manager_for(proxy, **kwargs))


def _teach(manager: Any) -> Any:
    manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TLSPool}
    return manager
