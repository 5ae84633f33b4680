"""A LlamaCloud that misbehaves on demand, over real HTTP on 127.0.0.1.

Left alone it is healthy: projects, indexes and chat sessions as contract.md §4–§6 say, kept in plain attributes a test
may fill or read (:attr:`FaultyServer.projects`, ``indexes``, ``chats``, ``events``). A test then injects one fault::

    faulty.script("POST", "/api/v1/chat", [rate_limited(retry_after="2")])
    ...
    assert len(faulty.received("POST", "/api/v1/chat")) == 1

Scripted answers are used up in order, then the path is healthy again; ``repeat=True`` keeps the last one for ever.
Use it in a test module or ``conftest.py`` with ``pytest_plugins = ["tests.faulty"]`` (only the outermost conftest may
say that) or ``from tests.faulty import faulty``.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from dashboard.upstream import LlamaCloud

KEY = "llx-Faulty0Server1Key2That3Must4Never5Show"
"""The only key the healthy server accepts, and a string a leak test can look for."""
PROJECT_ID = "182bd5e5-6e1a-4fe4-a799-aa6d9a6ab26e"


@dataclass(frozen=True)
class Received:
    """One request as it arrived.

    ``path`` is still percent-encoded, ``target`` is the request line's verbatim, ``port`` tells connections apart.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    port: int

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What to answer, and how badly.

    Args:
        status: HTTP status.
        body: bytes as they are, anything else as JSON.
        headers: sent besides the content type.
        content_type: ``None`` sends none.
        hold: seconds of silence before the head.
        head_every: seconds before each byte of the head.
        parts: (seconds to wait, bytes) pairs sent, chunked, in place of ``body``.
        work: called with the request before anything is sent, so that work can be done whose answer is then lost.
        cut: ``"reset"`` sends nothing and resets the connection; ``"body"`` breaks off in the middle of the body.
        declared: Content-Length to declare in place of the true one; ``-1`` declares none and closes at the end.
    """

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = "application/json"
    hold: float = 0.0
    head_every: float = 0.0
    parts: Sequence[tuple[float, bytes]] | None = None
    work: Callable[[Received], Any] | None = None
    cut: Literal["", "reset", "body"] = ""
    declared: int | None = None

    @property
    def payload(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def failing(status: int, detail: Any = "It did not work.", **headers: str) -> Answer:
    """Any status with ``{"detail": …}``; header names are written with underscores."""
    return Answer(status, {"detail": detail}, {name.replace("_", "-"): value for name, value in headers.items()})


def page(status: int = 502) -> Answer:
    """A proxy's HTML page."""
    body = f"<html><body><h1>{status}</h1><p>nginx at http://10.0.0.7/</p></body></html>".encode()
    return Answer(status, body, content_type="text/html; charset=utf-8")


def rate_limited(*, retry_after: str | None = None) -> Answer:
    """429, with or without ``Retry-After``."""
    return failing(429, "Too many requests.", **({} if retry_after is None else {"retry_after": retry_after}))


def held(seconds: float, then: Answer | None = None) -> Answer:
    """Silence before the head; a client that times out sees nothing else."""
    return Answer(hold=seconds, body={}) if then is None else Answer(**{**vars(then), "hold": seconds})


def reset() -> Answer:
    """The request is read, then the connection is reset."""
    return Answer(cut="reset")


def stored_but_lost(work: Callable[[Received], Any]) -> Answer:
    """The work is done (``faulty.create`` makes the session), then the connection is reset."""
    return Answer(cut="reset", work=work)


def truncated_json() -> Answer:
    """Half a document, declared as if it were whole."""
    return Answer(201, b'{"session_id": "ses-half", "last_upd')


def cut_body() -> Answer:
    """A document that breaks off before its declared length."""
    return Answer(201, {"session_id": "ses-cut", "generated_title": "x" * 2000}, cut="body")


def wrong_type() -> Answer:
    """200 with a page where JSON was expected, as a captive portal answers."""
    return page(200)


def redirect(to: str, status: int = 302) -> Answer:
    """A redirect, to anywhere."""
    return Answer(status, b"", {"Location": to}, content_type=None)


def trickle(body: bytes, *, every: float) -> Answer:
    """One byte at a time, so that no single wait is long."""
    return Answer(parts=[(every, bytes([byte])) for byte in body])


def huge(size: int) -> Answer:
    """Valid JSON of about ``size`` bytes."""
    return Answer(body=b'{"items": [], "padding": "' + b"x" * size + b'"}')


def gzip_bomb(size: int) -> Answer:
    """A few kilobytes that unpack to ``size``."""
    return Answer(
        body=gzip.compress(b'{"items": [], "padding": "' + b"x" * size + b'"}'), headers={"Content-Encoding": "gzip"}
    )


def key_echoed(status: int = 401) -> Answer:
    """An error that quotes the key, whole and shortened, and an address."""
    return failing(status, f"Bad token Bearer {KEY} ({KEY[:12]}***) at https://internal.example/auth?key={KEY}")


def event_stream(*parts: bytes | tuple[float, bytes], content_type: str | None = "text/event-stream") -> Answer:
    """A stream; a part is bytes, or (seconds to wait first, bytes)."""
    return Answer(parts=[part if isinstance(part, tuple) else (0.0, part) for part in parts], content_type=content_type)


class FaultyServer:
    """See the module's docstring. Start it with ``with``."""

    def __init__(self, *, key: str = KEY) -> None:
        self.key = key
        self.requests: list[Received] = []
        self.projects: list[dict[str, Any]] = [_project(PROJECT_ID, "Default")]
        self.indexes: list[dict[str, Any]] = [_index("idx-reports", "Reports"), _index("idx-policies", "Policies")]
        self.chats: dict[str, dict[str, Any]] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}
        self._scripts: dict[tuple[str, str], tuple[list[Answer], bool]] = {}
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(self)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        return self._server.server_port

    def use_tls(self, context: ssl.SSLContext) -> None:
        """Speak TLS from the next connection on; :attr:`url` keeps saying ``http``."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    def __enter__(self) -> FaultyServer:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def client(self, **options: Any) -> LlamaCloud:
        """A client of this server, with short budgets unless told otherwise."""
        settings = {"read_budget": 2.0, "create_budget": 2.0, **options}
        return LlamaCloud(self.url, self.key, **settings)

    def script(self, method: str, path: str, answers: Sequence[Answer], *, repeat: bool = False) -> None:
        """Answer the next requests to ``path`` (percent-encoded, without its query) with these instead."""
        with self._lock:
            self._scripts[method, path] = (list(answers), repeat)

    def received(self, method: str, path: str | None = None) -> list[Received]:
        """The requests so far of this method, to this path."""
        with self._lock:
            return [one for one in self.requests if one.method == method and path in (None, one.path)]

    def create(self, request: Received) -> dict[str, Any]:
        """Do what a healthy creation does, also when its answer will be lost."""
        body = json.loads(request.body or b"{}")
        with self._lock:
            number = next(self._numbers)
            session_id = f"ses-{number}"
            self.events[session_id] = []
            self.chats[session_id] = {
                "session_id": session_id,
                "last_updated_at": f"2026-04-22T12:{number // 60 % 60:02d}:{number % 60:02d}.341245",
                "shared_access": body.get("shared_access") or "read_only",
                "generated_title": None,
                "index_ids": body.get("index_ids"),
                "job_metadata": None,
            }
            return self.chats[session_id]

    def answer(self, request: Received) -> Answer:
        """The scripted answer, else the healthy one."""
        with self._lock:
            self.requests.append(request)
            answers, repeat = self._scripts.get((request.method, request.path), ([], False))
            if answers:
                return answers[0] if repeat and len(answers) == 1 else answers.pop(0)
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return failing(401, "Invalid authentication token")
        return self._healthy(request)

    def wait(self, seconds: float) -> None:
        """Sleep, but not past the server's end."""
        self._closing.wait(seconds)

    def _healthy(self, request: Received) -> Answer:
        for method, pattern, reply in _ROUTES:
            match = re.fullmatch(pattern, request.path)
            if match and method == request.method:
                return reply(self, request, *(unquote(value) for value in match.groups()))
        return failing(404, "Not Found")

    def _paged(self, request: Received, rows: Sequence[dict[str, Any]]) -> Answer:
        size = int(request.query.get("page_size", ["100"])[0])
        start = int(request.query.get("page_token", ["0"])[0])
        more = str(start + size) if start + size < len(rows) else None
        return Answer(body={"items": rows[start : start + size], "next_page_token": more})

    def _list_projects(self, _: Received) -> Answer:
        return Answer(body=self.projects)

    def _page_projects(self, request: Received) -> Answer:
        return self._paged(request, self.projects)

    def _get_project(self, _: Received, project_id: str) -> Answer:
        return _found(next((row for row in self.projects if row["id"] == project_id), None))

    def _list_indexes(self, request: Received) -> Answer:
        wanted = request.query.get("project_id", [PROJECT_ID])[0]
        return self._paged(request, [row for row in self.indexes if row["project_id"] == wanted])

    def _get_index(self, request: Received, index_id: str) -> Answer:
        row = next((row for row in self.indexes if row["id"] == index_id), None)
        if row and "sync_in_progress" not in request.query.get("expand", []):
            row = {**row, "sync_in_progress": None}
        return _found(row)

    def _list_chats(self, request: Received) -> Answer:
        with self._lock:
            rows = sorted(self.chats.values(), key=lambda row: str(row["last_updated_at"]), reverse=True)
        return self._paged(request, rows)

    def _create_chat(self, request: Received) -> Answer:
        return Answer(201, self.create(request))

    def _get_chat(self, _: Received, session_id: str) -> Answer:
        row = self.chats.get(session_id)
        return _found(row and {**row, "events": self.events.get(session_id, [])})

    def _get_summary(self, _: Received, session_id: str) -> Answer:
        return _found(self.chats.get(session_id))

    def _delete_chat(self, _: Received, session_id: str) -> Answer:
        with self._lock:
            gone = self.chats.pop(session_id, None)
        return failing(404, "Session not found") if gone is None else Answer(204, content_type=None)


_ROUTES: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", "/api/v1/projects", FaultyServer._list_projects),
    ("GET", "/api/v2/projects", FaultyServer._page_projects),
    ("GET", "/api/v[12]/projects/([^/]+)", FaultyServer._get_project),
    ("GET", "/api/v1/indexes", FaultyServer._list_indexes),
    ("GET", "/api/v1/indexes/([^/]+)", FaultyServer._get_index),
    ("GET", "/api/v1/chat", FaultyServer._list_chats),
    ("POST", "/api/v1/chat", FaultyServer._create_chat),
    ("GET", "/api/v1/chat/([^/]+)", FaultyServer._get_chat),
    ("GET", "/api/v1/chat/([^/]+)/summary", FaultyServer._get_summary),
    ("DELETE", "/api/v1/chat/([^/]+)", FaultyServer._delete_chat),
]


def _found(row: dict[str, Any] | None) -> Answer:
    return failing(404, "Not found") if row is None else Answer(body=row)


def _project(project_id: str, name: str) -> dict[str, Any]:
    return {"id": project_id, "name": name, "organization_id": "org-1", "is_default": True, "created_at": None}


def _index(index_id: str, name: str) -> dict[str, Any]:
    return {
        "id": index_id,
        "name": name,
        "description": f"All {name.lower()}",
        "project_id": PROJECT_ID,
        "source_directory_id": f"dir-{index_id}",
        "sync_config_id": f"syn-{index_id}",
        "export_config_id": f"exc-{index_id}",
        "created_at": "2026-04-22T12:00:00Z",
        "updated_at": None,
        "last_synced_at": "2026-04-22T12:10:00Z",
        "last_exported_at": "2026-04-22T12:11:00Z",
        "metadata": {"status": "ready"},
        "sync_in_progress": False,
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, faulty: FaultyServer) -> None:
        self.faulty = faulty
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    head_every = 0.0
    _headers_buffer: list[bytes]

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def handle(self) -> None:
        with suppress(OSError, ValueError):
            super().handle()

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Received(self.command, self.path, headers, body, self.client_address[1])
        answer = self.server.faulty.answer(request)
        if answer.work is not None:
            answer.work(request)
        self.server.faulty.wait(answer.hold)
        if answer.cut == "reset":
            self._reset()
            return
        self._send_head(answer)
        if answer.parts is not None:
            self._send_parts(answer.parts)
        elif answer.cut == "body":
            self.wfile.write(answer.payload[: len(answer.payload) // 2])
            self._reset()
        else:
            self.wfile.write(answer.payload)

    def flush_headers(self) -> None:
        head, self._headers_buffer = b"".join(self._headers_buffer), []
        for start in range(0, len(head), size := 1 if self.head_every else len(head)):
            self.server.faulty.wait(self.head_every)
            self.wfile.write(head[start : start + size])

    def _send_head(self, answer: Answer) -> None:
        self.head_every = answer.head_every
        self.send_response_only(answer.status)
        if answer.content_type is not None:
            self.send_header("Content-Type", answer.content_type)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.parts is not None:
            self.send_header("Transfer-Encoding", "chunked")
        elif answer.declared == -1:
            self.send_header("Connection", "close")
        elif answer.status != 204:
            self.send_header("Content-Length", str(answer.declared or len(answer.payload)))
        self.end_headers()

    def _send_parts(self, parts: Sequence[tuple[float, bytes]]) -> None:
        for pause, part in parts:
            self.server.faulty.wait(pause)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def _reset(self) -> None:
        """Close with unsent data thrown away, which the other side sees as a reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())


@pytest.fixture
def faulty() -> Iterator[FaultyServer]:
    """A healthy server to script faults into."""
    with FaultyServer() as server:
        yield server
