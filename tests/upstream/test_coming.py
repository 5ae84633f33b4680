"""A body read as far as it has come is the same, wherever it was cut, as one that is waited for."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.client import HTTPException
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.upstream.coming import SIZE_BYTES, ComingAnswer

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"5;note=x\r\nhello\r\n000000000000000000A\r\n, wo\r\nrld!\r\n1\r\n\n\r\n0\r\nAfter: it\r\n\r\n"
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n"
TO_THE_END = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
BODY = b"hello, wo\r\nrld!\n"
WAYS = {"chunks": (CHUNKED, CHUNKS), "length": (LENGTH, BODY), "end": (TO_THE_END, BODY)}


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The server's and the client's end of a connection."""
    server, client = socket.socketpair()
    with server, client:
        yield server, client


def answer_on(client: socket.socket) -> ComingAnswer:
    """An answer whose head has been read."""
    answer = ComingAnswer(client)
    answer.read_as_it_comes()
    answer.begin()
    answer.do_not_wait()
    return answer


def come(answer: ComingAnswer) -> tuple[bytes, bool]:
    """All that is here, and whether that is the end; looked for twice, because a look may stop short of an end."""
    parts: list[bytes] = []
    for _ in range(2):
        while part := answer.come():
            parts.append(part)
    return b"".join(parts), part == b""


@pytest.mark.parametrize("way", WAYS)
@given(cuts=st.sets(st.integers(1, 60), max_size=6))
def test_cut_anywhere_the_body_is_the_same(way: str, cuts: set[int]) -> None:
    head, sent = WAYS[way]
    server, client = socket.socketpair()
    with server, client:
        server.sendall(head)
        answer = answer_on(client)
        read, over, places = b"", False, sorted({0, *cuts, len(sent)})
        for start, end in pairwise(places):
            assert not over or start >= len(sent)
            server.sendall(sent[start:end])
            part, over = come(answer)
            read += part
        server.close()
        part, over = come(answer)
        assert (read + part, over) == (BODY, True)
        answer.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_cut_between_any_two_bytes(way: str) -> None:
    head, sent = WAYS[way]
    for place in range(len(sent) + 1):
        server, client = socket.socketpair()
        with server, client:
            server.sendall(head + sent[:place])
            answer = answer_on(client)
            first, _ = come(answer)
            assert BODY.startswith(first)
            server.sendall(sent[place:])
            server.close()
            second, over = come(answer)
            assert (first + second, over) == (BODY, True)
            answer.close()


def test_nothing_of_what_came_before_a_cut_connection_is_lost(ends: tuple[socket.socket, socket.socket]) -> None:
    server, client = ends
    server.sendall(CHUNKED + b"5\r\nhello\r\n5\r\nwo")
    answer = answer_on(client)
    server.close()
    assert answer.come() == b"hellowo"
    for _ in range(2):
        with pytest.raises(HTTPException):
            answer.come()
    answer.close()


@pytest.mark.parametrize("endless", [b"A: " + b"x" * 20_000 + b"\r\n", b"5" * 20_000])
def test_a_frame_that_never_ends_is_given_up_on(ends: tuple[socket.socket, socket.socket], endless: bytes) -> None:
    """The lines after the last chunk, and the line before one: none of them is the answer, all of it is held."""
    server, client = ends
    server.sendall(CHUNKED + (b"0\r\n" if endless.startswith(b"A") else b""))
    answer = answer_on(client)
    with pytest.raises(HTTPException):
        for _ in range(1_000):
            server.sendall(endless)
            assert not answer.come()
    answer.close()


@pytest.mark.parametrize("beginning", [b"5;", b"5 "])
def test_a_size_that_is_sent_a_byte_at_a_time_is_given_up_on_early(
    ends: tuple[socket.socket, socket.socket], beginning: bytes
) -> None:
    """What has come of it must not be looked through again for ever."""
    server, client = ends
    server.sendall(CHUNKED + beginning)
    answer = answer_on(client)
    with pytest.raises(HTTPException):
        for _ in range(SIZE_BYTES + 10):
            server.sendall(b" ")
            assert not answer.come()
    answer.close()


def test_what_follows_the_end_is_no_other_answer(ends: tuple[socket.socket, socket.socket]) -> None:
    server, client = ends
    server.sendall(CHUNKED + b"2\r\nso\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n")
    answer = answer_on(client)
    assert come(answer) == (b"so", True)
    assert answer.will_close


@pytest.mark.parametrize("size", [b"-5\r\nhello, world\r\n", b"z\n", b"\r\n"])
def test_a_line_that_is_no_size_is_refused_at_once(ends: tuple[socket.socket, socket.socket], size: bytes) -> None:
    server, client = ends
    server.sendall(CHUNKED + size)
    answer = answer_on(client)
    with pytest.raises(HTTPException):
        answer.come()
    answer.close()
