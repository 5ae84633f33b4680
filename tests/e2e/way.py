"""A way between a browser and a house that a test can cut, with whatever is on it, and mend."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from urllib.parse import urlsplit

from tests.e2e.houses import House


class Way:
    """Passes bytes on for as long as it is not cut. Use it with ``with``."""

    def __init__(self, house: House) -> None:
        self._target = ("127.0.0.1", urlsplit(house.url).port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._ends: set[socket.socket] = set()
        self._silent: set[socket.socket] = set()
        self._is_cut = False
        self._held_back = 0
        self.house = House(f"http://127.0.0.1:{self._listener.getsockname()[1]}", house.process, house.cookies)

    def __enter__(self) -> Way:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Break every connection, and let none come about."""
        self._is_cut = True
        for end in list(self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def silence(self) -> None:
        """Swallow whatever is sent on the connections there are, which stay open."""
        self._silent |= self._ends

    def dawdle(self, held_back: int) -> None:
        """Let the last so many bytes of the next answer that is longer come a second later."""
        self._held_back = held_back

    def mend(self) -> None:
        """Let connections come about again."""
        self._is_cut = False

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._is_cut:
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        self._ends.add(one)
        with contextlib.suppress(OSError):
            while part := one.recv(65_536):
                if 0 < self._held_back < len(part) - 2_000:
                    held_back, self._held_back = self._held_back, 0
                    other.sendall(part[:-held_back])
                    time.sleep(1)
                    part = part[-held_back:]
                if one not in self._silent:
                    other.sendall(part)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)
        self._ends.discard(one)
        one.close()
