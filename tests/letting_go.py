"""``python -m tests.letting_go PORT``: Corral's web server with two threads, around an application that hands over.

``/answer`` sends "first ", hands over, and somebody else sends "second" when a file of the name in the query exists;
``/unfit`` does the same and says that the connection is not fit for another request. With ``/refused`` nobody can go
on, and it makes that file when it is told. Anything else is a page.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dashboard.management.commands.serve import WebServer
from dashboard.web.handover import LETS_GO, HandedOver


class Body:
    def __init__(self, gate: str, *, is_fit: bool, is_refused: bool) -> None:
        self._gate = gate
        self._is_refused = is_refused
        self._is_fit = is_fit
        self._begun = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._begun:
            raise HandedOver(self._goes_on, lambda: open(self._gate, "x").close())
        self._begun = True
        return b"first "

    def _goes_on(self, sock: socket.socket, in_chunks: bool, done: Callable[[bool], None]) -> None:
        if self._is_refused:
            raise RuntimeError("can't start new thread")

        def send() -> None:
            while not os.path.exists(self._gate):
                time.sleep(0.02)
            try:
                sock.sendall(b"6\r\nsecond\r\n0\r\n\r\n" if in_chunks else b"second")
                done(self._is_fit)
            except OSError:
                done(False)

        threading.Thread(target=send, daemon=True).start()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path in ("/answer", "/unfit", "/refused") and environ[LETS_GO]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Body(environ["QUERY_STRING"], is_fit=path == "/answer", is_refused=path == "/refused")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"page"]


class Server(WebServer):
    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port, 1)
        self.cfg.set("threads", 2)
        self.cfg.set("worker_connections", 30)
        for hook in ("post_worker_init", "worker_exit"):
            self.cfg.set(hook, self.cfg.settings[hook].default)

    def load(self) -> Any:
        return application


if __name__ == "__main__":
    Server(int(sys.argv[1])).run()
