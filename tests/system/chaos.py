"""A way between Corral and what it talks to that a test can hold or cut, to localcloud at any byte of an answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Passage:
    """One stream call on its way: what has passed, and the means to stop it."""

    client: socket.socket
    server: socket.socket
    passed: int = 0
    gate: threading.Event = field(default_factory=threading.Event)

    def cut(self) -> None:
        """Break both ends."""
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


At = Callable[[Passage, bytes], None]
"""Called before each part of an answer is passed on, with what has passed so far."""


class ChaosProxy:
    """Passes bytes on; ``before_request`` and ``before_part`` see every stream call and may hold, cut or act."""

    def __init__(self, port: int, listener: socket.socket | None = None) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = listener or socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.before_request: At = lambda passage, part: None
        self.before_part: At = lambda passage, part: None
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target)
        except OSError:
            client.close()
            return
        passage = Passage(client, server)
        streams = threading.Event()
        threading.Thread(target=self._down, args=(passage, streams), daemon=True).start()
        with contextlib.suppress(OSError):
            while part := client.recv(65536):
                if b"/messages/stream" in part:
                    streams.set()
                    passage.passed = 0
                    self.before_request(passage, part)
                elif part.startswith((b"GET ", b"POST ", b"DELETE ")):
                    streams.clear()
                server.sendall(part)
        passage.cut()

    def _down(self, passage: Passage, streams: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while part := passage.server.recv(65536):
                if streams.is_set():
                    self.before_part(passage, part)
                passage.client.sendall(part)
                passage.passed += 1
        passage.cut()
