"""Failures, budgets, redirects, sizes and secrets, against a server that misbehaves over real HTTP."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from dashboard.upstream import (
    AnswerLost,
    LlamaCloud,
    RateLimited,
    RedirectRefused,
    SessionCreate,
    Unreachable,
    UnreadableAnswer,
    UpstreamError,
    UpstreamFailed,
    connections,
    errors,
)
from tests import faulty as faults
from tests.faulty import KEY, Answer, FaultyServer

CHAT = "/api/v1/chat"
PROJECTS = "/api/v1/projects"
OK = Answer(body=[])


def create(client: LlamaCloud) -> Any:
    return client.create_chat(SessionCreate())


def failure(call: Callable[[], Any]) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        call()
    return caught.value


def unused_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return int(taken.getsockname()[1])


FAULTS: list[tuple[str, Answer, type[UpstreamError], str]] = [
    *((str(status), faults.failing(status), kind, "refused") for status, kind in (
        (400, errors.BadRequest), (401, errors.KeyRejected), (402, errors.CreditsExhausted),
        (403, errors.AccessRefused), (404, errors.NotFound), (409, errors.Conflict), (422, errors.Invalid),
        (429, errors.RateLimited))),
    ("429 with a wait", faults.rate_limited(retry_after="7"), RateLimited, "refused"),
    ("500", faults.failing(500), UpstreamFailed, "unknown"),
    ("502 with a page", faults.page(), UpstreamFailed, "unknown"),
    ("408", faults.failing(408), UpstreamFailed, "unknown"),
    ("time-out", faults.held(30), AnswerLost, "unknown"),
    ("reset", faults.reset(), AnswerLost, "unknown"),
    ("truncated JSON", faults.truncated_json(), UnreadableAnswer, "unknown"),
    ("cut body", faults.cut_body(), AnswerLost, "unknown"),
    ("wrong type", faults.wrong_type(), UnreadableAnswer, "unknown"),
    ("302 elsewhere", faults.redirect("http://other.example/", 302), RedirectRefused, "unknown"),
    ("303 elsewhere", faults.redirect("http://other.example/", 303), RedirectRefused, "unknown"),
    ("301 here", faults.redirect("/api/v1/chat/", 301), RedirectRefused, "unknown"),
    ("307 elsewhere", faults.redirect("http://other.example/", 307), RedirectRefused, "refused"),
    ("308 here", faults.redirect("/api/v1/chat/", 308), RedirectRefused, "refused"),
    ("304", Answer(304), UnreadableAnswer, "unknown"),
    ("trickle", faults.trickle(b"{}" * 500, every=0.05), AnswerLost, "unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "kind", "outcome"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_a_creation_that_fails_says_whether_it_may_have_happened(
    faulty: FaultyServer, answer: Answer, kind: type[UpstreamError], outcome: str
) -> None:
    faulty.script("POST", CHAT, [answer], repeat=True)
    error = failure(lambda: create(faulty.client(create_budget=0.6)))
    assert (type(error), error.outcome) == (kind, outcome)
    assert len(faulty.received("POST")) == 1
    assert faulty.received("GET") == []


def test_a_creation_can_be_stored_although_its_answer_is_lost(faulty: FaultyServer) -> None:
    faulty.script("POST", CHAT, [faults.stored_but_lost(faulty.create)])
    assert failure(lambda: create(faulty.client())).outcome == "unknown"
    assert len(faulty.chats) == 1


def test_no_listener_means_nothing_was_sent() -> None:
    error = failure(lambda: create(LlamaCloud(f"http://127.0.0.1:{unused_port()}", KEY)))
    assert (type(error), error.outcome) == (Unreachable, "refused")


def test_an_unknown_name_means_nothing_was_sent() -> None:
    error = failure(lambda: create(LlamaCloud("http://no-such-host.invalid", KEY)))
    assert (type(error), error.outcome) == (Unreachable, "refused")


DEAF = [f"127.0.0.{number}" for number in range(2, 8)]


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port on which every address of :data:`DEAF` lets a caller hang, as behind a silent firewall."""
    with ExitStack() as sockets:
        port = 0
        for address in DEAF:
            listener = sockets.enter_context(closing(socket.socket()))
            listener.bind((address, port))
            listener.listen(0)
            port = int(listener.getsockname()[1])
            for _ in range(3):
                # Its queue full, a listener answers no more.
                filler = sockets.enter_context(closing(socket.socket()))
                filler.setblocking(False)
                with suppress(BlockingIOError):
                    filler.connect((address, port))
        yield port


def named(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Give ``many.invalid`` these addresses; the resolver is the one thing here that cannot be run for real."""
    known = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host == "many.invalid":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]
        return known(host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_many_silent_addresses_share_one_time_out(deaf: int, monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, *DEAF)
    client, started = LlamaCloud(f"http://many.invalid:{deaf}", KEY, create_budget=0.6), time.monotonic()
    error = failure(lambda: create(client))
    assert (type(error), error.outcome) == (Unreachable, "refused")
    assert time.monotonic() - started < 0.6 * len(DEAF) * 0.6


def test_the_next_address_is_tried_when_one_refuses(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, "127.0.0.2", "127.0.0.1")
    client = LlamaCloud(f"http://many.invalid:{faulty.port}", KEY)
    assert client.projects().complete
    assert faulty.requests[0].headers["host"] == f"many.invalid:{faulty.port}"


# Reads


@pytest.mark.parametrize(
    "fault",
    [
        faults.failing(408),
        faults.failing(500),
        faults.page(503),
        faults.rate_limited(),
        faults.reset(),
        faults.truncated_json(),
        faults.cut_body(),
    ],
)
def test_a_read_is_tried_three_times(faulty: FaultyServer, fault: Answer) -> None:
    faulty.script("GET", PROJECTS, [fault, fault, OK])
    assert faulty.client(read_budget=10).projects().complete
    assert len(faulty.requests) == 3


def test_a_read_is_not_tried_a_fourth_time(faulty: FaultyServer) -> None:
    faulty.script("GET", PROJECTS, [faults.failing(500)], repeat=True)
    assert type(failure(faulty.client(read_budget=10).projects)) is UpstreamFailed
    assert len(faulty.requests) == 3


@pytest.mark.parametrize(
    "fault", [*(faults.failing(status) for status in (400, 401, 402, 403, 404, 409, 422)), faults.wrong_type()]
)
def test_a_read_that_waiting_cannot_help_is_tried_once(faulty: FaultyServer, fault: Answer) -> None:
    faulty.script("GET", PROJECTS, [fault], repeat=True)
    failure(faulty.client().projects)
    assert len(faulty.requests) == 1


@pytest.mark.parametrize(
    "slow",
    [
        faults.held(30),
        faults.trickle(b"[" + b" " * 600 + b"]", every=0.05),
        Answer(parts=[(0, b"["), (30, b"]")]),
        faults.rate_limited(retry_after="30"),
        faults.failing(503, retry_after="30"),
    ],
    ids=["held", "trickle", "stalled", "429", "503"],
)
def test_a_read_ends_within_its_budget_whatever_is_slow(faulty: FaultyServer, slow: Answer) -> None:
    faulty.script("GET", PROJECTS, [slow], repeat=True)
    client, started = faulty.client(read_budget=0.6), time.monotonic()
    failure(client.projects)
    assert time.monotonic() - started < 15


def test_a_head_that_trickles_ends_within_the_budget() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=trickle_heads, args=(listener,), daemon=True).start()
        client, started = (
            LlamaCloud(f"http://127.0.0.1:{listener.getsockname()[1]}", KEY, read_budget=0.6),
            time.monotonic(),
        )
        assert type(failure(client.projects)) is AnswerLost
        assert time.monotonic() - started < 9


def trickle_heads(listener: socket.socket) -> None:
    try:
        with listener.accept()[0] as connection:
            for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Pad: 0\r\n" * 20:
                connection.sendall(bytes([byte]))
                time.sleep(0.05)
    except OSError:
        return


def test_a_short_wait_is_honoured_and_the_read_then_succeeds(faulty: FaultyServer) -> None:
    faulty.script("GET", PROJECTS, [faults.failing(429, retry_after_ms="200"), OK])
    started = time.monotonic()
    assert faulty.client(read_budget=5).projects().complete
    assert time.monotonic() - started >= 0.2


def test_after_a_long_wait_was_asked_reads_fail_at_once_and_creations_still_go(faulty: FaultyServer) -> None:
    faulty.script("GET", PROJECTS, [faults.rate_limited(retry_after="900")])
    client = faulty.client()
    assert failure(client.projects).retry_after == 60
    asked = len(faulty.requests)
    again = failure(client.indexes)
    assert isinstance(again, RateLimited)
    assert again.retry_after is not None
    assert 55 < again.retry_after <= 60
    assert len(faulty.requests) == asked
    assert create(client).session_id


def test_the_wait_ends(faulty: FaultyServer) -> None:
    faulty.script("GET", PROJECTS, [faults.rate_limited(retry_after="0.3")])
    client = faulty.client(read_budget=0.25)
    failure(client.projects)
    assert type(failure(client.projects)) is RateLimited
    time.sleep(0.35)
    assert client.projects().complete


def test_a_limited_creation_does_not_silence_reads(faulty: FaultyServer) -> None:
    faulty.script("POST", CHAT, [faults.rate_limited(retry_after="30")])
    client = faulty.client()
    assert failure(lambda: create(client)).retry_after == 30
    assert client.projects().complete


# Redirects


def test_a_read_follows_a_redirect_within_its_origin(faulty: FaultyServer) -> None:
    faulty.script("GET", PROJECTS, [faults.redirect("/api/v1/moved", 301)])
    faulty.script("GET", "/api/v1/moved", [OK])
    assert faulty.client().projects().complete
    assert faulty.requests[1].headers["authorization"] == f"Bearer {KEY}"


def test_no_redirect_takes_the_key_to_another_origin(faulty: FaultyServer) -> None:
    with FaultyServer() as other:
        for target in (
            f"{other.url}/api/v1/projects",
            other.url.replace("http://", "//"),
            "https://127.0.0.1:1/",
            "http://[/",
        ):
            faulty.script("GET", PROJECTS, [faults.redirect(target)])
            assert type(failure(faulty.client().projects)) is RedirectRefused
        assert other.requests == []


def test_redirects_in_a_circle_end(faulty: FaultyServer) -> None:
    faulty.script("GET", PROJECTS, [faults.redirect(PROJECTS)], repeat=True)
    assert type(failure(faulty.client().projects)) is RedirectRefused
    assert len(faulty.requests) < 10


# Sizes and kinds


@pytest.mark.parametrize("make", [faults.huge, faults.gzip_bomb])
def test_a_body_over_the_limit_is_refused(faulty: FaultyServer, make: Callable[[int], Answer]) -> None:
    faulty.script("GET", CHAT, [make(3_000_000)], repeat=True)
    assert type(failure(faulty.client(max_bytes=1_000_000).chats)) is UnreadableAnswer
    assert len(faulty.requests) == 1
    assert faulty.client(max_bytes=4_000_000).chats().items == ()


def test_only_the_beginning_of_a_huge_error_is_read(faulty: FaultyServer) -> None:
    endless = Answer(500, parts=[(0, b"x" * 100_000)] * 100, content_type="text/plain")
    faulty.script("POST", CHAT, [endless])
    error = failure(lambda: create(faulty.client(create_budget=10)))
    assert type(error) is UpstreamFailed
    assert len(error.detail) < 600


def test_an_error_whose_body_is_cut_keeps_its_kind(faulty: FaultyServer) -> None:
    faulty.script("POST", CHAT, [Answer(409, {"detail": "x" * 500}, cut="body")])
    error = failure(lambda: create(faulty.client()))
    assert (type(error), error.detail) == (errors.Conflict, "LlamaCloud answered 409")


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "Application/JSON", "application/problem+json", None]
)
def test_json_by_any_of_its_names_is_read(faulty: FaultyServer, kind: str | None) -> None:
    faulty.script("GET", PROJECTS, [Answer(body=[], content_type=kind)])
    assert faulty.client().projects().complete


def test_a_body_that_ends_with_its_connection_is_read(faulty: FaultyServer) -> None:
    faulty.script("GET", PROJECTS, [Answer(body=[], declared=-1)])
    assert faulty.client().projects().complete


# The session


def test_connections_are_reused(faulty: FaultyServer) -> None:
    client = faulty.client()
    for _ in range(5):
        client.projects()
        create(client)
    assert len({request.port for request in faulty.requests}) == 1


def test_only_a_read_rides_on_a_connection_that_may_be_closing(
    faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "IDLE_REUSE_SECONDS", 0.05)
    client = faulty.client()
    for call in (client.projects, client.projects, lambda: create(client)):
        call()
        time.sleep(0.1)
    first, second, third = (request.port for request in faulty.requests)
    assert first == second != third


def test_a_connection_closed_after_an_answer_is_replaced(faulty: FaultyServer) -> None:
    faulty.script("GET", PROJECTS, [Answer(body=[], headers={"Connection": "close"})])
    client = faulty.client()
    client.projects()
    assert create(client).session_id


def test_more_callers_than_pooled_connections_do_not_wait_for_each_other(faulty: FaultyServer) -> None:
    faulty.script("GET", PROJECTS, [faults.held(2, OK)], repeat=True)
    client, started = faulty.client(pool_size=1, read_budget=30), time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        assert all(listing.complete for listing in threads.map(lambda _: client.projects(), range(8)))
    assert time.monotonic() - started < 12


def test_the_environment_chooses_neither_key_nor_proxy(
    faulty: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert faulty.client().projects().complete
    assert faulty.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_our_own_proxy_is_used(faulty: FaultyServer) -> None:
    client = LlamaCloud("http://llama.invalid", KEY, proxy=faulty.url)
    assert client.projects().complete
    assert faulty.requests[0].target == "http://llama.invalid/api/v1/projects"


def test_a_proxy_that_refuses_the_tunnel_means_nothing_was_sent(faulty: FaultyServer) -> None:
    error = failure(lambda: create(LlamaCloud("https://llama.invalid", KEY, proxy=faulty.url)))
    assert (type(error), error.outcome) == (Unreachable, "refused")
    assert not any(KEY in str(request.headers) for request in faulty.requests)


def test_cookies_are_not_kept(faulty: FaultyServer) -> None:
    faulty.script("GET", PROJECTS, [Answer(body=[], headers={"Set-Cookie": "session=abc; Path=/"})])
    client = faulty.client()
    client.projects()
    client.projects()
    assert [request.headers.get("cookie") for request in faulty.requests] == [None, None]


def test_the_request_says_who_asks_and_what_it_takes(faulty: FaultyServer) -> None:
    faulty.client().projects()
    headers = faulty.requests[0].headers
    assert headers["user-agent"].startswith("Corral/")
    assert (headers["accept"], headers["accept-encoding"]) == ("application/json", "gzip")


def test_a_closed_client_opens_new_connections_when_asked_again(faulty: FaultyServer) -> None:
    client = faulty.client()
    client.projects()
    client.close()
    assert client.projects().complete


# Secrets


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://host",
        "https://",
        "https://user:pass@host",
        "https://host?key=1",
        "https://host/#a",
        "http://host:port",
    ],
)
def test_an_unusable_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="LlamaCloud address") as caught:
        LlamaCloud(url, KEY)
    assert "pass" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "  ", "llx-a b", "llx-a\nX-Evil: 1", "llx-é"])
def test_an_unusable_key_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(ValueError, match="API key") as caught:
        LlamaCloud("https://host", key)
    assert "llx" not in "".join(traceback.format_exception(caught.value)).split("ValueError", 1)[1]


def test_a_key_with_a_trailing_newline_is_understood(faulty: FaultyServer) -> None:
    assert LlamaCloud(faulty.url, f"{KEY}\n").projects().complete


@pytest.mark.parametrize(
    "fault",
    [row[1] for row in FAULTS] + [faults.key_echoed(), faults.key_echoed(500), faults.key_echoed(422)],
)
def test_no_error_and_no_log_shows_key_or_address(
    faulty: FaultyServer, fault: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    faulty.script("POST", CHAT, [fault], repeat=True)
    faulty.script("GET", CHAT, [fault], repeat=True)
    client = faulty.client(read_budget=0.4, create_budget=0.4)
    with caplog.at_level(logging.DEBUG):
        for call in (lambda: create(client), client.chats):
            error = failure(call)
            # What a log would hold of it, its causes included; source lines and our own frames are not of interest.
            shown = "".join(traceback.TracebackException.from_exception(error).format_exception_only())
            assert error.__cause__ is None
            assert error.__suppress_context__ or error.__context__ is None
            for text in (shown, str(error), repr(error), error.detail, error.sentence):
                assert KEY[4:12] not in text
                assert "127.0.0.1" not in text
                assert "://" not in text
    assert KEY[4:12] not in caplog.text
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("dashboard")]
    assert any(line.startswith("POST /api/v1/chat -> ") for line in ours)
    assert not any("127.0.0.1" in line or "?" in line for line in ours)


def test_the_log_names_the_path_s_shape_and_not_its_query(
    faulty: FaultyServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="dashboard.upstream"):
        failure(lambda: faulty.client(project_id="pro-1").chat("ses-1"))
    (line,) = caplog.messages
    assert line.startswith("GET /api/v1/chat/{session_id} -> 404 in ")


@pytest.mark.parametrize("first", [f"\\u{ord(KEY[0]):04x}", f"\\u{ord(KEY[0]):04X}"])
def test_a_key_spelled_with_escapes_is_removed_too(faulty: FaultyServer, first: str) -> None:
    made = create(faulty.client())
    row = faulty.chats[made.session_id] | {"generated_title": "my KEY"}
    spelled = json.dumps(row).replace("KEY", first + KEY[1:]).encode()
    faulty.script("GET", f"/api/v1/chat/{made.session_id}/summary", [Answer(body=spelled)])

    assert faulty.client().chat_summary(made.session_id).generated_title == "my [removed]"


def test_an_answer_that_echoes_the_key_is_read_without_it(faulty: FaultyServer) -> None:
    faulty.script("GET", "/api/v1/chat/s/summary", [Answer(body={"session_id": "s", "generated_title": f"my {KEY}"})])
    assert faulty.client().chat_summary("s").raw["generated_title"] == "my [removed]"


def test_nothing_shows_the_key_when_printed(faulty: FaultyServer) -> None:
    client = faulty.client()
    transport = client._http
    for thing in (client, transport, transport._session, transport._session.auth, transport._session.headers):
        assert KEY not in f"{thing!r} {thing}"
