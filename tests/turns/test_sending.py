"""Live answers over real sockets, sent by one thread to all who watch, however they behave."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from dashboard.chats.models import ChatSession
from dashboard.turns import eventlog
from dashboard.turns.eventlog import EVENT_LOG
from dashboard.turns.models import Turn
from dashboard.web import reader as reader_module
from dashboard.web import running, sender
from dashboard.web.handover import LETS_GO, HandedOver
from dashboard.web.reader import Reader
from tests.faulty import FaultyServer, event_stream
from tests.turns.conftest import delta, ended, put, question, script, sse, stop, until

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
def nobody_looks_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is sent here is sent because the sender was told."""
    for module in (sender, reader_module):
        monkeypatch.setattr(module, "LOOK_UP", 60.0)


class Watcher:
    """A browser's connection, handed to the sender."""

    def __init__(self, turn: Turn, cursor: int | None = None, *, in_chunks: bool = True) -> None:
        self.sock, self._server = socket.socketpair()
        self.sock.settimeout(20)
        self.ended: list[bool] = []
        self.reader = Reader(turn, cursor)
        running.SENDER.take(self.reader, self.reader.news(), self._server, in_chunks, self._done)

    def _done(self, is_fit: bool) -> None:
        self.reader.close()
        self.ended.append(is_fit)
        if not is_fit:
            self._server.close()

    def read(self, until_seen: bytes) -> bytes:
        got = b""
        while until_seen not in got:
            part = self.sock.recv(65536)
            assert part, got
            got += part
        return got

    def end(self) -> bool:
        return bool(until(lambda: self.ended) and self.ended[0])

    def close(self) -> None:
        self.sock.close()
        until(lambda: self.ended)
        self._server.close()


Watch = Callable[..., Watcher]


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Makes watchers, and closes them at the end."""
    made: list[Watcher] = []

    def make(turn: Turn, cursor: int | None = None, *, in_chunks: bool = True) -> Watcher:
        made.append(Watcher(turn, cursor, in_chunks=in_chunks))
        return made[-1]

    yield make
    for watcher in made:
        watcher.close()


def growing(faulty: FaultyServer, session: ChatSession, ada: User, words: int, every: float = 0.05) -> Turn:
    parts = [(every, sse(delta(f"w{number} "))) for number in range(words)]
    script(faulty, session, event_stream(sse(question()), *parts, sse(stop())))
    return put(session, ada)


def senders() -> int:
    return sum(thread.name == "sender" for thread in threading.enumerate())


def numbers(body: str) -> list[int]:
    """The entries that came, a snapshot's last one first."""
    return [int(number) for number in re.findall(r"^id: (\d+)$", body, re.MULTILINE)]


def in_order(body: str, turn: Turn) -> bool:
    """Whether every entry of the turn came once and in order, after a snapshot of the first ones."""
    came = numbers(body)
    last = turn.log.order_by("-number").values_list("number", flat=True).first()
    # The closing message has the number of the last entry, which it follows.
    return last is not None and came == [*range(came[0], last + 1), last]


def unframed(sent: bytes) -> bytes:
    """The body of chunks."""
    body = b""
    while sent:
        size, _, rest = sent.partition(b"\r\n")
        length = int(size, 16)
        body, sent = body + rest[:length], rest[length + 2 :]
        if not length:
            break
    return body


def test_everybody_gets_every_word_once_and_the_end_and_one_thread_sends(
    faulty: FaultyServer, session: ChatSession, ada: User, watch: Watch
) -> None:
    turn = growing(faulty, session, ada, 30)
    watchers = [watch(turn) for _ in range(12)]
    assert senders() == 1

    for watcher in watchers:
        body = unframed(watcher.read(b"\r\n0\r\n\r\n")).decode()
        assert in_order(body, turn)
        assert "w0 " in body
        assert "w29 " in body
        assert body.endswith("event: turn-ended\ndata: answered\n\n")
        assert watcher.end()
    assert EVENT_LOG._channels[turn.pk].watchers == 0


def test_news_are_sent_by_the_thread_that_brings_them(
    faulty: FaultyServer, session: ChatSession, ada: User, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is awake already: to wake another one for every frame would cost more than to send it."""
    by: list[str] = []
    push = sender._Line.push

    def noted(line: Any) -> bool:
        by.append(threading.current_thread().name)
        return push(line)

    monkeypatch.setattr(sender._Line, "push", noted)
    turn = growing(faulty, session, ada, 30)

    watch(turn).read(b"\r\n0\r\n\r\n")

    assert by.count("eventlog-write_for_ever") > len(by) / 2
    # An end is read from the database for each who watches: the log goes on meanwhile.
    assert by[-1] == "sender"


def test_news_that_come_while_the_sender_is_at_work_are_left_to_it(
    faulty: FaultyServer, session: ChatSession, ada: User, watch: Watch
) -> None:
    turn = growing(faulty, session, ada, 30)
    watcher = watch(turn)
    watcher.read(b"w0 ")
    running.SENDER._serving.acquire()
    ended(turn)
    running.SENDER._serving.release()

    assert b"data: answered" in watcher.read(b"\r\n0\r\n\r\n")


def test_whoever_brings_news_survives_a_sender_that_breaks(
    faulty: FaultyServer, session: ChatSession, ada: User, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise LookupError

    turn = growing(faulty, session, ada, 10)
    watcher = watch(turn)
    watcher.read(b"w0 ")
    with monkeypatch.context() as patched:
        patched.setattr(sender.Sender, "_of", broken)
        assert ended(turn).state == "answered"
    EVENT_LOG._tell([turn.pk])

    assert b"data: answered" in watcher.read(b"\r\n0\r\n\r\n")


def test_the_thread_ends_when_nobody_watches_and_begins_again(
    faulty: FaultyServer, session: ChatSession, ada: User, watch: Watch
) -> None:
    turn = ended(growing(faulty, session, ada, 3))
    for _ in range(3):
        assert watch(turn).read(b"\r\n0\r\n\r\n")
        until(lambda: senders() == 0)
        # What happens while nobody watches is not kept for anybody.
        EVENT_LOG._tell([turn.pk])
        assert running.SENDER._news.empty()


def test_without_chunks_the_body_is_sent_as_it_is(
    faulty: FaultyServer, session: ChatSession, ada: User, watch: Watch
) -> None:
    turn = ended(growing(faulty, session, ada, 3))

    watcher = watch(turn, in_chunks=False)

    assert watcher.read(b"data: answered\n\n").startswith(b"id: ")
    assert watcher.end()


def test_a_browser_that_goes_is_let_go_of_at_once(
    faulty: FaultyServer, session: ChatSession, ada: User, watch: Watch
) -> None:
    script(faulty, session, event_stream(sse(question(), delta("Half")), (60.0, b"")))
    turn = put(session, ada)
    watcher, other = watch(turn), watch(turn)
    watcher.read(b"Half")

    began = time.monotonic()
    watcher.sock.close()

    assert watcher.end() is False
    assert time.monotonic() - began < 5
    assert not other.ended


def test_a_browser_that_takes_nothing_keeps_nobody_waiting_and_is_given_up_on(
    faulty: FaultyServer, session: ChatSession, ada: User, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "STALLED", 2.0)
    monkeypatch.setattr(sender, "LOOK_UP", 0.5)
    parts = [(0.1, sse(delta("x" * 40_000 + f" w{number} "))) for number in range(60)]
    script(faulty, session, event_stream(sse(question()), *parts, sse(stop())))
    turn = put(session, ada)
    stalled, other = watch(turn), watch(turn)

    with ThreadPoolExecutor(1) as reading:
        # All the time, or it would be one that takes nothing too.
        whole = reading.submit(other.read, b"\r\n0\r\n\r\n")
        assert stalled.end() is False
        assert whole.result()


def test_a_slow_browser_gets_everything_in_the_end(
    faulty: FaultyServer, session: ChatSession, ada: User, watch: Watch
) -> None:
    parts = [(0.05, sse(delta("x" * 30_000 + f" w{number} "))) for number in range(40)]
    script(faulty, session, event_stream(sse(question()), *parts, sse(stop())))
    turn = put(session, ada)
    watcher = watch(turn)
    ended(turn)

    body = unframed(watcher.read(b"\r\n0\r\n\r\n")).decode()

    assert in_order(body, turn)
    assert all(f"x w{number}" in body for number in range(40))
    assert watcher.end()


def test_what_a_browser_says_meanwhile_is_left_for_the_web_server(
    faulty: FaultyServer, session: ChatSession, ada: User, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = growing(faulty, session, ada, 10, every=0.1)
    watcher = watch(turn)
    watcher.read(b"id: ")
    looks, due = [0], running.SENDER._due

    def counted(ready: Any) -> Any:
        looks[0] += 1
        return due(ready)

    monkeypatch.setattr(running.SENDER, "_due", counted)
    watcher.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")

    watcher.read(b"\r\n0\r\n\r\n")

    assert watcher.end()
    assert watcher._server.recv(100) == b"GET / HTTP/1.1\r\n\r\n"
    assert looks[0] < 100, "it is heard once"


def test_an_answer_that_cannot_be_shown_does_not_take_the_others_along(
    faulty: FaultyServer, session: ChatSession, ada: User, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = growing(faulty, session, ada, 20, every=0.1)
    broken, other = watch(turn), watch(turn)
    monkeypatch.setattr(broken.reader, "news", lambda: 1 / 0)

    assert broken.end() is False
    assert unframed(other.read(b"\r\n0\r\n\r\n"))


def test_a_process_that_ends_sends_them_all_away_in_good_order(
    faulty: FaultyServer, session: ChatSession, ada: User, watch: Watch
) -> None:
    script(faulty, session, event_stream(sse(question(), delta("Half")), (60.0, b"")))
    turn = put(session, ada)
    watchers = [watch(turn) for _ in range(3)]
    for watcher in watchers:
        watcher.read(b"Half")

    began = time.monotonic()
    EVENT_LOG.send_readers_away()

    for watcher in watchers:
        assert watcher.read(b"0\r\n\r\n") == b"0\r\n\r\n"
        assert watcher.end()
    assert time.monotonic() - began < 5


def test_whoever_watches_a_run_that_broke_is_sent_away_at_once(
    faulty: FaultyServer, session: ChatSession, ada: User, watch: Watch
) -> None:
    script(faulty, session, event_stream(sse(question(), delta("Half")), (60.0, b"")))
    turn = put(session, ada)
    watcher = watch(turn)
    watcher.read(b"Half")

    EVENT_LOG.drop(turn.pk)

    assert watcher.read(b"0\r\n\r\n") == b"0\r\n\r\n"
    assert watcher.end()


def test_without_a_thread_to_be_had_a_browser_is_not_taken_and_the_next_one_is(
    faulty: FaultyServer, session: ChatSession, ada: User, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = ended(growing(faulty, session, ada, 3))

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    reader = Reader(turn, None)
    one, other = socket.socketpair()
    with one, other:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError):
                running.SENDER.take(reader, b"", other, True, lambda _: None)
        reader.close()
        assert watch(turn).read(b"\r\n0\r\n\r\n")
        one.settimeout(0.1)
        with pytest.raises(TimeoutError):
            one.recv(1)


def test_nobody_waits_for_ever_for_a_thread_that_broke(
    faulty: FaultyServer, session: ChatSession, ada: User, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = ended(growing(faulty, session, ada, 3))
    with monkeypatch.context() as patched:
        patched.setattr(sender.Sender, "_due", lambda *_: 1 / 0)
        assert watch(turn).end() is False
    assert watch(turn).read(b"\r\n0\r\n\r\n")


def test_silence_is_filled_with_comments_here_too(
    faulty: FaultyServer, session: ChatSession, ada: User, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("LOOK_UP", 0.1), ("HEARTBEAT", 0.3), ("SILENCE", 1.5)):
        monkeypatch.setattr(reader_module, name, seconds)
    monkeypatch.setattr(sender, "LOOK_UP", 0.1)
    script(faulty, session, event_stream(sse(question(), delta("Half")), (60.0, b"")))
    watcher = watch(put(session, ada))

    sent = unframed(watcher.read(b"\r\n0\r\n\r\n"))

    assert sent.count(b": still here\n\n") >= 2
    assert b"turn-ended" not in sent
    assert watcher.end()


def test_an_answer_of_another_process_is_followed(
    faulty: FaultyServer, session: ChatSession, ada: User, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its entries come from the database, by a look for all who wait for such."""
    turn = growing(faulty, session, ada, 20, every=0.1)
    here = eventlog.EventLog()
    monkeypatch.setattr(reader_module, "EVENT_LOG", here)
    monkeypatch.setattr(sender, "EVENT_LOG", here)
    try:
        body = unframed(watch(turn).read(b"\r\n0\r\n\r\n")).decode()
        assert in_order(body, turn)
        assert "w0 " in body
        assert "w19 " in body
    finally:
        here.close()


def test_the_page_hands_over_only_where_the_web_server_lets_go(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    turn = ended(growing(faulty, session, ada, 3))
    path = f"/sessions/{session.session_id}/turns/{turn.number}/events/"

    environ: Any = {LETS_GO: True}
    answer = browser.get(path, **environ)
    parts = iter(answer.streaming_content)  # type: ignore[attr-defined]
    first = next(parts)
    with pytest.raises(HandedOver) as handed_over:
        next(parts)
    assert running.WATCHING.taken == 1
    answer.close()
    assert running.WATCHING.taken == 1, "it is the sender's to give back now"
    handed_over.value.is_left()
    assert running.WATCHING.taken == 0

    assert first == b"", "whoever sends it waits for no browser"
    assert b"turn-ended" in b"".join(browser.get(path).streaming_content)  # type: ignore[attr-defined]


def test_whoever_asks_for_the_head_only_takes_no_place(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    script(faulty, session, event_stream(sse(question(), delta("Half")), (60.0, b"")))
    turn = put(session, ada)

    head = browser.head(f"/sessions/{session.session_id}/turns/{turn.number}/events/")

    assert running.WATCHING.taken == 0
    assert (head.status_code, head["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    assert not b"".join(head.streaming_content)  # type: ignore[attr-defined]
