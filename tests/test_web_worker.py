"""The web server's worker lets go of a connection, and has it back at the end as if its own thread had answered."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.processes import ROOT, environment, free_port

SOON = 20.0


@dataclass
class Server:
    port: int
    gate: Path
    process: subprocess.Popen[bytes]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=SOON)

    def get(self, path: str, *, version: str = "1.1", rest: bytes = b"") -> bytes:
        query = f"?{self.gate}" if path != "/" else ""
        return f"GET {path}{query} HTTP/{version}\r\nHost: x\r\n".encode() + (rest or b"\r\n")

    def asked(self, path: str = "/answer", **options: str) -> socket.socket:
        sock = self.connect()
        sock.sendall(self.get(path, **options))  # type: ignore[arg-type]  # only ever a version
        return sock


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex(("127.0.0.1", port))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "tests.letting_go", str(port)]
    with subprocess.Popen(command, cwd=ROOT, env=environment()) as process:
        ends = time.monotonic() + SOON
        while not answers(port):
            assert time.monotonic() < ends
            time.sleep(0.05)
        yield Server(port, tmp_path / "gate", process)
        process.kill()


def read_until(sock: socket.socket, end: bytes) -> bytes:
    got = b""
    while end not in got:
        part = sock.recv(4096)
        assert part, got
        got += part
    return got


WHOLE = b"6\r\nsecond\r\n0\r\n\r\n"


def test_many_answers_at_once_need_no_thread_each(server: Server) -> None:
    with ExitStack() as stack:
        answers = [stack.enter_context(server.asked()) for _ in range(20)]
        for sock in answers:
            read_until(sock, b"first ")
        with server.asked("/") as page:
            assert read_until(page, b"page")
        server.gate.touch()
        for sock in answers:
            assert read_until(sock, b"0\r\n\r\n").endswith(WHOLE)


def test_the_connection_serves_the_next_request(server: Server) -> None:
    server.gate.touch()
    with server.connect() as sock:
        for _ in range(3):
            sock.sendall(server.get("/answer"))
            assert read_until(sock, b"0\r\n\r\n").endswith(WHOLE)
        sock.sendall(server.get("/"))
        assert read_until(sock, b"page")


def test_two_requests_sent_together_are_answered_in_order(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(server.get("/answer") + server.get("/"))
        read_until(sock, b"first ")
        server.gate.touch()
        got = read_until(sock, b"page")
        assert got.index(WHOLE) < got.index(b"HTTP/1.1 200")


@pytest.mark.parametrize("body", ["a request", "no chunk"])
def test_a_body_nobody_read_is_not_taken_for_a_request(server: Server, body: str) -> None:
    """Who sends one with a GET is answered, and gets no second answer on this connection."""
    smuggled = server.get("/")
    length = b"Content-Length: %d\r\n\r\n%b" % (len(smuggled), smuggled)
    rest = length if body == "a request" else b"Transfer-Encoding: chunked\r\n\r\nZZZ\r\n"
    with server.connect() as sock:
        sock.sendall(server.get("/answer", rest=rest))
        read_until(sock, b"first ")
        server.gate.touch()
        assert read_until(sock, b"0\r\n\r\n").endswith(WHOLE)
        assert sock.recv(1) == b""


def test_without_chunks_the_end_of_the_connection_is_the_end(server: Server) -> None:
    """A proxy that speaks HTTP/1.0, as nginx does unless told otherwise."""
    server.gate.touch()
    with server.asked(version="1.0") as sock:
        got = b"".join(iter(lambda: sock.recv(4096), b""))
    assert got.endswith(b"\r\n\r\nfirst second")


@pytest.mark.parametrize("how", ["unfit", "asked"])
def test_a_connection_that_is_not_to_be_kept_is_closed(server: Server, how: str) -> None:
    server.gate.touch()
    with server.connect() as sock:
        rest = b"Connection: close\r\n\r\n" if how == "asked" else b""
        sock.sendall(server.get("/unfit" if how == "unfit" else "/answer", rest=rest))
        got = b"".join(iter(lambda: sock.recv(4096), b""))
    assert got.endswith(WHOLE)


def test_connections_that_are_closed_keep_nobody_waiting(server: Server) -> None:
    """Whose other side neither reads on nor closes."""
    with ExitStack() as stack:
        for path, version in (*[("/unfit", "1.1")] * 6, ("/answer", "1.0")):
            read_until(stack.enter_context(server.asked(path, version=version)), b"first ")
        server.gate.touch()
        time.sleep(0.3)
        began = time.monotonic()
        with server.asked("/") as page:
            assert read_until(page, b"page")
        assert time.monotonic() - began < 2


def test_whoever_goes_away_takes_no_place_along(server: Server) -> None:
    """More than the worker may have connections at once."""
    for _ in range(4):
        with ExitStack() as stack:
            for _ in range(15):
                sock = stack.enter_context(server.asked())
                read_until(sock, b"first ")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.gate.touch()
        time.sleep(0.3)
        server.gate.unlink()
    with server.asked("/") as page:
        assert read_until(page, b"page")


def test_when_nobody_can_go_on_the_body_is_told_and_the_connection_is_closed(server: Server) -> None:
    for _ in range(3):
        with server.asked("/refused") as sock:
            got = b"".join(iter(lambda: sock.recv(4096), b""))
        assert got.endswith(b"first \r\n")
        assert server.gate.exists()
        server.gate.unlink()
    with server.asked("/") as page:
        assert read_until(page, b"page")


def test_a_worker_that_is_to_end_waits_for_what_it_handed_over(server: Server) -> None:
    with server.asked() as sock:
        read_until(sock, b"first ")
        server.process.send_signal(signal.SIGTERM)
        time.sleep(1.0)
        server.gate.touch()
        assert read_until(sock, b"0\r\n\r\n").endswith(WHOLE)
    assert server.process.wait(SOON) == 0
